/** The built command line on a terminal of its own (a pty of util-linux's script) that has a size. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';

import { builtCli } from './built-cli.ts';
import { waitFor } from './wait.ts';

export interface OnPty {
  /** Everything that was written to the terminal, control sequences included. */
  readonly screen: () => string;
  /** Waits until this is written, later than what was waited for before. */
  saw(text: string | RegExp): Promise<void>;
  type(keys: string): void;
  resize(columns: number, rows: number): Promise<void>;
  readonly ended: Promise<number | null>;
}

export interface PtyOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly columns?: number;
  readonly rows?: number;
}

export async function startOnPty(
  args: readonly string[],
  { env = {}, columns = 120, rows = 40 }: PtyOptions = {},
): Promise<OnPty> {
  const words = [process.execPath, await builtCli(), ...args];
  const command = words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
  const script = `stty cols ${columns} rows ${rows}; tty; exec ${command}`;
  const child = spawn('script', ['-qefc', script, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { PATH: process.env['PATH'], HOME: '/nonexistent', TERM: 'xterm', ...env },
  });
  let screen = '';
  let seen = 0;
  child.stdout.setEncoding('utf8').on('data', (text: string) => (screen += text));
  const ended = once(child, 'close').then(([code]) => code as number | null);
  return {
    screen: () => screen,
    async saw(text) {
      await waitFor(
        `the terminal to show ${String(text)}`,
        () => {
          const found = positionOf(screen.slice(seen), text);
          if (found === undefined) return false;
          seen += found;
          return true;
        },
        { timeoutMs: 20_000 },
      ).catch((error: unknown) => {
        throw new Error(`${String(error)}\n${JSON.stringify(screen.slice(-3_000))}`);
      });
    },
    type: (keys) => child.stdin.write(keys),
    async resize(toColumns, toRows) {
      const [device = ''] = /\/dev\/pts\/\d+/.exec(screen) ?? [];
      const size = ['cols', String(toColumns), 'rows', String(toRows)];
      await promisify(execFile)('stty', ['-F', device, ...size]);
    },
    ended,
  };
}

/** Where it ends. */
function positionOf(text: string, wanted: string | RegExp): number | undefined {
  const found = typeof wanted === 'string' ? text.indexOf(wanted) : text.search(wanted);
  return found < 0 ? undefined : found + 1;
}
