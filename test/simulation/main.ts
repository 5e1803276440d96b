/**
 * npm run simulate -- --schedules 200000 --seed 1 [--workers 2] [--stop-at-first]
 * npm run simulate -- --seed 42 --trace [--without-faults 0,2] [--without-transactions 1]
 * npm run simulate -- --direction 'late decision' --schedules 1000 [--seed 1 --trace]
 * npm run simulate -- --plan test/simulation/regressions/123.json --trace
 *
 * Exit code 1 if a promise was broken: the seed, the commit and the smallest schedule are printed.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

import { Command, InvalidArgumentError, Option } from 'commander';

import { bundle } from './bundle.ts';
import { ask, runCrew, startWorker, WORKER_LOST, WorkerLostError, type Total } from './crew.ts';
import { drawPlan, without, type Omission, type Plan } from './plan.ts';
import { DIRECTIONS, drawDirected, type Direction } from './directed.ts';
import { shrink } from './shrink.ts';
import type { Finding, Work } from './worker.ts';

const options = new Command('npm run simulate --')
  .description('Runs schedules of the simulation; docs/testing.md says what they are.')
  .option('--schedules <number>', 'how many', count, 20_000)
  .option('--seed <number>', 'the first one', count, 1)
  .option('--workers <number>', 'processes', count, 2)
  .option('--stop-at-first', 'ends with the first finding', false)
  .option('--trace', 'replays one, and prints everything that happened', false)
  .option('--plan <file>', 'the schedule to replay, as test/simulation/regressions/ keeps them')
  .addOption(
    new Option('--direction <name>', 'to one rare coincidence').choices(Object.keys(DIRECTIONS)),
  )
  .option('--without-faults <list>', 'of the schedule that is replayed, e.g. 0,2', counts, [])
  .option('--without-transactions <list>', 'the same', counts, [])
  .parse()
  .opts<{
    readonly schedules: number;
    readonly seed: number;
    readonly workers: number;
    readonly stopAtFirst: boolean;
    readonly trace: boolean;
    readonly plan?: string;
    readonly direction?: Direction;
    readonly withoutFaults: readonly number[];
    readonly withoutTransactions: readonly number[];
  }>();

function count(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new InvalidArgumentError(`Expected a whole number, got "${text}".`);
}

function counts(list: string): number[] {
  return list.split(',').map(count);
}

async function main(): Promise<number> {
  const script = await bundle('worker.ts', `worker-${process.pid}`);
  const { seed: from, schedules, direction, plan: path } = options;
  const omission: Omission = {
    faults: options.withoutFaults,
    transactions: options.withoutTransactions,
  };
  if (path !== undefined) {
    const plan = JSON.parse(readFileSync(path, 'utf8')) as Plan;
    return replay(script, { from: plan.seed, plan, omission });
  }
  const led = direction === undefined ? {} : { direction };
  if (options.trace) return replay(script, { from, omission, ...led });
  const startedAt = performance.now();
  const total = await runCrew({
    script,
    workers: options.workers,
    from,
    count: schedules,
    stopAtFirst: options.stopAtFirst,
    ...led,
    onProgress: (soFar) => {
      console.log(rate(soFar, performance.now() - startedAt));
    },
    onFinding: ({ seed, kind, message }) => {
      console.log(`found: seed ${seed}, ${kind}: ${message}`);
    },
  });
  console.log(rate(total, performance.now() - startedAt));
  console.log(
    [...total.seen]
      .sort()
      .map(([what, times]) => `${what} ${times}`)
      .join(', '),
  );
  await explain(script, total.findings, direction);
  return total.findings.length === 0 ? 0 : 1;
}

function rate(
  { schedules, events, cpuMs, settledMaxMs, rssMaxMb, findings }: Total,
  ms: number,
): string {
  const perSecond = (schedules / ms) * 1_000;
  return (
    `${schedules} schedules, ${events} events in ${(ms / 1_000).toFixed(0)} s: ` +
    `${perSecond.toFixed(0)} schedules/s, ${(cpuMs / schedules).toFixed(2)} ms of processor each; ` +
    `longest until nothing was in doubt after healing ${(settledMaxMs / 1_000).toFixed(1)} s; ` +
    `workers of up to ${rssMaxMb.toFixed(0)} MB; ${findings.length} violations`
  );
}

/** All seeds, by kind; then the first of each kind, as small as it gets. */
async function explain(
  script: string,
  findings: readonly Finding[],
  direction: Direction | undefined,
): Promise<void> {
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
  const firsts = new Map<string, Finding>();
  for (const one of findings) if (!firsts.has(one.kind)) firsts.set(one.kind, one);
  for (const kind of firsts.keys()) {
    const seeds = findings.flatMap((one) => (one.kind === kind ? [one.seed] : []));
    console.log(`\n${kind} (seeds ${seeds.join(' ')}), commit ${commit}`);
  }
  for (const finding of firsts.values()) {
    const { seed, kind, message } = finding;
    console.log(`\n${kind}, seed ${seed}\n  ${message}`);
    const plan = direction === undefined ? drawPlan(seed) : drawDirected(direction, seed);
    console.log(describe(plan, await smallest(script, finding, plan)));
    if (direction !== undefined) console.log(`  of --direction '${direction}'`);
  }
}

/** As small as it gets, or as far as a worker comes with it. */
async function smallest(script: string, { seed, kind }: Finding, plan: Plan): Promise<Omission> {
  let found: Omission = { transactions: [], faults: [] };
  if (kind === WORKER_LOST) return found;
  const worker = startWorker(script);
  try {
    return await shrink(plan, async (omission) => {
      const done = await ask(worker, { from: seed, count: 1, stopAtFirst: true, omission, plan });
      const isSame = done.findings[0]?.kind === kind;
      if (isSame) found = omission;
      return isSame;
    });
  } catch (error) {
    if (!(error instanceof WorkerLostError)) throw error;
    console.error(error.message);
    return found;
  } finally {
    worker.kill('SIGKILL');
  }
}

function describe(plan: Plan, omission: Omission): string {
  const { transactions, faults, ...rest } = without(plan, omission);
  const lines = [
    JSON.stringify(rest),
    ...transactions.map((one) => `transaction ${JSON.stringify(one)}`),
    ...faults.map((one) => `fault ${JSON.stringify(one)}`),
    `again: npm run simulate -- --seed ${plan.seed} --trace` +
      argument('without-faults', omission.faults) +
      argument('without-transactions', omission.transactions),
  ];
  return lines.map((line) => `  ${line}`).join('\n');
}

function argument(name: string, list: readonly number[]): string {
  return list.length === 0 ? '' : ` --${name} ${list.join(',')}`;
}

async function replay(
  script: string,
  what: Pick<Work, 'from' | 'plan' | 'omission' | 'direction'>,
): Promise<number> {
  const worker = startWorker(script);
  const done = await ask(worker, { ...what, count: 1, stopAtFirst: true, keepTrace: true });
  worker.kill();
  if (options.trace) console.log(done.trace.join('\n'));
  console.log(`faults:\n  ${done.faults.join('\n  ')}`);
  console.log(`trace hash ${done.traceHash}`);
  for (const { kind, message } of done.findings) console.log(`${kind}: ${message}`);
  return done.findings.length === 0 ? 0 : 1;
}

process.exitCode = await main();
