/** What the embedded provider leaves behind: nothing. Runs with every provider, needs no engine. */
import { execFile, spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, onTestFinished, test, vi } from 'vitest';
import { EmbeddedServer } from './embedded-server.ts';
import { findInstallation } from './embedded-binaries.ts';
import { childrenOf, lookAt } from './process-tree.mjs';
import { canReach, serverUser } from '../../cli/sandbox/server-user.ts';
import { waitFor } from './wait.ts';

const owner = fileURLToPath(new URL('./server-owner.ts', import.meta.url));
const gone = (pids: readonly number[]): boolean => pids.every((pid) => lookAt(pid) === undefined);

test('destroy leaves no process and no directory, also of a paused server', async () => {
  const server = await EmbeddedServer.start();
  const pids = [server.pid, ...childrenOf(server.pid)];
  expect(pids.length).toBeGreaterThan(3);
  expect(existsSync(server.directory)).toBe(true);
  server.pause();
  await server.destroy();
  expect(gone(pids)).toBe(true);
  expect(existsSync(server.directory)).toBe(false);
  await server.destroy();
  await expect(server.start()).rejects.toThrow('was destroyed');
});

test('a killed and then destroyed server leaves no shared memory', async () => {
  const segments = async (): Promise<string> =>
    (await promisify(execFile)('cat', ['/proc/sysvipc/shm'])).stdout;
  if (!existsSync('/proc/sysvipc/shm')) {
    console.warn('NOT TESTED on this platform: left-over shared memory');
    return;
  }
  const server = await EmbeddedServer.start();
  const [row] = await server.query(
    'postgres',
    `select split_part(line, ' ', 2) as id from
       (select regexp_replace(trim((regexp_split_to_array(pg_read_file('postmaster.pid'), '\\n'))[7]), ' +', ' ') as line) as x`,
  );
  const id = String(row?.['id']);
  const present = new RegExp(`^\\s*-?\\d+\\s+${id}\\s`, 'm');
  expect(await segments()).toMatch(present);
  await server.kill9();
  await server.destroy();
  expect(await segments()).not.toMatch(present);
});

test('a server whose owner is killed is cleaned up', async () => {
  const child = spawn(process.execPath, ['--import', 'tsx', owner], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  let line = '';
  for await (line of createInterface({ input: child.stdout })) break;
  const { pid, directory } = JSON.parse(line) as { pid: number; directory: string };
  const pids = [pid, ...childrenOf(pid)];
  expect(gone(pids)).toBe(false);
  child.kill('SIGKILL');
  await waitFor('the reaper to end the server', () => gone(pids));
  await waitFor('the reaper to remove the directory', () => !existsSync(directory));
});

test('a server that cannot start says why', async () => {
  await expect(EmbeddedServer.start({ settings: { no_such_setting: '1' } })).rejects.toThrow(
    /did not start \(exit code 1\); its log ends with:[^]*no_such_setting/,
  );
});

test('two processes that need the template at the same time both get it', async () => {
  const cache = await mkdtemp(join(tmpdir(), 'pgxa-race-'));
  await chmod(cache, 0o755);
  onTestFinished(() => rm(cache, { recursive: true, force: true }));
  const run = async (): Promise<string> => {
    const child = spawn(process.execPath, ['--import', 'tsx', owner], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, TMPDIR: cache },
    });
    let line = '';
    for await (line of createInterface({ input: child.stdout })) break;
    child.kill('SIGKILL');
    return (JSON.parse(line) as { directory: string }).directory;
  };
  if (!(await canReach(cache, await serverUser()))) throw new Error(`${cache} cannot be reached`);
  const directories = await Promise.all([run(), run()]);
  await waitFor('both reapers', () => !directories.some((directory) => existsSync(directory)));
  const left = readdirSync(join(cache, `pgxa-test-cache-${process.getuid?.() ?? 'all'}`));
  expect(left.filter((name) => name.startsWith('template'))).toHaveLength(1);
  expect(left.filter((name) => name.includes('building'))).toEqual([]);
});

test('a version that is not installed is named, with the remedy', async () => {
  onTestFinished(() => {
    vi.unstubAllEnvs();
  });
  vi.stubEnv('PGXA_TEST_POSTGRES_MAJOR', '13');
  await expect(findInstallation()).rejects.toThrow('must be 14, 15, 16, 17 or 18, not "13"');
  vi.stubEnv('PGXA_TEST_POSTGRES_MAJOR', undefined);
  vi.stubEnv('PGXA_TEST_POSTGRES_BIN', '/no/such/folder');
  await expect(findInstallation()).rejects.toThrow('Is PGXA_TEST_POSTGRES_BIN right');
});
