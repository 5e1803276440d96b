/** `pgxa sandbox`: servers of its own, a configuration that works, doubt to try; and nothing left behind. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';

import type { Survey } from '../../src/index.ts';
import { BUILD_TIMEOUT_MS, builtCli, runBuilt, type CliEnd } from '../support/built-cli.ts';
import { lookAt } from '../support/process-tree.mjs';
import { waitFor } from '../support/wait.ts';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 60_000 });

interface RunningSandbox {
  readonly said: () => string;
  readonly pids: readonly number[];
  readonly data: string;
  end(signal: NodeJS.Signals): Promise<unknown>;
}

describe('pgxa sandbox', () => {
  let folder: string;
  let config: string;
  const running = new Set<RunningSandbox>();
  beforeAll(builtCli, BUILD_TIMEOUT_MS);
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pgxa-sandbox-test-'));
    config = join(folder, 'pgxa.yaml');
  });
  afterEach(async () => {
    for (const one of running) await one.end('SIGTERM');
    running.clear();
    await rm(folder, { recursive: true, force: true });
  });

  const run = (...args: string[]): Promise<CliEnd> =>
    runBuilt(['sandbox', '--config', config, ...args]);

  async function start(...args: string[]): Promise<RunningSandbox> {
    const child = spawn(
      process.execPath,
      [await builtCli(), 'sandbox', '--config', config, ...args],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { PATH: process.env['PATH'], HOME: '/nonexistent' },
      },
    );
    const ended = once(child, 'close');
    let out = '';
    let said = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
    await waitFor(
      'the sandbox to be ready',
      () => {
        if (child.exitCode !== null) throw new Error(`it has ended: ${said}`);
        return out === `${config}\n` && said.includes('Ctrl-C');
      },
      { timeoutMs: 60_000 },
    );
    const sandbox: RunningSandbox = {
      said: () => said,
      pids: [...said.matchAll(/\(pid (\d+)\)/g)].map((match) => Number(match[1])),
      data: /Data in (\S+);/.exec(said)?.[1] ?? '',
      async end(signal) {
        running.delete(sandbox);
        child.kill(signal);
        const [code] = (await ended) as [unknown];
        return code;
      },
    };
    running.add(sandbox);
    return sandbox;
  }

  const areGone = (pids: readonly number[]): boolean =>
    pids.every((pid) => lookAt(pid) === undefined);

  it('leaves three kinds of doubt, with which the other verbs work; its end leaves nothing', async () => {
    const sandbox = await start('--with-doubt');
    expect(sandbox.pids).toHaveLength(3);
    // It has passwords in it, and nobody else may read it.
    expect(statSync(config).mode & 0o777).toBe(0o600);
    expect(readFileSync(config, 'utf8')).toMatch(/postgresql:\/\/postgres:\S{20,}@127\.0\.0\.1/);
    const list = async (): Promise<Survey> => {
      const { stdout } = await runBuilt(['list', '-o', 'json', '--config', config]);
      return JSON.parse(stdout) as Survey;
    };
    const survey = await waitFor('the coordinator to be known as dead', async () => {
      const taken = await list();
      return taken.transactions.some(({ verdict }) => verdict === 'undecided-dead') && taken;
    });
    expect(survey.complete).toBe(true);
    expect(survey.transactions.map(({ verdict }) => verdict).sort()).toEqual([
      'commit',
      'undecided-dead',
    ]);
    for (const { branches } of survey.transactions) expect(branches).toHaveLength(2);
    expect(survey.foreign).toMatchObject([{ participant: 'billing', origin: { kind: 'jta' } }]);
    for (const { transactionId } of survey.transactions) {
      expect(sandbox.said()).toContain(transactionId);
    }
    // More than once: two participants that retire one epoch at the same time may leave a branch to the next.
    await waitFor('all of it to be resolved', async () => {
      await runBuilt(['resolve', '--all', '--yes', '--config', config]);
      return (await list()).transactions.length === 0;
    });
    expect((await list()).foreign).toHaveLength(1);
    expect(await sandbox.end('SIGINT')).toBe(0);
    expect(areGone(sandbox.pids)).toBe(true);
    expect(existsSync(sandbox.data)).toBe(false);
    expect(existsSync(config)).toBe(false);
  });

  it('goes on with what --keep has kept, and refuses a folder that is in use or somebody else’s', async () => {
    const dir = join(folder, 'kept');
    const keep = ['--keep', '--dir', dir];
    // As root the servers are somebody else, who has to get there.
    await chmod(folder, 0o755);
    const first = await start(...keep, '--with-doubt');
    const inUse = await run('--force', '--dir', dir);
    expect(inUse).toMatchObject({ code: 4, stdout: '' });
    expect(inUse.stderr).toMatch(/is taken: its server log is running \(pid \d+\)/);
    expect(await first.end('SIGTERM')).toBe(0);
    expect(areGone(first.pids)).toBe(true);
    const second = await start(...keep, '--force');
    const list = await runBuilt(['list', '-o', 'jsonl', '--config', config]);
    expect(list.stdout.match(/"kind":"transaction"/g)).toHaveLength(2);
    expect(await second.end('SIGTERM')).toBe(0);
    const other = join(folder, 'other');
    await mkdir(other);
    writeFileSync(join(other, 'thesis.txt'), 'years of work');
    const taken = await run('--force', '--dir', other);
    expect(taken).toMatchObject({ code: 4, stdout: '' });
    expect(taken.stderr).toContain('is taken: it is not empty');
    expect(readdirSync(other)).toEqual(['thesis.txt']);
  });

  it('stops its servers and removes their data even when it is killed', async () => {
    const sandbox = await start();
    await sandbox.end('SIGKILL');
    await waitFor('the servers to be gone', () => areGone(sandbox.pids), { timeoutMs: 30_000 });
    await waitFor('their data to be gone', () => !existsSync(sandbox.data), { timeoutMs: 30_000 });
  });

  it('overwrites no configuration without --force, and starts nothing then', async () => {
    writeFileSync(config, 'production: true\n');
    const refused = await run();
    expect(refused).toMatchObject({ code: 4, stdout: '' });
    expect(refused.stderr).toMatch(/exists already and is left as it is.*--force/);
    expect(readFileSync(config, 'utf8')).toBe('production: true\n');
  });

  it('says what is taken or missing: a port, the programs; wrong options are exit code 2', async () => {
    const server = createServer();
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as { port: number };
    const taken = await run('--port', String(Math.min(port, 65_533)));
    expect(taken).toMatchObject({ code: 4, stdout: '' });
    expect(taken.stderr).toMatch(/port \d+ of 127.0.0.1 is taken/);
    server.close();
    const missing = await run('--bin', folder);
    expect(missing).toMatchObject({ code: 1, stdout: '' });
    expect(missing.stderr).toMatch(/there is no initdb in .*: expected a folder such as/);
    expect(await run('--port', '80')).toMatchObject({ code: 2, stdout: '' });
    expect(readdirSync(folder)).toEqual([]);
  });
});
