import { fork } from 'node:child_process';
import { once } from 'node:events';

import type { Account, Order, Report } from './worker.ts';

/** A process that carries out one order after the other: what it has learned is of use for the next one. */
export class Worker {
  readonly #child;
  readonly #over = new AbortController();
  readonly #death: Promise<never>;

  constructor(script: string) {
    this.#child = fork(script, [], {
      execArgv: ['--max-semi-space-size=64', '--max-old-space-size=8000', '--stack-trace-limit=0'],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#death = once(this.#child, 'exit', { signal: this.#over.signal }).then(() => {
      throw new Error('the worker died: what it said is above');
    });
    this.#death.catch(() => undefined);
  }

  async ask(order: Order): Promise<Report> {
    const answer = once(this.#child, 'message', { signal: this.#over.signal });
    this.#child.send(order);
    const [report] = (await Promise.race([answer, this.#death])) as [Report];
    return report;
  }

  close(): void {
    this.#over.abort();
    this.#child.kill();
  }
}

/** Has a bundled worker carry out one order. */
export async function askWorker(script: string, order: Order): Promise<Report> {
  const worker = new Worker(script);
  try {
    return await worker.ask(order);
  } finally {
    worker.close();
  }
}

export async function askExploration(script: string, order: Order): Promise<Account> {
  const report = await askWorker(script, order);
  if (report.of !== 'exploration') throw new Error('a comparison was not asked for');
  return report.account;
}
