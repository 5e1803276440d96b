/** Verbs of the shipped `pgxa`, each in a process of its own, as an operator's script runs them. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

export interface VerbEnd {
  /** Null: it was killed. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly ms: number;
}

export interface Pgxa {
  /** The entry of the compiled command line. */
  readonly main: string;
  readonly configFile: string;
}

/** Every verb has limits of its own; one that is there after this has none. */
const VERB_MS = 60_000;

export async function runVerb(pgxa: Pgxa, ...args: readonly string[]): Promise<VerbEnd> {
  const startedMs = performance.now();
  const child = spawn(process.execPath, [pgxa.main, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: environmentOf(pgxa),
  });
  const late = setTimeout(() => child.kill('SIGKILL'), VERB_MS);
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const [code] = (await once(child, 'close')) as [number | null];
  clearTimeout(late);
  return { code, stdout, stderr, ms: Math.round(performance.now() - startedMs) };
}

/** Without what the machine says of itself. */
export function environmentOf({ configFile }: Pick<Pgxa, 'configFile'>): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'], HOME: '/nonexistent', PGXA_CONFIG: configFile };
}
