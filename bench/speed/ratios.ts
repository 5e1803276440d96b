/** The figures that the targets are about, as far as they were measured. */
import type { ContenderName } from './contenders/contenders.ts';
import type { CaseResult, RoundResult } from './measure.ts';
import { ratiosOf, spreadOf, type Spread } from './statistics.ts';

export interface Figure extends Spread {
  readonly target: string;
}

export interface Figures {
  /** Keys that others read: do not rename. */
  readonly ratios: Readonly<Record<string, Figure>>;
  readonly others: Readonly<Record<string, Figure>>;
}

interface RatioOf {
  readonly name: string;
  readonly concurrency: number;
  readonly ours: ContenderName;
  readonly theirs: ContenderName;
  readonly of: keyof RoundResult;
  readonly target: string;
}

const RATIOS: readonly RatioOf[] = [
  {
    name: 'throughput_c32_vs_independent_commits',
    concurrency: 32,
    ours: 'pgxa',
    theirs: 'local-commits',
    of: 'transactionsPerSecond',
    target: '≥ 0.65',
  },
  {
    name: 'throughput_c32_vs_hand_written',
    concurrency: 32,
    ours: 'pgxa',
    theirs: 'hand-parallel',
    of: 'transactionsPerSecond',
    target: '≥ 1.4',
  },
  {
    name: 'latency_p50_c1_vs_hand_written',
    concurrency: 1,
    ours: 'pgxa',
    theirs: 'hand-parallel',
    of: 'p50Ms',
    target: '≤ 0.8',
  },
  {
    name: 'one_writer_vs_plain',
    concurrency: 32,
    ours: 'pgxa-one-writer',
    theirs: 'plain',
    of: 'transactionsPerSecond',
    target: '≥ 0.95',
  },
  {
    name: 'one_writer_latency_p50_c1_vs_plain',
    concurrency: 1,
    ours: 'pgxa-one-writer',
    theirs: 'plain',
    of: 'p50Ms',
    target: '-',
  },
  {
    name: 'client_cpu_c32_vs_hand_written',
    concurrency: 32,
    ours: 'pgxa',
    theirs: 'hand-parallel',
    of: 'clientCpuMsPerTransaction',
    target: '≤ 1.3',
  },
];

/** All figures are of two participants and one row each. */
export function figuresOf(cases: readonly CaseResult[]): Figures {
  const ratios: Record<string, Figure> = {};
  for (const { name, concurrency, ours, theirs, of, target } of RATIOS) {
    const found = find(cases, concurrency, 0);
    const mine = found?.results.get(ours)?.rounds;
    const other = found?.results.get(theirs)?.rounds;
    if (mine === undefined || other === undefined) continue;
    const values = (rounds: readonly RoundResult[]): number[] => rounds.map((round) => round[of]);
    ratios[name] = { ...ratiosOf(values(mine), values(other)), target };
  }
  return { ratios, others: othersOf(cases) };
}

function othersOf(cases: readonly CaseResult[]): Record<string, Figure> {
  const others: Record<string, Figure> = {};
  for (const [concurrency, target] of [
    [32, '≤ 0.15'],
    [128, '≤ 0.05'],
  ] as const) {
    const log = find(cases, concurrency, 0)?.results.get('pgxa')?.servers?.[0];
    if (log === undefined) continue;
    const { walFlushesPerTransaction: flushes } = log;
    others[`log_flushes_per_transaction_c${concurrency}`] = { ...spreadOf([flushes]), target };
  }
  const far = find(cases, 1, 5)?.results.get('pgxa');
  if (far !== undefined) {
    const p50 = spreadOf(far.rounds.map(({ p50Ms }) => p50Ms));
    others['latency_p50_c1_5ms_added_ms'] = { ...p50, target: '≤ 21 + server time' };
  }
  return others;
}

function find(
  cases: readonly CaseResult[],
  concurrency: number,
  latencyMs: number,
): CaseResult | undefined {
  return cases.find(
    ({ case: one }) =>
      one.workload === 'one-row' &&
      one.participants === 2 &&
      one.concurrency === concurrency &&
      one.latencyMs === latencyMs &&
      one.logLatencyMs === latencyMs,
  );
}
