/** Child processes that run schedules, and what they found put together. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';

import type { Direction } from './directed.ts';
import type { Done, Finding, Work } from './worker.ts';

/** Schedules handed out at once: about a second of work, so that what is found is told soon. */
const PORTION = 200;
/**
 * Where a worker has worked this long, another one takes its place: nothing that it keeps can pile up. The first
 * thousand schedules of a worker take twice the time of the later ones, so it must not be often.
 */
const SCHEDULES_PER_WORKER = 200_000;
const WORKER_RSS_MAX_MB = 500;
const HEAP_MAX_MB = 700;
/** A schedule ends by itself, also one that never comes to rest: what is silent for so long hangs. */
const SILENCE_MS = 90_000;
/** More than this are not the fault of single schedules. */
const LOST_MAX = 20;
const PROGRESS_MS = 30_000;

export interface CrewOptions {
  readonly script: string;
  readonly workers: number;
  readonly from: number;
  readonly count: number;
  readonly stopAtFirst: boolean;
  readonly direction?: Direction;
  /** How long a worker may be silent. */
  readonly silenceMs?: number;
  /** Called now and then. */
  readonly onProgress?: (total: Total) => void;
  /** Called as soon as something is found; the rest goes on. */
  readonly onFinding?: (finding: Finding) => void;
}

export interface Total {
  schedules: number;
  events: number;
  cpuMs: number;
  settledMaxMs: number;
  /** Of the largest worker. */
  rssMaxMb: number;
  readonly findings: Finding[];
  readonly seen: Map<string, number>;
}

export async function runCrew(options: CrewOptions): Promise<Total> {
  const { from, count, workers, stopAtFirst, direction, onProgress, onFinding } = options;
  const total: Total = {
    schedules: 0,
    events: 0,
    cpuMs: 0,
    settledMaxMs: 0,
    rssMaxMb: 0,
    findings: [],
    seen: new Map(),
  };
  const take = (done: Done): void => {
    add(total, done);
    for (const finding of done.findings) onFinding?.(finding);
  };
  let next = from;
  const work = async (): Promise<void> => {
    const place = new Place(options.script, options.silenceMs);
    try {
      while (next < from + count && !(stopAtFirst && total.findings.length > 0)) {
        const portion = Math.min(PORTION, from + count - next);
        const request: Work = {
          from: next,
          count: portion,
          stopAtFirst,
          ...(direction !== undefined && { direction }),
        };
        next += portion;
        await carryOut(place, request, take);
      }
    } finally {
      place.end();
    }
  };
  const timer = setInterval(() => onProgress?.(total), PROGRESS_MS);
  try {
    await Promise.all(Array.from({ length: workers }, work));
  } finally {
    clearInterval(timer);
  }
  return total;
}

/** The kind of what is found where a schedule costs its worker the life. */
export const WORKER_LOST = 'worker-lost';

/** A worker that died, or has not answered for too long. */
export class WorkerLostError extends Error {}

/** One worker after the other. */
class Place {
  readonly #script: string;
  readonly #silenceMs: number | undefined;
  #child: ChildProcess | undefined;
  #schedules = 0;
  #lost = 0;

  constructor(script: string, silenceMs: number | undefined) {
    this.#script = script;
    this.#silenceMs = silenceMs;
  }

  async run(work: Work): Promise<Done> {
    this.#child ??= startWorker(this.#script);
    try {
      const done = await ask(this.#child, work, this.#silenceMs);
      this.#schedules += done.schedules;
      if (this.#schedules >= SCHEDULES_PER_WORKER || done.rssMb > WORKER_RSS_MAX_MB) this.end();
      return done;
    } catch (error) {
      this.end();
      this.#lost += 1;
      if (this.#lost > LOST_MAX) {
        throw new Error(`${LOST_MAX} workers were lost at one place`, { cause: error });
      }
      throw error;
    }
  }

  end(): void {
    // One that hangs does not listen to anything else.
    this.#child?.kill('SIGKILL');
    this.#child = undefined;
    this.#schedules = 0;
  }
}

/** What costs a worker its life is done again in halves, until the schedule is known that does it. */
async function carryOut(place: Place, work: Work, take: (done: Done) => void): Promise<void> {
  try {
    take(await place.run(work));
    return;
  } catch (error) {
    if (!(error instanceof WorkerLostError)) throw error;
    const { from, count } = work;
    console.error(error.message);
    if (count === 1) {
      take(lostWith({ seed: from, kind: WORKER_LOST, message: error.message }));
      return;
    }
  }
  const half = work.count >> 1;
  await carryOut(place, { ...work, count: half }, take);
  await carryOut(place, { ...work, from: work.from + half, count: work.count - half }, take);
}

function lostWith(finding: Finding): Done {
  return {
    schedules: 1,
    events: 0,
    findings: [finding],
    seen: [],
    settledMaxMs: 0,
    cpuMs: 0,
    rssMb: 0,
    traceHash: '',
    trace: [],
    faults: [],
  };
}

export function startWorker(script: string): ChildProcess {
  return fork(script, [], {
    // Most of what a schedule makes is garbage when it ends: helpers of the collector would only take the other
    // worker's core. Stacks of errors that nobody reads are dear.
    execArgv: [
      '--max-semi-space-size=16',
      '--single-threaded-gc',
      '--stack-trace-limit=0',
      `--max-old-space-size=${HEAP_MAX_MB}`,
    ],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
}

/** Throws WorkerLostError if the worker dies or hangs; whoever started it ends it then. */
export async function ask(child: ChildProcess, work: Work, silenceMs = SILENCE_MS): Promise<Done> {
  const over = new AbortController();
  const { signal } = over;
  const seeds = `in seeds ${work.from} to ${work.from + work.count - 1}`;
  const answer = once(child, 'message', { signal });
  const death = once(child, 'exit', { signal }).then(([code, by]) => {
    throw new WorkerLostError(`the worker died (${String(by ?? code)}) ${seeds}`);
  });
  const silence = delay(silenceMs, undefined, { signal }).then(() => {
    throw new WorkerLostError(`the worker has not answered for ${silenceMs} ms ${seeds}`);
  });
  try {
    child.send(work);
    const [done] = (await Promise.race([answer, death, silence])) as [Done];
    return done;
  } catch (error) {
    if (error instanceof WorkerLostError) throw error;
    throw new WorkerLostError(`the worker cannot be reached any more ${seeds}`, { cause: error });
  } finally {
    over.abort();
    await Promise.allSettled([answer, death, silence]);
  }
}

function add(total: Total, done: Done): void {
  total.schedules += done.schedules;
  total.events += done.events;
  total.cpuMs += done.cpuMs;
  total.settledMaxMs = Math.max(total.settledMaxMs, done.settledMaxMs);
  total.rssMaxMb = Math.max(total.rssMaxMb, done.rssMb);
  total.findings.push(...done.findings);
  for (const [what, times] of done.seen) total.seen.set(what, (total.seen.get(what) ?? 0) + times);
}
