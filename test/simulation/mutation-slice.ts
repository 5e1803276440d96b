/**
 * The slice of the simulation that Stryker runs on each of its changes (`npm run mutate:protocol`): small, and
 * with every rare coincidence in it. It belongs to no other run: simulation.test.ts has more of the same.
 */
import { expect, it } from 'vitest';

import { DIRECTIONS, drawDirected, type Direction } from './directed.ts';
import { inTurn } from './in-turn.ts';
import type { Plan } from './plan.ts';
import { runSchedule, type ScheduleResult } from './schedule.ts';

const DRAWN = 24;
const OF_EACH_DIRECTION = 1;
/** Longer than any schedule takes; one that a change makes endless is found by its events. */
const TIMEOUT_MS = 60_000;

const run = (seed: number, plan?: Plan): Promise<ScheduleResult> =>
  inTurn(() => runSchedule(seed, plan === undefined ? {} : { plan }));

it.each(Object.keys(DIRECTIONS) as Direction[])(
  '%s',
  async (direction) => {
    for (let seed = 1; seed <= OF_EACH_DIRECTION; seed += 1) {
      const { violations } = await run(seed, drawDirected(direction, seed));
      expect(violations, `seed ${seed}`).toEqual([]);
    }
  },
  TIMEOUT_MS,
);

it(
  'schedules as they are drawn',
  async () => {
    const told = new Map<string, number>();
    for (let seed = 1; seed <= DRAWN; seed += 1) {
      const { violations, seen } = await run(seed);
      expect(violations, `seed ${seed}`).toEqual([]);
      for (const [what, times] of seen) told.set(what, (told.get(what) ?? 0) + times);
    }
    // One that commits nothing breaks no promise either.
    expect(told.get('told-committed')).toBeGreaterThan(36);
    expect(told.get('told-unknown') ?? 0).toBeLessThan(5);
  },
  TIMEOUT_MS,
);
