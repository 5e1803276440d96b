/**
 * npm run simulate:small-world -- [--bounds 1/1/2,2/0/1] [--workers 2] [--minutes 10] [--without tombstone]
 *
 * Explores every run of the small world, for bounds of crashes/lost messages/recoverers. Exit code 1 if a promise is broken,
 * if a bound could not be explored whole, or if something that must come up never did.
 *
 * --minutes          gives up on a bound after so long
 * --without          removes the guards whose name matches: a violation is expected then, and its absence is the failure
 * --tests            by how many tests states of a process are told apart; 0: by all that it has done and seen
 * --reads-are-steps  a reply that has come is read at any time later
 * --compare          goes so many ways at random, and compares the parts with whole processes (--seed: from this one on)
 */
import { parseArgs } from 'node:util';

import { bundle } from '../bundle.ts';
import { GUARDS } from '../guards.ts';
import { Worker } from './ask.ts';
import { missingFrom } from './expected.ts';
import type { Bounds } from './choice.ts';
import type { Comparison } from './parts/compare.ts';
import type { Account, Report } from './worker.ts';

/** Those that take minutes; the figures are in docs/testing.md. */
const BOUNDS = '0/1/1,0/0/2,1/0/1,1/1/0,2/0/0,0/1/0,0/0/1,1/0/0';

const { values: options } = parseArgs({
  options: {
    bounds: { type: 'string', default: BOUNDS },
    workers: { type: 'string', default: '2' },
    minutes: { type: 'string' },
    without: { type: 'string' },
    tests: { type: 'string', default: '0' },
    'reads-are-steps': { type: 'boolean', default: false },
    compare: { type: 'string', default: '0' },
    seed: { type: 'string', default: '1' },
  },
});

function boundsOf(text: string): Bounds {
  const match = /^([0-4])\/([0-4])\/([0-2])$/.exec(text.trim());
  if (match === null) {
    throw new Error(
      `--bounds: expected crashes/lost messages/recoverers, up to 4/4/2, and got "${text}"`,
    );
  }
  const [crashes = 0, losses = 0, recoverers = 0] = match.slice(1).map(Number);
  return { crashes, losses, recoverers };
}

function numberOf(name: 'workers' | 'tests' | 'compare' | 'seed' | 'minutes'): number {
  const number = Number(options[name]);
  if (Number.isFinite(number) && number >= 0) return number;
  throw new Error(`--${name}: expected a number, and got "${options[name] ?? ''}"`);
}

function describe(name: string, account: Account): string {
  const { isComplete, states, merged, steps, deepest, ends, ms, cpuMs } = account;
  const counts = (list: readonly (readonly [string, number])[]): string =>
    list.map(([what, times]) => `${what} ${times}`).join(', ');
  return [
    `${name}: ${isComplete ? 'complete' : 'NOT COMPLETE'}, ${states} states, ${steps} steps ` +
      `(${merged} merged), deepest ${deepest}, ${ends} ends, ` +
      `${(ms / 1_000).toFixed(0)} s, ${(cpuMs / 1_000).toFixed(0)} s of processor`,
    `  learned: ${account.learned}`,
    `  ends: ${counts(account.outcomes)}`,
    `  faults: ${counts(account.faults)}`,
    ...account.found.map(({ kind, message }) => `  VIOLATION ${kind}: ${message}`),
    ...account.story.map((line) => `    ${line}`),
  ].join('\n');
}

/** True if it is as it should be. */
function isAsExpected(name: string, bounds: Bounds, report: Report): boolean {
  if (report.of === 'comparison') return tellComparison(name, report.comparison);
  const { account } = report;
  console.log(describe(name, account));
  const isBroken = account.found.length > 0;
  if (options.without !== undefined) return isBroken;
  const missing = isBroken ? [] : missingFrom(account, bounds);
  for (const what of missing) console.log(`  NEVER SEEN: ${what}`);
  return !isBroken && account.isComplete && missing.length === 0;
}

function tellComparison(name: string, { steps, differences }: Comparison): boolean {
  console.log(`${name}: ${steps} steps compared, ${differences.length} ways differ`);
  for (const difference of differences) console.log(`  ${difference}`);
  return differences.length === 0;
}

async function main(): Promise<number> {
  const { without } = options;
  const guards = GUARDS.filter(
    ({ name }) => without !== undefined && new RegExp(without).test(name),
  );
  if (without !== undefined && guards.length === 0) throw new Error(`no guard matches ${without}`);
  const patches = guards.flatMap((guard) => guard.patches);
  const script = await bundle('small-world/worker.ts', `small-world-${process.pid}`, patches);
  const queue = options.bounds.split(',');
  const failures: string[] = [];
  const workers = Array.from({ length: numberOf('workers') }, async () => {
    const worker = new Worker(script);
    for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
      const bounds = boundsOf(name);
      const report = await worker.ask({
        bounds,
        ms: options.minutes === undefined ? undefined : numberOf('minutes') * 60_000,
        stopAtFirst: true,
        tests: numberOf('tests'),
        readsAreSteps: options['reads-are-steps'],
        saysProgress: true,
        ways: numberOf('compare'),
        firstSeed: numberOf('seed'),
      });
      if (!isAsExpected(name, bounds, report)) failures.push(name);
    }
    worker.close();
  });
  await Promise.all(workers);
  return failures.length === 0 ? 0 : 1;
}

process.exitCode = await main();
