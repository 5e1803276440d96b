/** The command line in a process of its own, for tests. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { waitFor } from './wait.ts';

const main = fileURLToPath(new URL('../../cli/main.ts', import.meta.url));

export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export interface CliProcess {
  readonly process: ChildProcess;
  readonly stdout: () => string;
  readonly stderr: () => string;
  /** Its log, as far as it came. */
  readonly log: () => LogLine[];
  /** Waits for a line of the log. */
  saying(msg: string): Promise<LogLine>;
  /** Resolves with the exit code, or with the signal. */
  readonly ended: Promise<number | NodeJS.Signals | null>;
}

export function startCli(args: readonly string[], env: NodeJS.ProcessEnv = {}): CliProcess {
  const child = spawn(process.execPath, ['--import', 'tsx', main, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    // Without what the machine says of itself: a PGHOST here must not decide a test.
    env: { PATH: process.env['PATH'], HOME: '/nonexistent', ...env },
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const log = (): LogLine[] =>
    stdout
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as LogLine);
  return {
    process: child,
    stdout: () => stdout,
    stderr: () => stderr,
    log,
    saying: (msg) =>
      waitFor(
        `the log to say "${msg}"\n${stderr}`,
        () => {
          if (child.exitCode !== null) throw new Error(`it has ended: ${stdout}${stderr}`);
          return log().find((line) => line.msg.includes(msg));
        },
        { timeoutMs: 20_000 },
      ),
    ended: once(child, 'close').then(
      ([code, signal]) => (signal ?? code) as number | NodeJS.Signals | null,
    ),
  };
}

/** Runs to the end. */
export async function runCli(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<{ code: number | NodeJS.Signals | null; stdout: string; stderr: string }> {
  const cli = startCli(args, env);
  const code = await cli.ended;
  return { code, stdout: cli.stdout(), stderr: cli.stderr() };
}

/** A folder that is gone after the test. */
export interface Folder {
  readonly path: string;
  write(name: string, text: string): Promise<string>;
  remove(): Promise<void>;
}

export async function temporaryFolder(): Promise<Folder> {
  const path = await mkdtemp(join(tmpdir(), 'pgxa-cli-'));
  return {
    path,
    write: async (name, text) => {
      const file = join(path, name);
      await writeFile(file, text, { mode: 0o600 });
      return file;
    },
    remove: () => rm(path, { recursive: true, force: true }),
  };
}
