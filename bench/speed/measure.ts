/** One group of cases: its contenders in turn, round after round, and a check after every run. */
import { setTimeout as delay } from 'node:timers/promises';

import { CONTENDERS, type ContenderName } from './contenders/contenders.ts';
import type { ContenderSetting } from './contenders/contender.ts';
import type { Group } from './group.ts';
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
  /** Of these also the servers' cost is counted, in a run of its own. */
  readonly counted: readonly ContenderName[];
}

export interface Pace {
  readonly rounds: number;
  /** Of each contender alike, once for each group of cases. */
  readonly warmUpSeconds: number;
  readonly seconds: number;
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
  /** What its process had run before the first round. */
  readonly warmUpTransactions: number;
  readonly rounds: readonly RoundResult[];
  /** The log first. */
  readonly servers: readonly CountedCost[] | undefined;
}

/** What each contender was given, at a concurrency that may be above the case's own. */
export interface WarmUp {
  readonly seconds: number;
  readonly concurrency: number;
}

export interface CaseResult {
  readonly case: Case;
  readonly warmUp: WarmUp;
  readonly results: ReadonlyMap<ContenderName, ContenderResult>;
}

export interface Bench {
  readonly setting: Setting;
  /** The built worker. */
  readonly script: string;
  readonly nodeArguments: readonly string[];
  readonly tell: (line: string) => void;
}

type Places = Pick<ContenderSetting, 'log' | 'participants'>;

export async function measure(bench: Bench, group: Group, pace: Pace): Promise<CaseResult[]> {
  const { setting } = bench;
  const [first] = group.cases;
  const places = await delayed(
    { ...setting, participants: setting.participants.slice(0, first.participants) },
    first.latencyMs,
    first.logLatencyMs,
  );
  const warmUp: WarmUp = { seconds: pace.warmUpSeconds, concurrency: group.concurrencyMax };
  try {
    const { warmUps, rounds } = await inTurn(bench, group, pace, places);
    const measured: CaseResult[] = [];
    for (const one of group.cases) {
      const results = new Map<ContenderName, ContenderResult>();
      for (const contender of one.contenders) {
        const servers = one.counted.includes(contender)
          ? await countCost(bench, one, pace, places, contender)
          : undefined;
        results.set(contender, {
          warmUpTransactions: warmUps.get(contender) ?? 0,
          rounds: rounds.get(one)?.get(contender) ?? [],
          servers,
        });
      }
      measured.push({ case: one, warmUp, results });
    }
    return measured;
  } finally {
    await places.close();
  }
}

type Workers = ReadonlyMap<ContenderName, Worker>;
type Rounds = ReadonlyMap<Case, ReadonlyMap<ContenderName, RoundResult[]>>;

async function inTurn(
  bench: Bench,
  group: Group,
  pace: Pace,
  places: Places,
): Promise<{ warmUps: ReadonlyMap<ContenderName, number>; rounds: Rounds }> {
  const workers = new Map<ContenderName, Worker>();
  const rounds: Rounds = new Map(
    group.cases.map((one) => [one, new Map(one.contenders.map((name) => [name, []]))]),
  );
  const given = { ...places, concurrency: group.concurrencyMax };
  try {
    for (const contender of group.contenders) {
      workers.set(contender, await openWorker(bench, group.cases[0], given, contender));
    }
    const warmUps = await warmUp(bench, group, pace, workers);
    for (let round = 1; round <= pace.rounds; round += 1) {
      for (const one of group.cases) {
        // Nobody is always the first.
        for (const contender of rotated(one.contenders, round)) {
          const result = await runOnce(bench, one, pace, contender, workers);
          rounds.get(one)?.get(contender)?.push(result);
          const rate = result.transactionsPerSecond.toFixed(0);
          bench.tell(`  round ${round}, concurrency ${one.concurrency}: ${contender} ${rate}/s`);
        }
      }
    }
    return { warmUps, rounds };
  } finally {
    await Promise.all([...workers.values()].map((worker) => worker.close()));
  }
}

/** Pools, plans, caches, and the code itself; returns how many transactions each one came to. */
async function warmUp(
  { setting, tell }: Bench,
  { cases, contenders, concurrencyMax }: Group,
  { warmUpSeconds }: Pace,
  workers: Workers,
): Promise<ReadonlyMap<ContenderName, number>> {
  const done = new Map<ContenderName, number>();
  for (const contender of contenders) {
    const { transactions } = await checkedRun(
      setting,
      cases[0],
      contender,
      workers.get(contender) as Worker,
      { seconds: warmUpSeconds, concurrency: concurrencyMax, latencies: true },
    );
    done.set(contender, transactions);
    tell(`  warm-up, concurrency ${concurrencyMax}: ${contender} ${transactions} transactions`);
  }
  return done;
}

async function runOnce(
  { setting }: Bench,
  one: Case,
  { seconds }: Pace,
  contender: ContenderName,
  workers: Workers,
): Promise<RoundResult> {
  const worker = workers.get(contender) as Worker;
  const { concurrency } = one;
  // A pool closes what was idle for 10 s, the turns of the others: one transaction of each loop opens it anew.
  const openAgain = { transactions: concurrency, concurrency, latencies: false };
  const request = { seconds, concurrency, latencies: true };
  return roundResultOf(await checkedRun(setting, one, contender, worker, openAgain, request));
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

/**
 * Runs one request after the other, then looks whether the balances are what the transactions made them, and
 * nothing is in doubt; returns what came of the last one.
 */
export async function checkedRun(
  setting: Setting,
  { workload, participants }: Pick<Case, 'workload' | 'participants'>,
  contender: ContenderName,
  worker: Worker,
  ...requests: readonly [...RunRequest[], RunRequest]
): Promise<RunResult> {
  const before = await sumsOf(setting);
  const results: RunResult[] = [];
  for (const request of requests) results.push(await worker.run(request));
  const transactions = results.reduce((sum, result) => sum + result.transactions, 0);
  await noneInDoubt(setting, contender);
  const after = await sumsOf(setting);
  const touched = CONTENDERS[contender].oneWriter ? 1 : participants;
  for (const [index, { name }] of setting.participants.entries()) {
    const each = index < touched ? changeOf(workload, index, touched) : 0;
    const expected = (before[index] ?? 0) + each * transactions;
    if (after[index] !== expected) {
      throw new Error(
        `${contender}: wrong sum of balances on ${name}: expected ${expected} after ` +
          `${transactions} transactions, got ${after[index] ?? 'none'}`,
      );
    }
  }
  return results.at(-1) as RunResult;
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
  places: Places,
  contender: ContenderName,
): Promise<CountedCost[]> {
  const { setting } = bench;
  const databases = [setting.log, ...setting.participants.slice(0, one.participants)];
  const costs = (): Promise<ServerCost[]> =>
    Promise.all(databases.map(({ server }) => costOf(server)));
  const before = await costs();
  const given = { ...places, concurrency: one.concurrency };
  // A profile of it would replace that of the rounds.
  const worker = await openWorker({ ...bench, nodeArguments: [] }, one, given, contender);
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
