/** How the cost of a transaction grows, with what: one measurement by name. */
import { measureAll, withBench } from '../speed/bench.ts';
import { groupOf } from '../speed/group.ts';
import type { Case, Pace } from '../speed/measure.ts';
import { spreadOf } from '../speed/statistics.ts';
import { decisions } from './decisions.ts';
import { heap } from './heap.ts';
import { memory } from './memory.ts';

export interface GrowthOptions {
  readonly rounds?: number;
  readonly seconds?: number;
  readonly rows?: number;
  readonly transactions?: number;
}

type Measurement = (options: GrowthOptions) => Promise<object>;

export const GROWTH: Readonly<Record<string, Measurement>> = {
  /** More writers in one transaction. */
  participants: (options) =>
    series(
      [2, 4, 8].map((participants) => caseOf({ participants })),
      options,
    ),
  /** More transactions at a time. */
  'in-flight': (options) =>
    series(
      [128, 256, 512, 1_024].map((concurrency) => caseOf({ concurrency })),
      options,
    ),
  decisions,
  memory,
  heap,
};

export async function runGrowth(what: string, options: GrowthOptions): Promise<object> {
  const measurement = GROWTH[what];
  if (measurement === undefined) throw new Error(`"${what}" is not measured`);
  const found = await measurement(options);
  console.log(JSON.stringify(found, null, 2));
  return found;
}

const CONTENDERS = ['local-commits', 'hand-parallel', 'pgxa'] as const;

function caseOf(differs: Partial<Case>): Case {
  return {
    workload: 'one-row',
    participants: 2,
    concurrency: 32,
    latencyMs: 0,
    logLatencyMs: 0,
    contenders: CONTENDERS,
    counted: CONTENDERS,
    ...differs,
  };
}

async function series(cases: readonly Case[], options: GrowthOptions): Promise<object> {
  const pace: Pace = {
    rounds: options.rounds ?? 3,
    seconds: options.seconds ?? 5,
    warmUpSeconds: 4,
  };
  // Each in processes of its own: a thousand idle sessions of the last case would weigh on the first one.
  const groups = cases.map((one) => groupOf([one]));
  const results = await withBench(cases, undefined, (bench) => measureAll(bench, groups, pace));
  return results.map(({ case: one, results: contenders }) => ({
    participants: one.participants,
    concurrency: one.concurrency,
    ...Object.fromEntries(
      [...contenders].map(([name, { rounds, servers }]) => [
        name,
        {
          transactionsPerSecond: spreadOf(rounds.map((round) => round.transactionsPerSecond)),
          p50Ms: spreadOf(rounds.map((round) => round.p50Ms)).median,
          p99Ms: spreadOf(rounds.map((round) => round.p99Ms)).median,
          clientCpuMs: spreadOf(rounds.map((round) => round.clientCpuMsPerTransaction)).median,
          servers,
        },
      ]),
    ),
  }));
}
