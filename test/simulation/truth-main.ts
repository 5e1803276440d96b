/**
 * npm run simulate:truth -- [--commands 20000] [--seed 1]
 *
 * Compares the simulated server with the real one that PGXA_TEST_POSTGRES_MAJOR names (default: the newest).
 */
import { parseArgs } from 'node:util';

import { inTurn } from './in-turn.ts';
import { Random } from './random.ts';
import { runSchedule } from './schedule.ts';
import { compare } from './truth/compare.ts';
import { createRealTarget } from './truth/real-target.ts';
import { createSimulatedTarget } from './truth/simulated-target.ts';

const { values: options } = parseArgs({
  options: {
    commands: { type: 'string', default: '20000' },
    seed: { type: 'string', default: '1' },
  },
});
/** Few enough that they run out. */
const SLOTS = 5;
/** Schedules that are run first, to learn the texts of all statements from pgxa itself. */
const LESSONS = 40;

await inTurn(() => {
  for (let seed = 1; seed <= LESSONS; seed += 1) runSchedule(seed);
});
const seed = Number(options.seed);
const real = await createRealTarget(SLOTS);
try {
  const startedAt = performance.now();
  const simulated = createSimulatedTarget(seed, SLOTS);
  const { commands, answers, difference } = await compare(
    real,
    simulated,
    new Random(seed, 4),
    Number(options.commands),
  );
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(0);
  console.log(
    `${real.name}: ${commands} commands in ${seconds} s, ${difference === undefined ? 'no' : 'a'} difference`,
  );
  console.log(
    [...answers]
      .sort()
      .map(([answer, times]) => `${answer} ${times}`)
      .join(', '),
  );
  if (difference !== undefined) {
    console.log(JSON.stringify(difference, undefined, 2));
    process.exitCode = 1;
  }
} finally {
  await real.close();
}
