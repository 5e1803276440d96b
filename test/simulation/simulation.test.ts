import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

import { parseGid } from '../../src/participant/gid.ts';
import { DIRECTIONS, drawDirected, type Direction } from './directed.ts';
import { GUARDS } from './guards.ts';
import { inTurn } from './in-turn.ts';
import type { World } from './nemesis.ts';
import { patched } from './patch.ts';
import type { Plan } from './plan.ts';
import { runSchedule, type ScheduleOptions, type ScheduleResult } from './schedule.ts';

/** A slice of the simulation (docs/testing.md): the whole of it runs with `npm run simulate`. */
const run = (seed: number, options?: ScheduleOptions): Promise<ScheduleResult> =>
  inTurn(() => runSchedule(seed, options));

const folder = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** Plans that once broke a promise, by their seeds of then; what was wrong is in docs/testing.md. */
const REGRESSIONS = readdirSync(folder('regressions')).map(
  (file) => JSON.parse(readFileSync(folder(`regressions/${file}`), 'utf8')) as Plan,
);

describe('the simulation', () => {
  it('finds no broken promise in a slice of schedules, and the slice is worth something', async () => {
    const seen = new Map<string, number>();
    for (let seed = 1_000_000; seed < 1_000_600; seed += 1) {
      const { violations, seen: one } = await run(seed);
      expect(violations, `seed ${seed}`).toEqual([]);
      for (const [what, times] of one) seen.set(what, (seen.get(what) ?? 0) + times);
    }
    expect(seen.get('told-committed')).toBeGreaterThan(300);
    expect(seen.get('told-rolled-back')).toBeGreaterThan(50);
    expect(seen.get('abort-prepared')).toBeGreaterThan(20);
    expect([...seen.keys()].filter((what) => what.startsWith('fault-')).length).toBeGreaterThan(15);
  }, 120_000);

  it('the same seed is the same schedule, to the last event', async () => {
    for (const seed of [7, 606, 1_000_001]) {
      const [first, second] = [await run(seed), await run(seed)];
      expect(second.traceHash).toBe(first.traceHash);
      expect(second.events).toBe(first.events);
    }
    expect((await run(8)).traceHash).not.toBe((await run(9)).traceHash);
  });

  it("pg's own client makes the same schedule of a seed as what stands in for it", async () => {
    for (let seed = 2_000_000; seed < 2_000_060; seed += 1) {
      const own = await run(seed, { client: 'pg' });
      const light = await run(seed, { client: 'light' });
      expect(light.traceHash, `seed ${seed}`).toBe(own.traceHash);
    }
  });

  it.each(REGRESSIONS)('seed $seed, which once broke a promise, breaks none', async (plan) => {
    expect((await run(plan.seed, { plan })).violations).toEqual([]);
  });

  it.each(Object.keys(DIRECTIONS) as Direction[])(
    'led to a rare coincidence (%s) it finds no broken promise either',
    async (direction) => {
      for (let seed = 1; seed <= 5; seed += 1) {
        const plan = drawDirected(direction, seed);
        const { violations, faults } = await run(seed, { plan });
        expect(violations, `seed ${seed}`).toEqual([]);
        if (plan.faults.length > 0 && seed === 1) expect(faults).not.toEqual([]);
      }
    },
  );

  it.each(GUARDS)('each guard is either missed or held by a test: $name', ({ unseen, heldBy }) => {
    expect(heldBy === undefined).toBe(unseen === undefined);
    if (heldBy !== undefined) expect(existsSync(folder(`../../${heldBy.file}`))).toBe(true);
  });

  it.each(GUARDS)('can be run without this guard: $name', ({ patches }) => {
    for (const file of new Set(patches.map((patch) => patch.file))) {
      const text = readFileSync(folder(`../../src/${file}`), 'utf8');
      expect(patched(file, text, patches)).not.toBe(text);
    }
  });
});

/** Each plants what must never be, behind pgxa's back, and says which check has to cry. */
const PLANTED: readonly { what: string; kind: string; plant: (world: World) => void }[] = [
  {
    what: 'a marker that is gone from one participant',
    kind: 'not-atomic',
    plant: ({ servers, stage }) => {
      const told = committed(stage.oracle.told);
      servers.find(({ name }) => name === told.writes[0])?.data.markers.delete(told.id);
    },
  },
  {
    what: 'a committed transaction that is gone everywhere',
    kind: 'lost-commit',
    plant: ({ servers, stage }) => {
      const { id } = committed(stage.oracle.told);
      for (const server of servers) server.data.markers.delete(id);
    },
  },
  {
    what: 'a transaction that is told as rolled back and is not',
    kind: 'undead',
    plant: ({ stage }) => {
      committed(stage.oracle.told).answer = 'rolled-back';
    },
  },
  {
    what: 'a transaction that was committed twice',
    kind: 'twice',
    plant: ({ servers, stage }) => {
      const told = committed(stage.oracle.told);
      servers.find(({ name }) => name === told.writes[0])?.data.markers.set(told.id, 2);
    },
  },
  {
    what: 'a foreign prepared transaction that is gone',
    kind: 'foreign-touched',
    plant: ({ servers, stage }) => {
      const [server] = servers;
      const { installation } = stage.oracle;
      const foreign = [...(server?.prepared() ?? [])].find(
        ({ gid }) => parseGid(gid)?.installation !== installation,
      );
      server?.data.prepared.delete(foreign?.gid ?? '');
    },
  },
  {
    what: 'a heuristic that nothing has caused',
    kind: 'false-heuristic',
    plant: ({ log, stage }) => {
      const { id } = committed(stage.oracle.told);
      const gid = `pgxa_${stage.oracle.installation}_${'0'.repeat(16)}_${id.replaceAll('-', '')}_1`;
      log.data.heuristics.set(gid, { gid, kind: 'hazard' });
    },
  },
];

function committed(
  told: World['stage']['oracle']['told'],
): World['stage']['oracle']['told'][number] {
  const found = told.find(({ answer, writes }) => answer === 'committed' && writes.length > 1);
  if (found === undefined) throw new Error('nothing was committed in this schedule');
  return found;
}

describe('the checks can fail', () => {
  // A schedule in which several transactions commit and no server fails.
  const QUIET = 1_000_002;
  /** After all is healed, every manager has to commit. */
  const PROBED = 3_122_180;

  it('the schedule is in order as long as nothing is planted', async () => {
    expect((await run(QUIET)).violations).toEqual([]);
  });

  it.each(PLANTED)('$what: $kind', async ({ kind, plant }) => {
    const { violations } = await run(QUIET, { beforeJudgement: plant });
    expect(violations.map((violation) => violation.kind)).toContain(kind);
  });

  it('a branch in doubt that nobody knows: still in doubt after the bound', async () => {
    const { violations } = await run(QUIET, {
      beforeLiveness: ({ servers, stage }) => {
        const gid = `pgxa_${stage.oracle.installation}_${'0'.repeat(16)}_${'1'.repeat(32)}_1`;
        servers[0]?.plant(gid);
      },
    });
    expect(violations.map(({ kind }) => kind)).toContain('still-in-doubt');
  });

  it('a participant that can prepare nothing any more: no manager can commit', async () => {
    const { violations } = await run(PROBED, {
      beforeLiveness: ({ servers }) => {
        for (const server of servers) server.maxPrepared = 0;
      },
    });
    expect(violations.map(({ kind }) => kind)).toContain('cannot-commit-any-more');
  });

  it('a connection that is never closed: a leak', async () => {
    const { violations } = await run(QUIET, {
      beforeJudgement: ({ coordinators }) => {
        coordinators[0]?.process.owned.add({ abandon: () => undefined });
      },
    });
    expect(violations.map(({ kind }) => kind)).toContain('leak');
  });
});
