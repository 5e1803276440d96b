/** Child processes that run schedules, and what they found put together. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';

import type { Direction } from './directed.ts';
import type { Done, Finding, Work } from './worker.ts';

/** Schedules handed out at once: seconds of work. */
const PORTION = 1_000;

export interface CrewOptions {
  readonly script: string;
  readonly workers: number;
  readonly from: number;
  readonly count: number;
  readonly stopAtFirst: boolean;
  readonly direction?: Direction;
  /** Called after every portion. */
  readonly onProgress?: (total: Total) => void;
}

export interface Total {
  schedules: number;
  events: number;
  cpuMs: number;
  settledMaxMs: number;
  readonly findings: Finding[];
  readonly seen: Map<string, number>;
}

export async function runCrew(options: CrewOptions): Promise<Total> {
  const { from, count, workers, stopAtFirst, direction, onProgress } = options;
  const total: Total = {
    schedules: 0,
    events: 0,
    cpuMs: 0,
    settledMaxMs: 0,
    findings: [],
    seen: new Map(),
  };
  let next = from;
  const work = async (): Promise<void> => {
    const child = startWorker(options.script);
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
        add(total, await ask(child, request));
        onProgress?.(total);
      }
    } finally {
      child.kill();
    }
  };
  await Promise.all(Array.from({ length: workers }, work));
  return total;
}

export function startWorker(script: string): ChildProcess {
  return fork(script, [], {
    // Most of what a schedule makes is garbage when it ends: helpers of the collector would only take the other
    // worker's core. Stacks of errors that nobody reads are dear.
    execArgv: ['--max-semi-space-size=16', '--single-threaded-gc', '--stack-trace-limit=0'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
}

export async function ask(child: ChildProcess, work: Work): Promise<Done> {
  const over = new AbortController();
  const { signal } = over;
  const answer = once(child, 'message', { signal });
  const death = once(child, 'exit', { signal }).then(() => {
    throw new Error(`the worker died in seeds ${work.from} to ${work.from + work.count - 1}`);
  });
  child.send(work);
  try {
    const [done] = (await Promise.race([answer, death])) as [Done];
    return done;
  } finally {
    over.abort();
    await Promise.allSettled([answer, death]);
  }
}

function add(total: Total, done: Done): void {
  total.schedules += done.schedules;
  total.events += done.events;
  total.cpuMs += done.cpuMs;
  total.settledMaxMs = Math.max(total.settledMaxMs, done.settledMaxMs);
  total.findings.push(...done.findings);
  for (const [what, times] of done.seen) total.seen.set(what, (total.seen.get(what) ?? 0) + times);
}
