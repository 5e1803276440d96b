/**
 * npm run soak -- --minutes 2 [--profile all] [--seed 1] [--history file]
 *
 * From 10 minutes on the profile is "whole", if none is named: all profiles that a server may suffer, one behind the other.
 * Runs a world of real servers and processes under random faults, heals it, reads everything, and judges the
 * history. Exit code 0: no violation. The history stays in the file that the last lines name.
 */
import { randomInt } from 'node:crypto';
import { createReadStream, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

import { check, type Verdict } from './checkers.ts';
import { PROFILES, WHOLE, type Profile } from './profiles.ts';
import { report, summary } from './report.ts';
import { soak } from './soak.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '2' },
    profile: { type: 'string' },
    seed: { type: 'string' },
    history: { type: 'string' },
    /** Judges a history that is there, and runs nothing. */
    check: { type: 'string' },
  },
});

const WHOLE_FROM_MINUTES = 10;

function profileOf(name: string): Profile {
  const found = PROFILES.find((one) => one.name === name);
  if (found !== undefined) return found;
  throw new Error(
    `no profile ${name}; there are whole, ${PROFILES.map((one) => one.name).join(', ')}`,
  );
}

async function* eventsOf(file: string): AsyncGenerator {
  for await (const line of createInterface({ input: createReadStream(file) })) {
    yield JSON.parse(line);
  }
}

async function judge(file: string): Promise<Verdict> {
  const verdict = await check(eventsOf(file));
  console.log(report(verdict, file));
  return verdict;
}

/** What is run: a profile for the whole time, or several for a share of it. */
function partsOf(name: string, minutes: number): readonly (readonly [Profile, number])[] {
  if (name !== 'whole') return [[profileOf(name), minutes]];
  return WHOLE.map(([part, share]) => [profileOf(part), minutes * share]);
}

async function run(): Promise<readonly Verdict[]> {
  if (values.check !== undefined) return [await judge(values.check)];
  const minutes = Number(values.minutes);
  if (!(minutes > 0)) throw new Error(`--minutes: expected a number, found ${values.minutes}`);
  const seed = values.seed === undefined ? randomInt(1, 1_000_000) : Number(values.seed);
  const verdicts: Verdict[] = [];
  for (const [profile, share] of partsOf(values.profile ?? defaultProfile(minutes), minutes)) {
    const file = values.history ?? `.soak/${profile.name}-${seed}.jsonl`;
    mkdirSync(dirname(file), { recursive: true });
    console.log(`profile ${profile.name}, ${share.toFixed(1)} min, seed ${seed}`);
    await soak({ profile, seed, minutes: share, file });
    verdicts.push(await judge(file));
  }
  return verdicts;
}

/** In a short time a world has to be started only once. */
function defaultProfile(minutes: number): string {
  return minutes >= WHOLE_FROM_MINUTES ? 'whole' : 'all';
}

process.env['PGXA_TEST_PROVIDER'] = 'embedded';
const verdicts = await run();
if (verdicts.length > 1) console.log(summary(verdicts));
process.exit(verdicts.every(({ violations }) => violations.length === 0) ? 0 : 1);
