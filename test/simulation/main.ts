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
import { parseArgs } from 'node:util';

import { bundle } from './bundle.ts';
import { ask, runCrew, startWorker, WORKER_LOST, WorkerLostError, type Total } from './crew.ts';
import { drawPlan, without, type Omission, type Plan } from './plan.ts';
import { drawDirected, isDirection, type Direction } from './directed.ts';
import { shrink } from './shrink.ts';
import type { Finding, Work } from './worker.ts';

const { values: options } = parseArgs({
  options: {
    schedules: { type: 'string', default: '20000' },
    seed: { type: 'string', default: '1' },
    workers: { type: 'string', default: '2' },
    trace: { type: 'boolean', default: false },
    plan: { type: 'string' },
    direction: { type: 'string' },
    'stop-at-first': { type: 'boolean', default: false },
    'without-faults': { type: 'string', default: '' },
    'without-transactions': { type: 'string', default: '' },
  },
});

const numbers = (list: string): number[] =>
  list
    .split(',')
    .filter((item) => item !== '')
    .map(Number);

async function main(): Promise<number> {
  const script = await bundle('worker.ts', `worker-${process.pid}`);
  const from = Number(options.seed);
  const count = Number(options.schedules);
  const omission: Omission = {
    faults: numbers(options['without-faults']),
    transactions: numbers(options['without-transactions']),
  };
  const { plan: path } = options;
  if (path !== undefined) {
    const plan = JSON.parse(readFileSync(path, 'utf8')) as Plan;
    return replay(script, { from: plan.seed, plan, omission });
  }
  const direction = directionOf(options.direction);
  const led = direction === undefined ? {} : { direction };
  if (options.trace) return replay(script, { from, omission, ...led });
  const startedAt = performance.now();
  const total = await runCrew({
    script,
    workers: Number(options.workers),
    from,
    count,
    stopAtFirst: options['stop-at-first'],
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

function directionOf(name: string | undefined): Direction | undefined {
  if (name === undefined || isDirection(name)) return name;
  throw new Error(`--direction: expected one of test/simulation/directed.ts, got "${name}"`);
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
