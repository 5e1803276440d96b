/**
 * npm run simulate:small-world -- [--bounds 1/1/2,2/0/1] [--workers 2] [--minutes 10] [--without tombstone]
 *
 * Explores every run of the small world, for bounds of crashes/lost messages/recoverers. Exit code 1 if a promise is broken,
 * if a bound could not be explored whole, or if something that must come up never did.
 *
 * --minutes       gives up on a bound after so long
 * --without       removes the guards whose name matches: a violation is expected then, and its absence is the failure
 * --unreduced     tries every order of all steps; --exact  tells states apart by the order of all that a process sees
 */
import { parseArgs } from 'node:util';

import { bundle } from '../bundle.ts';
import { GUARDS } from '../guards.ts';
import { askWorker } from './ask.ts';
import { missingFrom } from './expected.ts';
import type { Bounds } from './choice.ts';
import type { Account } from './worker.ts';

/** Those that were explored whole; the figures are in docs/testing.md. */
const BOUNDS = '1/0/1,0/2/0,1/1/0,2/0/0,0/1/0,0/0/1';

const { values: options } = parseArgs({
  options: {
    bounds: { type: 'string', default: BOUNDS },
    workers: { type: 'string', default: '2' },
    minutes: { type: 'string' },
    without: { type: 'string' },
    unreduced: { type: 'boolean', default: false },
    exact: { type: 'boolean', default: false },
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

function describe(name: string, account: Account): string {
  const { isComplete, states, merged, replays, steps, deepest, ends, ms, cpuMs } = account;
  const counts = (list: readonly (readonly [string, number])[]): string =>
    list.map(([what, times]) => `${what} ${times}`).join(', ');
  return [
    `${name}: ${isComplete ? 'complete' : 'NOT COMPLETE'}, ${states} states, ${replays} runs ` +
      `(${merged} merged), ${steps} steps, deepest ${deepest}, ${ends} ends, ` +
      `${(ms / 1_000).toFixed(0)} s, ${(cpuMs / 1_000).toFixed(0)} s of processor`,
    `  ends: ${counts(account.outcomes)}`,
    `  faults: ${counts(account.faults)}`,
    ...account.found.map(({ kind, message }) => `  VIOLATION ${kind}: ${message}`),
    ...account.story.map((line) => `    ${line}`),
  ].join('\n');
}

async function main(): Promise<number> {
  const { without, minutes } = options;
  const guards = GUARDS.filter(
    ({ name }) => without !== undefined && new RegExp(without).test(name),
  );
  if (without !== undefined && guards.length === 0) throw new Error(`no guard matches ${without}`);
  const patches = guards.flatMap((guard) => guard.patches);
  const script = await bundle('small-world/worker.ts', `small-world-${process.pid}`, patches);
  const queue = options.bounds.split(',');
  const failures: string[] = [];
  const workers = Array.from({ length: Number(options.workers) }, async () => {
    for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
      const bounds = boundsOf(name);
      const account = await askWorker(script, {
        bounds,
        ms: minutes === undefined ? undefined : Number(minutes) * 60_000,
        stopAtFirst: true,
        isUnreduced: options.unreduced,
        isExact: options.exact,
        saysProgress: true,
      });
      console.log(describe(name, account));
      const isBroken = account.found.length > 0;
      const missing = isBroken ? [] : missingFrom(account, bounds);
      for (const what of missing) console.log(`  NEVER SEEN: ${what}`);
      const isWhole = account.isComplete && missing.length === 0;
      const isAsExpected = without === undefined ? !isBroken && isWhole : isBroken;
      if (!isAsExpected) failures.push(name);
    }
  });
  await Promise.all(workers);
  return failures.length === 0 ? 0 : 1;
}

process.exitCode = await main();
