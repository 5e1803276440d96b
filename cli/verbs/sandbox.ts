import { existsSync } from 'node:fs';
import { relative, resolve } from 'node:path';

import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { VerbContext } from '../program.ts';
import { configText, existsAlready, removeConfig, writeConfig } from '../sandbox/config-text.ts';
import type { Doubt } from '../sandbox/doubt.ts';
import { SandboxProblem } from '../sandbox/problem.ts';
import { Sandbox } from '../sandbox/sandbox.ts';
import type { Terminal } from '../terminal.ts';
import { shellWord } from '../triage/text.ts';

export interface SandboxOptions {
  readonly dir?: string;
  readonly bin?: string;
  readonly port?: number;
  readonly withDoubt?: true;
  readonly keep?: true;
  readonly force?: true;
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Stays until a signal comes. On stdout: the path of the configuration, once everything is ready. */
export async function runSandbox(
  { terminal, configPath }: VerbContext,
  options: SandboxOptions,
): Promise<ExitCode> {
  const file = resolve(terminal.cwd, configPath ?? 'pgxa.yaml');
  const interrupted = new AbortController();
  const interrupt = (): void => {
    interrupted.abort();
  };
  for (const signal of SIGNALS) process.on(signal, interrupt);
  try {
    if (options.force !== true && existsSync(file)) throw existsAlready(file);
    const { dir, bin, port, keep } = options;
    say(terminal, 'starting a decision log and two participants …');
    const wishes = { dir, bin, port, keep: keep === true, cwd: terminal.cwd };
    await work(await Sandbox.prepare(wishes), file, options, terminal, interrupted.signal);
    return EXIT.fine;
  } catch (thrown) {
    if (interrupted.signal.aborted) return EXIT.fine;
    if (!(thrown instanceof SandboxProblem)) throw thrown;
    terminal.stderr.write(`pgxa: ${thrown.message}\n`);
    return thrown.exitCode;
  } finally {
    for (const signal of SIGNALS) process.removeListener(signal, interrupt);
  }
}

async function work(
  sandbox: Sandbox,
  file: string,
  options: SandboxOptions,
  terminal: Terminal,
  interrupted: AbortSignal,
): Promise<void> {
  let text: string | undefined;
  try {
    await sandbox.start();
    interrupted.throwIfAborted();
    const doubt = options.withDoubt === true ? await sandbox.leaveDoubt() : undefined;
    const written = await configText(sandbox.places);
    await writeConfig(file, written, { force: options.force === true });
    text = written;
    terminal.stdout.write(`${file}\n`);
    welcome(terminal, sandbox, file, doubt);
    await untilInterrupted(sandbox, terminal, interrupted);
  } finally {
    say(terminal, 'stopping the servers …');
    await sandbox.stop();
    if (!sandbox.isKept && text !== undefined) await removeConfig(file, text);
    const kept = `kept ${sandbox.path}; to go on: pgxa sandbox --force --keep --dir ${shellWord(sandbox.path)}`;
    say(terminal, sandbox.isKept ? kept : 'the servers and their data are gone');
  }
}

async function untilInterrupted(
  sandbox: Sandbox,
  terminal: Terminal,
  interrupted: AbortSignal,
): Promise<void> {
  for (const server of sandbox.servers) {
    void server.ended().then((how) => {
      if (interrupted.aborted) return;
      say(terminal, `server ${server.name} has ended (${how}); the others go on`);
    });
  }
  // Children alone would keep the process alive, but what if all of them were ended to try it?
  const alive = setInterval(() => undefined, 60_000);
  await new Promise<void>((resolve) => {
    if (interrupted.aborted) resolve();
    interrupted.addEventListener('abort', () => {
      resolve();
    });
  });
  clearInterval(alive);
}

function welcome(
  terminal: Terminal,
  { servers, version, path }: Sandbox,
  file: string,
  doubt: Doubt | undefined,
): void {
  const pgxa = commandFor(file, terminal);
  const places = servers.map(
    ({ name, port, pid }) => `${name} 127.0.0.1:${port} (pid ${pid ?? '?'})`,
  );
  const lines = [
    `PostgreSQL ${version}: ${places.join(', ')}`,
    `Data in ${path}; configuration in ${file}`,
    '',
    ...(doubt === undefined ? tryWithoutDoubt(pgxa) : tryDoubt(pgxa, doubt)),
    '',
    'In another terminal. Ctrl-C here stops the servers.',
  ];
  terminal.stderr.write(`${lines.join('\n')}\n`);
}

function tryDoubt(pgxa: string, { decided, undecided, foreign }: Doubt): string[] {
  return [
    'A coordinator was killed with two transactions in its hands, and somebody else left one of his. Try',
    `  ${pgxa} list`,
    `  ${pgxa} explain ${undecided}    nobody has decided it`,
    `  ${pgxa} force commit ${undecided} --reason 'I try it'`,
    `  ${pgxa} resolve ${decided}    it is to be committed`,
    `  ${pgxa} explain ${shellWord(foreign)}    hands off`,
    `  ${pgxa} triage    the same, guided`,
    `  ${pgxa} history --audit    what you have done`,
  ];
}

function tryWithoutDoubt(pgxa: string): string[] {
  return [
    'Try',
    `  ${pgxa} list    nothing is in doubt (pgxa sandbox --with-doubt leaves something)`,
    `  ${pgxa} watch    while your program runs with this configuration`,
    `  ${pgxa} daemon    finishes what is left in doubt`,
  ];
}

/** As it has to be typed in the folder where the sandbox was started. */
function commandFor(file: string, { cwd, env }: Terminal): string {
  const isFoundByItself =
    file === resolve(cwd, 'pgxa.yaml') &&
    (env['PGXA_CONFIG'] === undefined || env['PGXA_CONFIG'] === '');
  if (isFoundByItself) return 'pgxa';
  const near = relative(cwd, file);
  return `pgxa --config ${shellWord(near.startsWith('..') ? file : near)}`;
}

function say(terminal: Terminal, text: string): void {
  terminal.stderr.write(`${text}\n`);
}
