/** What holds for every verb: help, formats, colour, limits of time, and what its start loads. */
import { execFileSync, spawn, type StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { parse } from 'yaml';

import type { Survey } from '../../src/index.ts';
import { BUILD_TIMEOUT_MS, builtCli, runBuilt } from '../support/built-cli.ts';
import { createTriageBank, type TriageBank } from '../support/triage-bank.ts';

// Each command is a process of its own, and the machine may be busy.
vi.setConfig({ testTimeout: 120_000 });

const preload = fileURLToPath(new URL('../support/loaded-modules.mjs', import.meta.url));

const VERBS = [
  ['list'],
  ['show'],
  ['explain'],
  ['resolve'],
  ['force', 'commit'],
  ['force', 'rollback'],
  ['forget'],
  ['check'],
  ['recover'],
  ['coordinators'],
  ['history'],
  ['doctor'],
  ['daemon'],
  ['daemon', 'health'],
  ['migrate'],
  ['config', 'check'],
];

async function runShell(
  script: string,
  main: string,
): Promise<{ readonly code: number | null; readonly stderr: string }> {
  const stdio: StdioOptions = ['ignore', 'ignore', 'pipe'];
  const child = spawn('bash', ['-c', script, process.execPath, main], { stdio });
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stderr };
}

describe('every verb', () => {
  let bank: TriageBank;
  beforeAll(async () => {
    await builtCli();
    bank = await createTriageBank();
  }, BUILD_TIMEOUT_MS);
  afterAll(() => bank.close());

  it.each(VERBS)('%s %s: its help has exit codes and an example', async (...verb) => {
    const { code, stdout, stderr } = await runBuilt([...verb.filter(Boolean), '--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/Exit codes: [^]*Examples?:\n {2}pgxa /);
  });

  it('JSON, YAML and JSON lines carry the same data, under a name with a version', async () => {
    const { id } = await bank.plant({ coordinator: 'silent', label: 'x' });
    const json = (await bank.json<Survey>('list')).data;
    expect(json.schema).toBe('pgxa.survey/1');
    const yaml = parse((await bank.pgxa('list', '-o', 'yaml')).stdout) as typeof json;
    const strip = (survey: typeof json): unknown => ({
      ...survey,
      takenAt: '',
      // Other tests use slots of the same server meanwhile.
      participants: survey.participants.map((one) => ({ ...one, slots: undefined })),
      transactions: survey.transactions.map((one) => one.transactionId),
    });
    expect(strip(yaml)).toEqual(strip(json));
    const lines = (await bank.pgxa('list', '-o', 'jsonl')).stdout.trimEnd().split('\n');
    const parsed = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(parsed.map(({ kind }) => kind)).toEqual(['transaction', 'participant', 'participant']);
    expect(parsed[0]).toMatchObject({ schema: 'pgxa.survey/1', transactionId: id });
  });

  it('who stops reading gets no stack trace, and the exit code of the verb; a full disk is told', async () => {
    const main = await builtCli();
    const piped = await runShell('"$0" "$1" --help | true; exit $PIPESTATUS', main);
    expect(piped).toEqual({ code: 0, stderr: '' });
    const full = await runShell('"$0" "$1" --help > /dev/full', main);
    expect(full.code).toBe(1);
    expect(full.stderr).toMatch(/^pgxa: stdout: ENOSPC[^\n]*\n$/);
  });

  it('no colour and no cursor movement reaches a file, or a terminal either', async () => {
    const { screen, code } = await bank.onTerminal(['list']);
    expect(code).toBe(0);
    expect((await bank.pgxa('list')).stdout).not.toContain('\u001b');
    expect(screen).not.toContain('\u001b');
  });

  it('asks 20 participants at once, and waits for none longer than --timeout', async () => {
    // Twenty servers that accept a connection and then say nothing.
    const sockets = new Set<Socket>();
    const server = createServer((socket) => sockets.add(socket));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const places = Object.fromEntries(
      Array.from({ length: 20 }, (_, at) => [`p${at}`, `postgres://u@127.0.0.1:${port}/x`]),
    );
    const config = await bank.writeConfig('silent.yaml', places);
    const startedAt = performance.now();
    const { code, data } = await bank.json<Survey>('list', '--timeout', '2', '--config', config);
    const tookMs = performance.now() - startedAt;
    for (const socket of sockets) socket.destroy();
    server.close();
    expect(code).toBe(5);
    expect(data.participants).toHaveLength(20);
    expect(sockets.size).toBeGreaterThanOrEqual(20);
    // One after the other they would take 40 s.
    expect(tookMs).toBeLessThan(15_000);
  });

  // How long it takes beside Node alone is measured by `npm run bench -- startup`: a clock is no test.
  it('loads for --help what describes the verbs, and no library but commander', async () => {
    const main = await builtCli();
    const file = join(await mkdtemp(join(tmpdir(), 'pgxa-loaded-')), 'modules');
    execFileSync(process.execPath, ['--import', preload, main, '--help'], {
      env: { LOADED_MODULES: file },
    });
    const modules = (await readFile(file, 'utf8')).trim().split('\n');
    await rm(dirname(file), { recursive: true });
    expect(modules[0]).toBe(pathToFileURL(main).href);
    const libraries = modules.map(
      (url) => /.*node_modules\/((?:@[^/]+\/)?[^/.][^/]*)\//.exec(url)?.[1],
    );
    expect([...new Set(libraries.filter((name) => name !== undefined))]).toEqual(['commander']);
    // Neither the protocol nor the log nor a verb's own code.
    expect(modules.filter((url) => /dist\/(src\/(?!version)|cli\/verbs\/)/.test(url))).toEqual([]);
    expect(modules.length).toBeLessThan(25);
  });
});
