import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { checkMarkers } from '../support/atomicity.ts';
import { createBank, type Bank } from '../support/bank.ts';
import { startCoordinator } from '../support/child.ts';

/**
 * A coordinator process kills itself with SIGKILL at one point of the protocol; then one recovery pass of
 * another process. Expected: nothing in doubt, and the marker on all participants or on none, as the
 * point says. `hit` picks the branch where a point is met once per branch.
 */
const POINTS: readonly { point: string; hits: readonly number[]; outcome: 'all' | 'none' }[] = [
  { point: 'before-vote', hits: [1], outcome: 'none' },
  { point: 'after-branch-vote', hits: [1, 2], outcome: 'none' },
  { point: 'after-votes', hits: [1], outcome: 'none' },
  { point: 'before-decide', hits: [1], outcome: 'none' },
  { point: 'after-decide', hits: [1], outcome: 'all' },
  { point: 'before-finish-branch', hits: [1, 2], outcome: 'all' },
  { point: 'after-finish-branch', hits: [1, 2], outcome: 'all' },
  { point: 'after-finish', hits: [1], outcome: 'all' },
];

const ONE_PHASE: typeof POINTS = [
  { point: 'before-one-phase-commit', hits: [1], outcome: 'none' },
  { point: 'after-one-phase-commit', hits: [1], outcome: 'all' },
];

describe('SIGKILL of the coordinator, then one recovery pass', () => {
  let bank: Bank;
  beforeEach(async () => {
    bank = await createBank({ participants: ['orders', 'billing', 'stock'] });
  });
  afterEach(() => bank.close());

  const runs = [
    ...POINTS.flatMap((one) => one.hits.map((hit) => ({ ...one, hit, writers: 2 }))),
    ...POINTS.flatMap((one) => one.hits.map((hit) => ({ ...one, hit, writers: 3 }))),
    ...ONE_PHASE.flatMap((one) => one.hits.map((hit) => ({ ...one, hit, writers: 1 }))),
  ];
  it.each(runs)(
    '$writers writers, killed at $point (hit $hit): $outcome',
    async ({ point, hit, writers, outcome }) => {
      const child = startCoordinator(bank, {
        fault: { point, hit, signal: 'SIGKILL' },
        transactions: 1,
        concurrency: 1,
        writers,
      });
      expect(await child.ended).toBe('SIGKILL');
      expect(child.count('fault')).toBe(1);

      const tm = await bank.manager();
      const report = await tm.recover();
      expect(report).toMatchObject({ complete: true, left: 0, heuristics: 0 });
      expect(await bank.inDoubt()).toEqual([]);

      const [begun] = child.events;
      const { whole, torn } = await checkMarkers(bank, writers);
      expect(torn).toEqual([]);
      expect([...whole]).toEqual(outcome === 'all' ? [begun?.id] : []);
    },
  );
});
