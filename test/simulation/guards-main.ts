/**
 * npm run simulate:guards -- [--schedules 20000] [--only regexp] [--workers 2]
 *
 * Removes one guard after the other, and runs schedules until a promise is broken. Exit code 1 if a guard can be removed
 * without anybody noticing, or if one that is said to be unseen was seen.
 */
import { parseArgs } from 'node:util';

import { bundle } from './bundle.ts';
import { ask, startWorker } from './crew.ts';
import { GUARDS, type Guard } from './guards.ts';
import type { Finding } from './worker.ts';

const { values: options } = parseArgs({
  options: {
    schedules: { type: 'string', default: '20000' },
    seed: { type: 'string', default: '1' },
    workers: { type: 'string', default: '2' },
    only: { type: 'string', default: '' },
  },
});

interface Verdict {
  readonly guard: Guard;
  readonly schedules: number;
  readonly finding: Finding | undefined;
}

const PORTION = 250;

async function judge(guard: Guard, index: number): Promise<Verdict> {
  const script = await bundle('worker.ts', `guard-${index}`, guard.patches);
  const worker = startWorker(script);
  const limit = Number(options.schedules);
  let schedules = 0;
  try {
    while (schedules < limit) {
      const from = Number(options.seed) + schedules;
      const done = await ask(worker, {
        from,
        count: Math.min(PORTION, limit - schedules),
        stopAtFirst: true,
      });
      schedules += done.schedules;
      const [finding] = done.findings;
      if (finding !== undefined) return { guard, schedules, finding };
    }
    return { guard, schedules, finding: undefined };
  } finally {
    worker.kill();
  }
}

function isAsExpected({ guard, finding }: Verdict): boolean {
  if (guard.rare !== undefined) return true;
  return (finding === undefined) === (guard.unseen !== undefined);
}

function describe(verdict: Verdict): string {
  const { guard, schedules, finding } = verdict;
  const mark = isAsExpected(verdict) ? 'ok  ' : 'FAIL';
  const what =
    finding === undefined
      ? `not noticed in ${schedules} schedules: ${guard.unseen ?? guard.rare ?? 'by nobody'}`
      : `${finding.kind} after ${schedules} schedules (seed ${finding.seed})`;
  return `${mark} ${guard.invariant.toString().padStart(2)}  ${guard.name}: ${what}`;
}

async function main(): Promise<number> {
  const queue = [...GUARDS.entries()].filter(([, { name }]) => new RegExp(options.only).test(name));
  const verdicts: Verdict[] = [];
  const takers = Array.from({ length: Number(options.workers) }, async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const verdict = await judge(next[1], next[0]);
      verdicts.push(verdict);
      console.log(describe(verdict));
    }
  });
  await Promise.all(takers);
  const seen = verdicts.filter(({ finding }) => finding !== undefined).length;
  console.log(`${seen} of ${verdicts.length} guards: their absence is noticed`);
  return verdicts.every(isAsExpected) ? 0 : 1;
}

process.exitCode = await main();
