import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { OutcomeUnknownError, RolledBackError, type TransactionManager } from '../../src/index.ts';
import { checkMarkers, totalBalance } from '../support/atomicity.ts';
import { createBank, type Bank } from '../support/bank.ts';

/**
 * Two participants, one live coordinator with 32 transfers at a time, 3,000 in all, and two other
 * processes' worth of recoverers that run passes without a pause beside it. Expected: whatever the
 * coordinator reports is what the participants show, both have a share of the work to do, and nothing is
 * taken for a heuristic outcome.
 */
describe('two recoverers beside a live coordinator', () => {
  let bank: Bank;
  let coordinator: TransactionManager;
  let recoverers: TransactionManager[];
  beforeAll(async () => {
    bank = await createBank();
    coordinator = await bank.manager({
      participants: Object.fromEntries(
        bank.participants.map(({ name, connectionString }) => [
          name,
          { connectionString, max: 32 },
        ]),
      ),
    });
    recoverers = await Promise.all([bank.manager(), bank.manager()]);
  });
  afterAll(() => bank.close());

  it('no transaction is reported committed and aborted, nor the reverse', async () => {
    const outcomes = new Map<string, string>();
    let running = true;
    const passes = recoverers.map(async (recoverer) => {
      let count = 0;
      let seen = 0;
      while (running) {
        const report = await recoverer.recover({ wait: false });
        count += 1;
        seen += report.left + report.committed + report.rolledBack;
      }
      return { count, seen };
    });
    let next = 0;
    await Promise.all(
      Array.from({ length: 32 }, async () => {
        while (next < 3_000) {
          next += 1;
          const number = next;
          let id = '';
          try {
            await coordinator.run(async (tx) => {
              ({ id } = tx);
              const account = 1 + (number % 100);
              await tx.on('orders').query('insert into marker values ($1)', [tx.id]);
              await tx.on('billing').query('insert into marker values ($1)', [tx.id]);
              await tx
                .on('orders')
                .query('update account set balance = balance - 1 where id = $1', [account]);
              await tx
                .on('billing')
                .query('update account set balance = balance + 1 where id = $1', [account]);
            });
            outcomes.set(id, 'committed');
          } catch (error) {
            if (error instanceof RolledBackError) outcomes.set(id, 'rolled-back');
            else if (error instanceof OutcomeUnknownError) outcomes.set(id, 'unknown');
            else throw error;
          }
        }
      }),
    );
    running = false;
    const counts = await Promise.all(passes);
    // They really met branches in doubt, many times.
    for (const { count, seen } of counts) {
      expect(count).toBeGreaterThan(20);
      expect(seen).toBeGreaterThan(20);
    }

    await coordinator.recover();
    expect(await bank.inDoubt()).toEqual([]);
    const { whole, torn } = await checkMarkers(bank, 2);
    expect(torn).toEqual([]);
    for (const [id, outcome] of outcomes) {
      if (outcome !== 'unknown') expect([id, whole.has(id)]).toEqual([id, outcome === 'committed']);
    }
    expect(outcomes.size).toBe(3_000);
    // Nothing stood in the way of any of them: the recoverers must not abort live work.
    expect([...outcomes.values()].filter((outcome) => outcome !== 'committed')).toEqual([]);
    expect(await totalBalance(bank)).toBe(200_000);
    expect(await bank.log.query('select * from pgxa.heuristic')).toEqual([]);
  }, 180_000);
});
