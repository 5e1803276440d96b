/**
 * npm run soak -- --minutes 2 [--profile all] [--seed 1] [--history file]
 *
 * Runs a world of real servers and processes under random faults, heals it, reads everything, and judges the
 * history. Exit code 0: no violation. The history stays in the file that the last lines name.
 */
import { randomInt } from 'node:crypto';
import { createReadStream, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

import { check } from './checkers.ts';
import { PROFILES, type Profile } from './profiles.ts';
import { report } from './report.ts';
import { soak } from './soak.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '2' },
    profile: { type: 'string', default: 'all' },
    seed: { type: 'string' },
    history: { type: 'string' },
    /** Judges a history that is there, and runs nothing. */
    check: { type: 'string' },
  },
});

function profileOf(name: string): Profile {
  const found = PROFILES.find((one) => one.name === name);
  if (found !== undefined) return found;
  throw new Error(`no profile ${name}; there are ${PROFILES.map((one) => one.name).join(', ')}`);
}

async function* eventsOf(file: string): AsyncGenerator {
  for await (const line of createInterface({ input: createReadStream(file) })) {
    yield JSON.parse(line);
  }
}

process.env['PGXA_TEST_PROVIDER'] = 'embedded';
const seed = values.seed === undefined ? randomInt(1, 1_000_000) : Number(values.seed);
const profile = profileOf(values.profile);
const file = values.check ?? values.history ?? `.soak/${profile.name}-${seed}.jsonl`;
if (values.check === undefined) {
  mkdirSync(dirname(file), { recursive: true });
  await soak({ profile, seed, minutes: Number(values.minutes), file });
}
const verdict = await check(eventsOf(file));
console.log(report(verdict, file));
process.exit(verdict.violations.length === 0 ? 0 : 1);
