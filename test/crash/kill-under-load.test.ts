import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { checkMarkers, totalBalance } from '../support/atomicity.ts';
import { createBank, type Bank } from '../support/bank.ts';
import { startCoordinator } from '../support/child.ts';
import { waitFor } from '../support/wait.ts';

/** A machine that is busy with other things is slow, not wrong. */
const SLOW = { timeoutMs: 60_000 };

/**
 * Two participants, a coordinator process with 16 transfers at a time. It is killed, or frozen, at a
 * moment of no one's choosing. Expected: after one recovery pass nothing is in doubt, every marker stands
 * on both participants or on none, what was reported committed is there, and no money is lost or made.
 */
describe('a coordinator that dies under load', { timeout: 120_000 }, () => {
  let bank: Bank;
  beforeEach(async () => {
    bank = await createBank();
  });
  afterEach(() => bank.close());

  async function expectAtomic(
    committed: ReadonlySet<string>,
    rolledBack: ReadonlySet<string>,
  ): Promise<void> {
    expect(await bank.inDoubt()).toEqual([]);
    const { whole, torn } = await checkMarkers(bank, 2);
    expect(torn).toEqual([]);
    expect([...committed].filter((id) => !whole.has(id))).toEqual([]);
    expect([...rolledBack].filter((id) => whole.has(id))).toEqual([]);
    expect(await totalBalance(bank)).toBe(200_000);
  }

  it.each([150, 400, 900])('SIGKILL after %i commits, then one recovery pass', async (commits) => {
    const child = startCoordinator(bank, { transactions: 100_000, concurrency: 16, writers: 2 });
    await waitFor('commits', () => child.count('committed') >= commits, SLOW);
    child.process.kill('SIGKILL');
    expect(await child.ended).toBe('SIGKILL');

    const tm = await bank.manager();
    const report = await tm.recover();
    expect(report).toMatchObject({ complete: true, heuristics: 0 });
    const said = (event: string): Set<string> =>
      new Set(child.events.filter((one) => one.event === event).map(({ id }) => id));
    await expectAtomic(said('committed'), said('rolled-back'));
  });

  it('SIGSTOP past the heartbeat limit, one recovery pass, SIGCONT: the zombie changes nothing', async () => {
    const child = startCoordinator(bank, { transactions: 100_000, concurrency: 16, writers: 2 });
    await waitFor('commits', () => child.count('committed') >= 300, SLOW);
    child.process.kill('SIGSTOP');

    const tm = await bank.manager();
    const report = await tm.recover();
    expect(report).toMatchObject({ complete: true, heuristics: 0 });
    expect(await bank.inDoubt()).toEqual([]);
    const frozen = await bank.log.query(
      `select retired_by from pgxa.coordinator where name = 'crash-child'`,
    );
    const atStop = child.count('committed');

    child.process.kill('SIGCONT');
    // It notices that it was retired, registers a new epoch, and works on.
    await waitFor('new commits', () => child.count('committed') >= atStop + 300, SLOW);
    child.process.kill('SIGKILL');
    await child.ended;
    await tm.recover();
    expect(frozen.length).toBeGreaterThan(0);
    const said = (event: string): Set<string> =>
      new Set(child.events.filter((one) => one.event === event).map(({ id }) => id));
    await expectAtomic(said('committed'), said('rolled-back'));
    expect(await bank.log.query('select 1 from pgxa.heuristic')).toEqual([]);
  });
});
