import { spawn } from 'node:child_process';

export interface CommandOptions {
  readonly uid?: number;
  readonly gid?: number;
  readonly cwd?: string;
  readonly input?: string;
}

/** Runs a program to its end and returns what it wrote; a failure carries all of its output. */
export async function runCommand(
  file: string,
  args: readonly string[],
  { input = '', ...options }: CommandOptions = {},
): Promise<string> {
  const child = spawn(file, args, {
    ...options,
    // A fixed locale: neither initdb nor its messages may depend on who runs them.
    env: { PATH: process.env['PATH'], LC_ALL: 'C', TZ: 'UTC' },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let output = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  child.stdin.on('error', () => undefined).end(input);
  const code = await new Promise<number | string | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status, signal) => {
      resolve(status ?? signal);
    });
  });
  if (code !== 0) {
    throw new Error(`${file} ${args.join(' ')} ended with ${code ?? '?'}\n${errors}${output}`);
  }
  return output;
}
