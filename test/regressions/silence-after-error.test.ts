import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { TransactionManager } from '../../src/index.ts';
import { createBank, type Bank } from '../support/bank.ts';
import { FaultProxy } from '../support/proxy.ts';

/**
 * Billing answers the vote, or the only COMMIT, with the error of a deferred constraint, and then falls
 * silent before it is ready for the next query. Expected: the caller has its answer by the deadline, the
 * other branch is not left prepared, and the pool has its place back.
 */
describe('an error, and then silence', () => {
  let bank: Bank;
  let proxy: FaultProxy;
  let tm: TransactionManager;

  beforeEach(async () => {
    bank = await createBank();
    const [orders, billing] = [bank.participant('orders'), bank.participant('billing')];
    proxy = await FaultProxy.inFrontOf(billing.connectionString);
    tm = await bank.manager({
      timeoutMs: 1_500,
      participants: {
        orders: { connectionString: orders.connectionString },
        billing: { connectionString: proxy.through(billing.connectionString), max: 1 },
      },
    });
  });
  afterEach(async () => {
    await bank.close();
    await proxy.close();
  });

  it.each([
    { writers: ['orders', 'billing'], pattern: /prepare transaction/ },
    { writers: ['billing'], pattern: /commit/ },
  ])('$writers.length writers', async ({ writers, pattern }) => {
    const rule = proxy.arm(pattern, 'silence-after-error');
    const started = performance.now();
    await expect(
      tm.run(async (tx) => {
        for (const name of writers) {
          await tx.on(name).query('insert into marker values ($1)', [tx.id]);
        }
        await tx.on('billing').query('insert into child values (1, 77)');
      }),
    ).rejects.toMatchObject({ name: 'RolledBackError' });
    expect(rule.fired).toBe(1);
    // Deadline, reply timer, fence: seconds, not for ever.
    expect(performance.now() - started).toBeLessThan(12_000);
    expect(await bank.inDoubt()).toEqual([]);
    // The only place of the pool is free again.
    await tm.run((tx) => tx.on('billing').query('select 1'));
  });
});
