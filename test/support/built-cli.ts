/**
 * The command line as it is shipped: compiled, and started with plain node. Not in dist/, which other tests
 * remove and make anew; made once for each state of the sources, by whoever comes first.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const cache = join(root, 'node_modules', '.cache', 'pgxa-cli');

/** For the hook in which it is made. */
export const BUILD_TIMEOUT_MS = 240_000;

let built: Promise<string> | undefined;

/** The path of its entry. */
export function builtCli(): Promise<string> {
  return (built ??= build());
}

async function build(): Promise<string> {
  const folder = join(cache, String(newestChange()));
  const main = join(folder, 'dist', 'cli', 'main.js');
  if (existsSync(main)) return main;
  const making = `${folder}.${process.pid}`;
  mkdirSync(making, { recursive: true });
  cpSync(join(root, 'package.json'), join(making, 'package.json'));
  cpSync(join(root, 'migrations'), join(making, 'migrations'), { recursive: true });
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const args = [tsc, '-p', 'tsconfig.build.json', '--outDir', join(making, 'dist')];
  const child = spawn(process.execPath, args, { cwd: root, stdio: 'inherit' });
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) throw new Error(`tsc ended with ${String(code)}`);
  try {
    renameSync(making, folder);
  } catch (error) {
    // Another worker was faster: its build is as good.
    rmSync(making, { recursive: true });
    if (!existsSync(main)) throw error;
  }
  return main;
}

function newestChange(): number {
  const times = ['src', 'cli', 'migrations', 'package.json'].map((name) =>
    newestIn(join(root, name)),
  );
  return Math.floor(Math.max(...times));
}

function newestIn(path: string): number {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(stat.mtimeMs, ...readdirSync(path).map((name) => newestIn(join(path, name))));
}

export interface CliEnd {
  readonly code: number | NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs to the end, off a terminal, without what the machine says of itself. */
export async function runBuilt(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<CliEnd> {
  return (await startBuilt(args, env)).ended;
}

export interface BuiltProcess {
  readonly process: ChildProcess;
  readonly ended: Promise<CliEnd>;
}

/** The same, for a test that does something to the process. */
export async function startBuilt(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<BuiltProcess> {
  const child = spawn(process.execPath, [await builtCli(), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], HOME: '/nonexistent', ...env },
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const ended = once(child, 'close').then(([code, signal]) => ({
    code: (signal ?? code) as CliEnd['code'],
    stdout,
    stderr,
  }));
  return { process: child, ended };
}

/**
 * Runs it on a terminal (a pty of util-linux's script). `answers` are typed, each when its question has
 * been asked.
 */
export async function runOnTerminal(
  args: readonly string[],
  answers: readonly { readonly when: string; readonly type: string }[] = [],
  env: NodeJS.ProcessEnv = {},
): Promise<{ readonly code: number | null; readonly screen: string }> {
  const words = [process.execPath, await builtCli(), ...args];
  const command = words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
  const child = spawn('script', ['-qefc', command, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { PATH: process.env['PATH'], HOME: '/nonexistent', TERM: 'xterm', ...env },
  });
  let screen = '';
  const waiting = [...answers];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    screen += text;
    const [next] = waiting;
    if (next === undefined || !screen.includes(next.when)) return;
    waiting.shift();
    child.stdin.write(next.type);
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, screen };
}
