import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { TransactionManager, TransactionScope } from '../../src/index.ts';
import { createBank, type Bank } from '../support/bank.ts';
import { FaultProxy } from '../support/proxy.ts';

/**
 * The server carries a COMMIT or a PREPARE out, and answers with PANIC 58030, as it does when the flush of
 * the WAL failed. Expected: such an error is no answer; run() says what the data say.
 */
describe('PANIC in place of the command tag', () => {
  let bank: Bank;
  let proxy: FaultProxy;
  let tm: TransactionManager;
  let id = '';
  let called: string[];

  beforeEach(async () => {
    called = [];
    bank = await createBank();
    const billing = bank.participant('billing');
    proxy = await FaultProxy.inFrontOf(billing.connectionString);
    tm = await bank.manager({
      participants: {
        orders: { connectionString: bank.participant('orders').connectionString },
        billing: { connectionString: proxy.through(billing.connectionString) },
      },
    });
  });
  afterEach(async () => {
    await bank.close();
    await proxy.close();
  });

  const mark = async (tx: TransactionScope, ...names: string[]): Promise<void> => {
    ({ id } = tx);
    tx.onCommitted(() => void called.push('committed'));
    tx.onRolledBack(() => void called.push('rolled-back'));
    for (const name of names) await tx.on(name).query('insert into marker values ($1)', [tx.id]);
  };
  const rows = async (name: string): Promise<number> =>
    (await bank.participant(name).query('select 1 from marker where transaction_id = $1', [id]))
      .length;

  it('to the only COMMIT, which stands: run() resolves, the row is there, outcomeOf says committed', async () => {
    const rule = proxy.arm(/\bcommit[\0;]/, 'panic');
    await tm.run((tx) => mark(tx, 'billing'));
    expect(rule.fired).toBe(1);
    expect(await rows('billing')).toBe(1);
    expect(called).toEqual(['committed']);
    expect(await tm.outcomeOf(id)).toBe('committed');
  });

  it('to the only COMMIT, and the server is away then: unknown, and committed once it is back', async () => {
    const rule = proxy.arm(/\bcommit[\0;]/, 'panic');
    const away = proxy.arm(/pg_terminate_backend|pg_xact_status/, 'vanish');
    await expect(tm.run((tx) => mark(tx, 'billing'))).rejects.toMatchObject({
      name: 'OutcomeUnknownError',
    });
    expect([rule.fired, away.fired]).toEqual([1, 1]);
    expect(called).toEqual([]);
    proxy.comeBack();
    expect(await tm.outcomeOf(id)).toBe('committed');
    expect(await rows('billing')).toBe(1);
  });

  it('to PREPARE, which stands: unknown is not yes; rolled back on both, no branch is left', async () => {
    const rule = proxy.arm(/\bprepare transaction /, 'panic');
    await expect(tm.run((tx) => mark(tx, 'orders', 'billing'))).rejects.toMatchObject({
      name: 'RolledBackError',
      code: 'PGXA_VOTE_UNKNOWN',
      retryable: true,
    });
    expect(rule.fired).toBe(1);
    expect([await rows('orders'), await rows('billing')]).toEqual([0, 0]);
    expect(called).toEqual(['rolled-back']);
    expect(await bank.inDoubt()).toEqual([]);
    expect(await bank.log.query('select * from pgxa.heuristic')).toEqual([]);
    expect(await tm.outcomeOf(id)).toBe('aborted');
  });
});
