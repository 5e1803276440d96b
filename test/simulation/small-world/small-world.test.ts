import { describe, expect, it } from 'vitest';

import { bundle } from '../bundle.ts';
import { GUARDS } from '../guards.ts';
import { askWorker } from './ask.ts';
import { missingFrom } from './expected.ts';
import type { Account, Order } from './worker.ts';

/** Small bounds of the small world (docs/testing.md): larger ones with `npm run simulate:small-world`. */
async function explore(order: Order, guard?: string): Promise<Account> {
  const patches = GUARDS.filter(({ name }) => name === guard).flatMap((one) => one.patches);
  if (guard !== undefined && patches.length === 0) throw new Error(`there is no guard "${guard}"`);
  const name = `small-world-test-${process.pid}-${patches.length}`;
  return askWorker(await bundle('small-world/worker.ts', name, patches), order);
}

const ALONE = { crashes: 0, losses: 0, recoverers: 0 };
const WITH_RECOVERY = { ...ALONE, recoverers: 1 };
const WITH_A_CRASH = { ...ALONE, crashes: 1 };
const WITH_A_LOSS = { ...ALONE, losses: 1 };

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
    { bounds: WITH_RECOVERY, how: 'in every order of all steps', order: { isUnreduced: true } },
    { bounds: WITH_A_CRASH, how: 'in every order of all steps', order: { isUnreduced: true } },
    { bounds: WITH_A_CRASH, how: 'with histories told apart', order: { isExact: true } },
  ])('comes to the same ends $how: $bounds', async ({ bounds, order }) => {
    const [reduced, other] = [await explore({ bounds }), await explore({ bounds, ...order })];
    expect(reduced.ends).toBeGreaterThan(5);
    expect(other.isComplete).toBe(true);
    expect(other.outcomes).toEqual(reduced.outcomes);
    expect(other.endsHash).toBe(reduced.endsHash);
  });
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
    });
  },
);
