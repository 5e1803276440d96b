/** One case: its contenders in turn, round after round, and a check after every run. */
import { setTimeout as delay } from 'node:timers/promises';

import { CONTENDERS, type ContenderName } from './contenders/contenders.ts';
import type { ContenderSetting } from './contenders/contender.ts';
import { costOf, difference, type ServerCost } from './server-cost.ts';
import { delayed, inDoubtIn, sumsOf, type Database, type Setting } from './setting.ts';
import { percentile } from './statistics.ts';
import type { RunRequest, RunResult } from './worker.ts';
import { Worker } from './worker-process.ts';
import { changeOf, type Workload } from './workload.ts';

export interface Case {
  readonly workload: Workload;
  readonly participants: number;
  readonly concurrency: number;
  /** Added to every round trip to a participant. */
  readonly latencyMs: number;
  /** Added to every round trip to the log. */
  readonly logLatencyMs: number;
  readonly contenders: readonly ContenderName[];
}

export interface Pace {
  readonly rounds: number;
  readonly warmUpSeconds: number;
  readonly seconds: number;
  /** Contenders whose servers' cost is counted, in a run of its own. */
  readonly counted: readonly ContenderName[];
}

export interface RoundResult {
  readonly transactionsPerSecond: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly clientCpuMsPerTransaction: number;
  readonly transactions: number;
  readonly retried: number;
}

export interface CountedCost {
  readonly name: string;
  readonly walFlushesPerTransaction: number;
  readonly cpuMsPerTransaction: number | undefined;
}

export interface ContenderResult {
  readonly rounds: readonly RoundResult[];
  /** The log first. */
  readonly servers: readonly CountedCost[] | undefined;
}

export interface CaseResult {
  readonly case: Case;
  readonly results: ReadonlyMap<ContenderName, ContenderResult>;
}

export interface Bench {
  readonly setting: Setting;
  /** The built worker. */
  readonly script: string;
  readonly nodeArguments: readonly string[];
  readonly tell: (line: string) => void;
}

export async function measure(bench: Bench, one: Case, pace: Pace): Promise<CaseResult> {
  const { setting } = bench;
  const places = await delayed(
    { ...setting, participants: setting.participants.slice(0, one.participants) },
    one.latencyMs,
    one.logLatencyMs,
  );
  const given: ContenderSetting = { ...places, concurrency: one.concurrency };
  try {
    const rounds = await inTurn(bench, one, pace, given);
    const results = new Map<ContenderName, ContenderResult>();
    for (const contender of one.contenders) {
      const servers = pace.counted.includes(contender)
        ? await countCost(bench, one, pace, given, contender)
        : undefined;
      results.set(contender, { rounds: rounds.get(contender) ?? [], servers });
    }
    return { case: one, results };
  } finally {
    await places.close();
  }
}

async function inTurn(
  bench: Bench,
  one: Case,
  pace: Pace,
  given: ContenderSetting,
): Promise<Map<ContenderName, RoundResult[]>> {
  const workers = new Map<ContenderName, Worker>();
  const rounds = new Map<ContenderName, RoundResult[]>();
  try {
    for (const contender of one.contenders) {
      workers.set(contender, await openWorker(bench, one, given, contender));
      rounds.set(contender, []);
    }
    // The first round warms up: pools, plans, caches, and the code itself.
    for (let round = 0; round <= pace.rounds; round += 1) {
      // Nobody is always the first, or always behind the same one.
      for (const contender of rotated(one.contenders, round)) {
        const worker = workers.get(contender) as Worker;
        const seconds = round === 0 ? pace.warmUpSeconds * warmUpFactor(one) : pace.seconds;
        const result = await checkedRun(bench.setting, one, contender, worker, {
          seconds,
          latencies: true,
        });
        if (round === 0) continue;
        rounds.get(contender)?.push(roundResultOf(result));
        const rate = (result.transactions / result.seconds).toFixed(0);
        bench.tell(`  round ${round}: ${contender} ${rate}/s`);
      }
    }
    return rounds;
  } finally {
    await Promise.all([...workers.values()].map((worker) => worker.close()));
  }
}

/** The compiler warms up by transactions and not by seconds, and few at a time take longer for as many. */
function warmUpFactor({ concurrency }: Case): number {
  return concurrency < 8 ? 3 : 1;
}

export function openWorker(
  { script, nodeArguments }: Bench,
  { workload }: Pick<Case, 'workload'>,
  given: ContenderSetting,
  contender: ContenderName,
): Promise<Worker> {
  const named = nodeArguments.map((one) => one.replace('{contender}', contender));
  return Worker.open(script, { ...given, contender, workload }, named);
}

/** Runs, then looks whether the balances are what the transactions made them, and nothing is in doubt. */
export async function checkedRun(
  setting: Setting,
  { workload, participants }: Pick<Case, 'workload' | 'participants'>,
  contender: ContenderName,
  worker: Worker,
  request: RunRequest,
): Promise<RunResult> {
  const before = await sumsOf(setting);
  const result = await worker.run(request);
  await noneInDoubt(setting, contender);
  const after = await sumsOf(setting);
  const touched = CONTENDERS[contender].oneWriter ? 1 : participants;
  for (const [index, { name }] of setting.participants.entries()) {
    const each = index < touched ? changeOf(workload, index, touched) : 0;
    const expected = (before[index] ?? 0) + each * result.transactions;
    if (after[index] !== expected) {
      throw new Error(
        `${contender}: wrong sum of balances on ${name}: expected ${expected} after ` +
          `${result.transactions} transactions, got ${after[index] ?? 'none'}`,
      );
    }
  }
  return result;
}

const SETTLED_WITHIN_MS = 10_000;

/** A branch that was reported as pending may take a moment more. */
async function noneInDoubt(setting: Setting, contender: ContenderName): Promise<void> {
  const untilMs = performance.now() + SETTLED_WITHIN_MS;
  for (;;) {
    const count = await inDoubtIn(setting);
    if (count === 0) return;
    if (performance.now() > untilMs) {
      throw new Error(`${contender}: ${count} branches are left in doubt`);
    }
    await delay(50);
  }
}

/** Sessions tell the server what they did when they end: so a worker of its own, from its start to its end. */
async function countCost(
  bench: Bench,
  one: Case,
  pace: Pace,
  given: ContenderSetting,
  contender: ContenderName,
): Promise<CountedCost[]> {
  const { setting } = bench;
  const databases = [setting.log, ...setting.participants.slice(0, one.participants)];
  const costs = (): Promise<ServerCost[]> =>
    Promise.all(databases.map(({ server }) => costOf(server)));
  const before = await costs();
  const worker = await openWorker(bench, one, given, contender);
  let transactions = 0;
  try {
    const request = { seconds: pace.seconds, latencies: false };
    ({ transactions } = await checkedRun(setting, one, contender, worker, request));
  } finally {
    await worker.close();
  }
  const after = await costs();
  return databases.map(({ name }: Database, index) => {
    const spent = difference(before[index] as ServerCost, after[index] as ServerCost);
    return {
      name,
      walFlushesPerTransaction: spent.walFlushes / transactions,
      cpuMsPerTransaction:
        spent.cpuSeconds === undefined ? undefined : (spent.cpuSeconds * 1_000) / transactions,
    };
  });
}

function roundResultOf(result: RunResult): RoundResult {
  const { latencies, transactions } = result;
  return {
    transactionsPerSecond: transactions / result.seconds,
    p50Ms: percentile(latencies, 0.5),
    p95Ms: percentile(latencies, 0.95),
    p99Ms: percentile(latencies, 0.99),
    p999Ms: percentile(latencies, 0.999),
    clientCpuMsPerTransaction: (result.cpuSeconds * 1_000) / transactions,
    transactions,
    retried: result.retried,
  };
}

function rotated<T>(values: readonly T[], by: number): T[] {
  const at = by % values.length;
  return [...values.slice(at), ...values.slice(0, at)];
}
