/** A process that runs schedules: told which by its parent, tells what it found. */
import { drawDirected, type Direction } from './directed.ts';
import type { ClientKind } from './host.ts';
import type { Omission, Plan } from './plan.ts';
import { runSchedule, type ScheduleResult } from './schedule.ts';

export interface Work {
  readonly from: number;
  readonly count: number;
  /** Ends with the first violation. */
  readonly stopAtFirst: boolean;
  /** Instead of those that are drawn from the seeds. */
  readonly plan?: Plan;
  /** Instead, schedules that lead to a rare coincidence. */
  readonly direction?: Direction;
  readonly omission?: Omission;
  readonly keepTrace?: boolean;
  readonly client?: ClientKind;
}

export interface Finding {
  readonly seed: number;
  readonly kind: string;
  readonly message: string;
}

export interface Done {
  readonly schedules: number;
  readonly events: number;
  readonly findings: readonly Finding[];
  readonly seen: readonly (readonly [string, number])[];
  readonly settledMaxMs: number;
  readonly cpuMs: number;
  /** Memory of the worker at the end. */
  readonly rssMb: number;
  /** Of the last schedule. */
  readonly traceHash: string;
  readonly trace: readonly string[];
  readonly faults: readonly string[];
}

function runAll(work: Work): Done {
  const { from, count, stopAtFirst, direction, omission, keepTrace, client } = work;
  const seen = new Map<string, number>();
  const findings: Finding[] = [];
  const cpu = process.cpuUsage();
  let last: ScheduleResult | undefined;
  let schedules = 0;
  let events = 0;
  let settledMaxMs = 0;
  for (let seed = from; seed < from + count; seed += 1) {
    const plan = direction === undefined ? work.plan : drawDirected(direction, seed);
    last = runSchedule(seed, {
      ...(plan && { plan }),
      ...(omission && { omission }),
      ...(client && { client }),
      keepTrace: keepTrace ?? false,
    });
    schedules += 1;
    events += last.events;
    settledMaxMs = Math.max(settledMaxMs, last.settledAfterMs);
    for (const [what, times] of last.seen) seen.set(what, (seen.get(what) ?? 0) + times);
    const [first] = last.violations;
    if (first === undefined) continue;
    findings.push({ seed, kind: first.kind, message: first.message });
    if (stopAtFirst) break;
  }
  const { user, system } = process.cpuUsage(cpu);
  return {
    schedules,
    events,
    findings,
    seen: [...seen],
    settledMaxMs,
    cpuMs: (user + system) / 1_000,
    rssMb: process.memoryUsage.rss() / 1_048_576,
    traceHash: last?.traceHash ?? '',
    trace: last?.trace ?? [],
    faults: last?.faults ?? [],
  };
}

// Outside of every promise: the simulation empties the queue of promises itself.
process.on('message', (work: Work) => {
  setImmediate(() => {
    process.send?.(runAll(work));
  });
});
