import { describe, expect, it } from 'vitest';

import { bundle } from '../bundle.ts';
import { GUARDS } from '../guards.ts';
import { askExploration, askWorker } from './ask.ts';
import { missingFrom } from './expected.ts';
import type { Account, Order } from './worker.ts';

/** Small bounds of the small world (docs/testing.md): larger ones with `npm run simulate:small-world`. */
async function explore(order: Order, guard?: string): Promise<Account> {
  return askExploration(await scriptWithout(guard), order);
}

async function scriptWithout(guard?: string): Promise<string> {
  const patches = GUARDS.filter(({ name }) => name === guard).flatMap((one) => one.patches);
  if (guard !== undefined && patches.length === 0) throw new Error(`there is no guard "${guard}"`);
  const name = `small-world-test-${process.pid}-${patches.length}`;
  return bundle('small-world/worker.ts', name, patches);
}

const ALONE = { crashes: 0, losses: 0, recoverers: 0 };
const WITH_RECOVERY = { ...ALONE, recoverers: 1 };
const WITH_A_CRASH = { ...ALONE, crashes: 1 };
const WITH_A_LOSS = { ...ALONE, losses: 1 };
const WITH_ALL = { crashes: 2, losses: 2, recoverers: 2 };

/** A machine that does other work at the same time takes its time. */
const PATIENCE_MS = 180_000;

describe('every run of a small world', { timeout: PATIENCE_MS }, () => {
  it.each([
    { what: 'a recoverer beside the commit', bounds: WITH_RECOVERY },
    { what: 'one crash', bounds: WITH_A_CRASH },
    { what: 'one lost message', bounds: WITH_A_LOSS },
  ])('keeps all promises: $what', async ({ bounds }) => {
    const account = await explore({ bounds });
    expect(account.found).toEqual([]);
    expect(account.isComplete).toBe(true);
    expect(missingFrom(account, bounds)).toEqual([]);
  });

  it.each([
    { bounds: WITH_RECOVERY, how: 'told apart by tests', order: { tests: 6 } },
    { bounds: WITH_A_CRASH, how: 'told apart by tests', order: { tests: 6 } },
    { bounds: WITH_A_CRASH, how: 'with reads as steps', order: { readsAreSteps: true } },
    { bounds: WITH_RECOVERY, how: 'with reads as steps', order: { readsAreSteps: true } },
  ])('comes to the same ends $how: $bounds', async ({ bounds, order }) => {
    const [one, other] = [await explore({ bounds }), await explore({ bounds, ...order })];
    expect(one.ends).toBeGreaterThan(5);
    expect(other.isComplete).toBe(true);
    expect(other.outcomes.map(([what]) => what)).toEqual(one.outcomes.map(([what]) => what));
    expect([other.ends, other.endsHash]).toEqual([one.ends, one.endsHash]);
  });

  it.each([{ readsAreSteps: false }, { readsAreSteps: true }])(
    'is the same between the parts as with whole processes, on ways at random: %o',
    async (order) => {
      const asked = { bounds: WITH_ALL, ways: 100, firstSeed: 1, ...order };
      const report = await askWorker(await scriptWithout(), asked);
      expect(report).toMatchObject({ of: 'comparison', comparison: { differences: [] } });
    },
  );
});

describe(
  'without a guard a run of the small world breaks a promise',
  { timeout: PATIENCE_MS },
  () => {
    it.each([
      {
        guard: 'recovery wins the tombstone before it rolls back',
        bounds: WITH_RECOVERY,
        kind: 'effect-before-decision',
      },
      {
        guard: 'epoch fence in the deciding statement',
        bounds: WITH_RECOVERY,
        kind: 'decided-after-retirement',
      },
      {
        guard: 'a lost decision is settled by the register',
        bounds: WITH_A_LOSS,
        kind: 'effect-before-decision',
      },
      {
        guard: 'tombstone before the coordinator rolls a prepared branch back',
        bounds: WITH_A_LOSS,
        kind: 'effect-before-decision',
      },
      {
        guard: 'the decision is known before phase two',
        bounds: WITH_A_LOSS,
        kind: 'effect-before-decision',
      },
    ])('$guard: $kind', async ({ guard, bounds, kind }) => {
      const { found, story } = await explore({ bounds, stopAtFirst: true }, guard);
      expect(found.map((one) => one.kind)).toContain(kind);
      expect(story.length).toBeGreaterThan(2);
      // Whole processes went the same way, and came to the same.
      expect(story.at(-1)).toBe(`so: ${found[0]?.kind ?? ''}`);
    });
  },
);
