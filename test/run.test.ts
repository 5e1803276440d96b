import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { MisuseError, RolledBackError } from '../src/index.ts';
import type { TransactionManager } from '../src/index.ts';
import { createBank, type Bank } from './support/bank.ts';

describe('run', () => {
  let bank: Bank;
  let tm: TransactionManager;
  beforeAll(async () => {
    bank = await createBank();
    tm = await bank.manager();
  });
  afterAll(() => bank.close());

  it('two writers: commits on both, writes one commit decision, leaves nothing prepared', async () => {
    let id = '';
    const result = await tm.run({ label: 'order 456' }, async (tx) => {
      id = tx.id;
      await tx.on('orders').query('insert into marker values ($1)', [tx.id]);
      await tx.on('billing').query('insert into marker values ($1)', [tx.id]);
      return 456;
    });
    expect(result).toBe(456);
    for (const participant of bank.participants) {
      expect(
        await participant.query('select 1 from marker where transaction_id = $1', [id]),
      ).toHaveLength(1);
    }
    const decisions = await bank.log.query(
      'select outcome, decided_by, label, branches from pgxa.decision where transaction_id = $1',
      [id],
    );
    expect(decisions).toMatchObject([
      { outcome: 'commit', decided_by: 'coordinator', label: 'order 456' },
    ]);
    expect(decisions[0]?.['branches']).toMatchObject([
      { participant: 'orders', branch: 1, xid: expect.stringMatching(/^\d+$/) as string },
      { participant: 'billing', branch: 2, xid: expect.stringMatching(/^\d+$/) as string },
    ]);
    expect(await bank.inDoubt()).toEqual([]);
    expect(await tm.outcomeOf(id)).toBe('committed');
  });

  it('function throws: rolled back everywhere, the error is the cause', async () => {
    const boom = new Error('boom');
    let id = '';
    const failure = tm.run(async (tx) => {
      id = tx.id;
      await tx.on('orders').query('insert into marker values ($1)', [tx.id]);
      await tx.on('billing').query('insert into marker values ($1)', [tx.id]);
      throw boom;
    });
    await expect(failure).rejects.toMatchObject({
      name: 'RolledBackError',
      code: 'PGXA_ROLLED_BACK',
      cause: boom,
      retryable: false,
    });
    await expect(failure).rejects.toBeInstanceOf(RolledBackError);
    expect(
      await bank
        .participant('orders')
        .query('select 1 from marker where transaction_id = $1', [id]),
    ).toEqual([]);
    expect(await tm.outcomeOf(id)).toBe('aborted');
  });

  it('one writer: plain COMMIT, no decision row', async () => {
    let id = '';
    await tm.run(async (tx) => {
      id = tx.id;
      await tx.on('orders').query('insert into marker values ($1)', [tx.id]);
      await tx.on('billing').query('select count(*) from account');
    });
    expect(
      await bank.log.query('select 1 from pgxa.decision where transaction_id = $1', [id]),
    ).toEqual([]);
    expect(
      await bank
        .participant('orders')
        .query('select 1 from marker where transaction_id = $1', [id]),
    ).toHaveLength(1);
    expect(await tm.outcomeOf(id)).toBe('committed');
  });

  it('a participant votes no on a deferred constraint: rolled back everywhere, with its SQLSTATE', async () => {
    await expect(
      tm.run(async (tx) => {
        await tx.on('orders').query('insert into marker values ($1)', [tx.id]);
        await tx.on('billing').query('insert into child values (1, 77)');
      }),
    ).rejects.toMatchObject({
      code: 'PGXA_VOTE_NO',
      participant: 'billing',
      retryable: false,
      cause: { code: '23503' },
    });
    expect(await bank.inDoubt()).toEqual([]);
  });

  it('unknown participant: MisuseError that names the configured ones', async () => {
    await expect(
      tm.run(async (tx) => {
        await tx.on('nowhere').query('select 1');
      }),
    ).rejects.toThrow(MisuseError);
  });
});
