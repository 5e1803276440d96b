/**
 * S3, of files: what pgxa writes with a password in it is for its owner alone, whatever the umask; and a configuration
 * with a secret in it that everybody may read is told so, by every verb that reads it, without the secret.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';

import { loadConfigFile } from '../../cli/config-file.ts';
import { BUILD_TIMEOUT_MS, builtCli, runBuilt } from '../support/built-cli.ts';
import { startCli, temporaryFolder, type Folder } from '../support/cli.ts';
import { createTriageBank } from '../support/triage-bank.ts';
import { waitFor } from '../support/wait.ts';

vi.setConfig({ testTimeout: 180_000, hookTimeout: BUILD_TIMEOUT_MS });

const SECRET = 'correct-horse-canary-31b2';
const OTHERS = 0o077;

describe('files with secrets in them', () => {
  let folder: Folder;
  beforeAll(builtCli);
  beforeEach(async () => {
    folder = await temporaryFolder();
  });
  afterEach(() => folder.remove());

  const log = { host: 'log' };
  const warningsOf = async (
    settings: { decisionLog?: object; orders?: object; daemon?: object },
    mode: number,
  ): Promise<readonly string[]> => {
    const { decisionLog = log, orders = log, daemon = {} } = settings;
    const text = JSON.stringify({ decisionLog, participants: { orders }, daemon });
    const file = await folder.write('pgxa.yaml', text);
    await folder.write('secret', SECRET);
    await chmod(file, mode);
    const env = { PASSWORD: SECRET, PGPASSWORD: SECRET };
    return loadConfigFile(file, { env, cwd: folder.path }).warnings;
  };
  const uri = (password: string): string => `postgresql://pgxa${password}@db1/orders`;

  it.each([
    ['participants.orders.password', { orders: { ...log, password: SECRET } }],
    ['decisionLog.connectionString', { decisionLog: { connectionString: uri(`:${SECRET}`) } }],
    [
      'participants.orders.connectionString',
      { orders: { connectionString: `${uri('')}?password=${SECRET}` } },
    ],
    ['participants.orders.ssl.key', { orders: { ...log, ssl: { key: SECRET } } }],
    ['participants.orders.ssl.passphrase', { orders: { ...log, ssl: { passphrase: SECRET } } }],
    ['daemon.http.token', { daemon: { http: { token: SECRET } } }],
    // A default stands in the file.
    ['participants.orders.password', { orders: { ...log, password: `\${NONE:-${SECRET}}` } }],
  ])('%s is in a file that everybody may read: a warning names it', async (key, settings) => {
    const [warning, ...more] = await warningsOf(settings, 0o644);
    expect(more).toEqual([]);
    expect(warning).toContain(`(mode 644), and there are secrets in it: ${key} (chmod 600, or`);
    expect(warning).not.toContain(SECRET);
    expect(await warningsOf(settings, 0o640)).toEqual([]);
    expect(await warningsOf(settings, 0o600)).toEqual([]);
  });

  it.each<[string, object]>([
    ['no password at all', log],
    ['a login without a password', { connectionString: uri('') }],
    ['a reference to the environment', { ...log, password: '${PASSWORD}' }],
    ['the same in a URI', { connectionString: uri(':${PASSWORD}') }],
    ['a reference to a file', { ...log, password: { file: 'secret' } }],
  ])('%s: everybody may read it', async (_, orders) => {
    expect(await warningsOf({ orders }, 0o644)).toEqual([]);
  });

  it('the configuration of the containers has no secret in it', async () => {
    const text = await readFile(new URL('../../docker/pgxa.yaml', import.meta.url), 'utf8');
    const file = await folder.write('pgxa.yaml', text);
    await chmod(file, 0o644);
    const env = { PGPASSWORD: SECRET, PGXA_HTTP_TOKEN: SECRET };
    expect(loadConfigFile(file, { env, cwd: folder.path }).warnings).toEqual([]);
  });

  it('verbs say it on stderr, do what they are asked, and end as ever; the daemon logs it', async () => {
    const bank = await createTriageBank();
    try {
      const url = new URL(bank.log.connectionString);
      url.password = SECRET;
      const places = Object.fromEntries(
        bank.participants.map((one) => [one.name, one.connectionString]),
      );
      const config = await bank.writeConfig('open.yaml', places, url.href);
      const verbs = [['config', 'check'], ['migrate'], ['list', '-o', 'json']];
      const warning = `pgxa: warning: everybody on this machine may read ${config} (mode 644), and`;
      for (const verb of verbs) {
        await chmod(config, 0o600);
        const closed = await runBuilt(verb, { PGXA_CONFIG: config });
        expect(closed).toMatchObject({ code: 0 });
        expect(closed.stderr).not.toContain('warning');
        await chmod(config, 0o644);
        const open = await runBuilt(verb, { PGXA_CONFIG: config });
        expect(open.code).toBe(0);
        expect(open.stderr.startsWith(warning)).toBe(true);
        expect(open.stdout).not.toContain('warning');
        expect(open.stdout + open.stderr).not.toContain(SECRET);
      }
      const daemon = startCli(['daemon'], { PGXA_CONFIG: config });
      try {
        expect(await daemon.saying('may read')).toMatchObject({ level: 'warn' });
      } finally {
        daemon.process.kill('SIGTERM');
        await daemon.ended;
      }
      expect(daemon.stdout() + daemon.stderr()).not.toContain(SECRET);
    } finally {
      await bank.close();
    }
  });

  it('a sandbox under umask 000: nobody else can read the password, nor the data, nor what the servers say', async () => {
    const dir = join(folder.path, 'data');
    const config = join(folder.path, 'pgxa.yaml');
    // As root the servers are somebody else, who has to get there.
    await chmod(folder.path, 0o755);
    const args = [await builtCli(), 'sandbox', '--config', config, '--dir', dir, '--with-doubt'];
    const child = spawn('/bin/sh', ['-c', 'umask 000; exec "$0" "$@"', process.execPath, ...args], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { PATH: process.env['PATH'], HOME: '/nonexistent' },
    });
    const ended = once(child, 'close');
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
    try {
      await waitFor(
        'the sandbox to be ready',
        () => {
          if (child.exitCode !== null) throw new Error(`it has ended: ${said}`);
          return said.includes('Ctrl-C');
        },
        { timeoutMs: 120_000 },
      );
      const state = JSON.parse(await readFile(join(dir, 'sandbox.json'), 'utf8')) as {
        password: string;
      };
      const holders = await filesWith(state.password, [config, ...(await filesBelow(dir))]);
      expect(holders.sort()).toEqual([join(dir, 'sandbox.json'), config].sort());
      const servers = ['log', 'orders', 'billing'];
      const closed = [
        ...holders,
        ...servers.map((name) => join(dir, name, 'data')),
        ...servers.map((name) => join(dir, name, 'server.log')),
      ];
      for (const path of closed) expect((await stat(path)).mode & OTHERS, path).toBe(0);
    } finally {
      child.kill('SIGTERM');
      await ended;
    }
  });
});

async function filesBelow(path: string): Promise<string[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  return entries.filter((one) => one.isFile()).map((one) => join(one.parentPath, one.name));
}

/** Those that hold the text; what a running server has removed meanwhile holds nothing. */
async function filesWith(text: string, files: readonly string[]): Promise<string[]> {
  const found = await Promise.all(
    files.map(async (file) =>
      (await readFile(file).catch(() => Buffer.alloc(0))).includes(text) ? [file] : [],
    ),
  );
  return found.flat();
}
