/**
 * npm run simulate:guards -- [--schedules 6000] [--only regexp] [--workers 2]
 * npm run simulate:guards -- --held [--only regexp]
 *
 * Removes one guard after the other, and runs schedules until a promise is broken. Exit code 1 if a guard can be removed
 * without anybody noticing, or if one that is said to be unseen was seen. With `--held` it removes those that the
 * simulation cannot miss, and runs for each the test that holds it, which has to fail.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { bundle } from './bundle.ts';
import { ask, startWorker } from './crew.ts';
import { GUARDS, type Guard } from './guards.ts';
import type { Finding } from './worker.ts';

const { values: options } = parseArgs({
  options: {
    schedules: { type: 'string', default: '6000' },
    seed: { type: 'string', default: '1' },
    workers: { type: 'string', default: '2' },
    only: { type: 'string', default: '' },
    held: { type: 'boolean', default: false },
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
  const { direction } = guard;
  let schedules = 0;
  try {
    while (schedules < limit) {
      const from = Number(options.seed) + schedules;
      const done = await ask(worker, {
        from,
        count: Math.min(PORTION, limit - schedules),
        stopAtFirst: true,
        ...(direction !== undefined && { direction }),
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
  return (finding === undefined) === (guard.unseen !== undefined);
}

function describe(verdict: Verdict): string {
  const { guard, schedules, finding } = verdict;
  const mark = isAsExpected(verdict) ? 'ok  ' : 'FAIL';
  const led = guard.direction === undefined ? '' : ` of "${guard.direction}"`;
  const what =
    finding === undefined
      ? `not noticed in ${schedules} schedules${led}: ${guard.unseen ?? 'by nobody'}`
      : `${finding.kind} after ${schedules} schedules${led} (seed ${finding.seed})`;
  return `${mark} ${guard.invariant.toString().padStart(2)}  ${guard.name}: ${what}`;
}

/** Runs the test that holds the guard, without the guard. */
async function failsWithout({ name, heldBy }: Guard): Promise<string> {
  if (heldBy === undefined) return 'FAIL no test is named';
  const folder = await mkdtemp(join(tmpdir(), 'pgxa-guard-'));
  const outputFile = join(folder, 'result.json');
  const args = ['vitest', 'run', heldBy.file, '-t', heldBy.test];
  const reporting = ['--reporter=json', `--outputFile=${outputFile}`];
  const config = ['--config', 'vitest.guard.config.ts'];
  const child = spawn('npx', [...args, ...config, ...reporting], {
    env: { ...process.env, PGXA_WITHOUT_GUARD: name },
    stdio: 'ignore',
  });
  await once(child, 'exit');
  const text = await readFile(outputFile, 'utf8').catch(() => '{}');
  await rm(folder, { recursive: true });
  const { numFailedTests = 0, numPassedTests = 0 } = JSON.parse(text) as Record<string, number>;
  const counts = `${numFailedTests} failed, ${numPassedTests} passed`;
  return `${numFailedTests > 0 ? 'ok  ' : 'FAIL'} ${heldBy.file} "${heldBy.test}": ${counts}`;
}

async function checkHeld(guards: readonly Guard[]): Promise<boolean> {
  let allFail = true;
  for (const guard of guards.filter(({ unseen }) => unseen !== undefined)) {
    const verdict = await failsWithout(guard);
    allFail &&= verdict.startsWith('ok');
    console.log(`${verdict.slice(0, 5)}${guard.name}: ${verdict.slice(5)}`);
  }
  return allFail;
}

async function main(): Promise<number> {
  const chosen = GUARDS.filter(({ name }) => new RegExp(options.only).test(name));
  if (options.held) return (await checkHeld(chosen)) ? 0 : 1;
  const queue = [...chosen.filter(({ notSimulated }) => notSimulated !== true).entries()];
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
