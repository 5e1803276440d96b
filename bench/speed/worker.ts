/**
 * One contender in a process of its own, so that its CPU is its own and the delaying proxies and the other
 * contenders do not slow it. Told what to do by its parent; ends when the parent goes.
 */
import { CONTENDERS, type ContenderName } from './contenders/contenders.ts';
import type { Contender, ContenderSetting } from './contenders/contender.ts';
import { workOf, type Workload } from './workload.ts';

export interface WorkerPlan extends ContenderSetting {
  readonly contender: ContenderName;
  readonly workload: Workload;
}

export interface RunRequest {
  /** Ends the loops after this time, or after so many transactions. */
  readonly seconds?: number;
  readonly transactions?: number;
  /** Transactions at a time, at most as many as the contender's pools have sessions; these by default. */
  readonly concurrency?: number;
  /** All latencies come back, sorted; without it only the counts. */
  readonly latencies: boolean;
}

export interface RunResult {
  readonly transactions: number;
  /** Rolled back for a reason that running again mends; they are run again. */
  readonly retried: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
  /** Milliseconds, ascending. */
  readonly latencies: readonly number[];
  readonly heapBytes: number;
}

export type WorkerMessage =
  | { readonly kind: 'open'; readonly plan: WorkerPlan }
  | { readonly kind: 'run'; readonly request: RunRequest }
  | { readonly kind: 'close' };

export type WorkerReply =
  | { readonly kind: 'opened' }
  | { readonly kind: 'ran'; readonly result: RunResult }
  | { readonly kind: 'failed'; readonly message: string };

let opened: { readonly contender: Contender; readonly plan: WorkerPlan } | undefined;

process.on('message', (message: WorkerMessage) => {
  void serve(message);
});
process.on('disconnect', () => process.exit(1));

async function serve(message: WorkerMessage): Promise<void> {
  try {
    switch (message.kind) {
      case 'open':
        opened = {
          contender: await CONTENDERS[message.plan.contender].open(message.plan),
          plan: message.plan,
        };
        reply({ kind: 'opened' });
        return;
      case 'run':
        reply({ kind: 'ran', result: await run(message.request) });
        return;
      case 'close':
        await opened?.contender.close();
        process.disconnect();
        return;
    }
  } catch (error) {
    reply({ kind: 'failed', message: describe(error) });
  }
}

function reply(message: WorkerReply): void {
  process.send?.(message);
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { stack = error.message, cause } = error;
  return cause === undefined ? stack : `${stack}\ncaused by: ${describe(cause)}`;
}

async function run(request: RunRequest): Promise<RunResult> {
  if (opened === undefined) throw new Error('run before open');
  const { contender, plan } = opened;
  const { concurrency = plan.concurrency } = request;
  const participants = CONTENDERS[plan.contender].oneWriter ? 1 : plan.participants.length;
  const latencies: number[] = [];
  let retried = 0;
  let left = request.transactions ?? Number.POSITIVE_INFINITY;
  let done = 0;
  const began = performance.now();
  const cpu = process.cpuUsage();
  const untilMs = began + (request.seconds ?? Number.POSITIVE_INFINITY) * 1_000;
  const loop = async (which: number): Promise<void> => {
    while (left > 0 && performance.now() < untilMs) {
      left -= 1;
      const work = workOf(plan.workload, participants, which, concurrency);
      const sentMs = performance.now();
      for (;;) {
        try {
          await contender.transact(work);
          break;
        } catch (error) {
          if (!mayRunAgain(error)) throw error;
          retried += 1;
        }
      }
      if (request.latencies) latencies.push(performance.now() - sentMs);
      done += 1;
    }
  };
  await Promise.all(Array.from({ length: concurrency }, (_, which) => loop(which)));
  const seconds = (performance.now() - began) / 1_000;
  const { user, system } = process.cpuUsage(cpu);
  (globalThis as { gc?: () => void }).gc?.();
  return {
    transactions: done,
    retried,
    seconds,
    cpuSeconds: (user + system) / 1e6,
    latencies: latencies.sort((a, b) => a - b),
    heapBytes: process.memoryUsage().heapUsed,
  };
}

/** Deadlocks, and what pgxa calls retryable: surely not done. Everything else breaks the benchmark off. */
function mayRunAgain(error: unknown): boolean {
  const { code, retryable } = error as { code?: unknown; retryable?: unknown };
  return code === '40P01' || retryable === true;
}
