/** The parent's side of worker.ts. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { parse } from 'node:path';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';

import type { RunRequest, RunResult, WorkerMessage, WorkerPlan, WorkerReply } from './worker.ts';

const CLOSE_TIMEOUT_MS = 15_000;

/**
 * Workers run what is published: plain JavaScript, made once. tsx would wrap every closure that is made, which
 * costs a library more than a short script.
 */
export async function buildWorker(source = new URL('worker.ts', import.meta.url)): Promise<string> {
  // As deep in the project as src/: the library looks for its migrations from where it stands.
  const directory = fileURLToPath(new URL('../../dist/bench/', import.meta.url));
  await mkdir(directory, { recursive: true });
  const outfile = `${directory}${parse(fileURLToPath(source)).name}-${process.pid}.mjs`;
  await build({
    entryPoints: [fileURLToPath(source)],
    outfile,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'warning',
  });
  return outfile;
}

export class Worker {
  readonly #child: ChildProcess;
  #ended: string | undefined;

  private constructor(script: string, nodeArguments: readonly string[]) {
    this.#child = fork(script, { execArgv: ['--expose-gc', ...nodeArguments] });
    this.#child.on('exit', (code, signal) => {
      this.#ended = signal ?? `exit code ${code ?? 'unknown'}`;
    });
  }

  static async open(
    script: string,
    plan: WorkerPlan,
    nodeArguments: readonly string[] = [],
  ): Promise<Worker> {
    const worker = new Worker(script, nodeArguments);
    try {
      await worker.#ask({ kind: 'open', plan });
      return worker;
    } catch (error) {
      await worker.close();
      throw error;
    }
  }

  async run(request: RunRequest): Promise<RunResult> {
    const reply = await this.#ask({ kind: 'run', request });
    if (reply.kind !== 'ran') throw new Error(`a run was answered by "${reply.kind}"`);
    return reply.result;
  }

  /** Ends the process, by force when it does not end by itself. */
  async close(): Promise<void> {
    if (this.#ended !== undefined) return;
    const gone = once(this.#child, 'exit');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), CLOSE_TIMEOUT_MS);
    if (this.#child.connected) this.#child.send({ kind: 'close' } satisfies WorkerMessage);
    else this.#child.kill('SIGKILL');
    await gone;
    clearTimeout(timer);
  }

  async #ask(message: WorkerMessage): Promise<WorkerReply> {
    if (this.#ended !== undefined) throw new Error(`the worker has ended: ${this.#ended}`);
    const child = this.#child;
    const reply = await new Promise<WorkerReply>((resolve, reject) => {
      const onExit = (): void => {
        child.off('message', onMessage);
        reject(new Error(`the worker ended: ${this.#ended ?? 'unknown'}`));
      };
      const onMessage = (answer: unknown): void => {
        child.off('exit', onExit);
        resolve(answer as WorkerReply);
      };
      child.once('exit', onExit);
      child.once('message', onMessage);
      child.send(message);
    });
    if (reply.kind === 'failed') throw new Error(`a contender failed: ${reply.message}`);
    return reply;
  }
}
