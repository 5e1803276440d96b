import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import type { BranchClient, TransactionManager, TransactionScope } from '../../src/index.ts';
import { createBank, type Bank } from '../support/bank.ts';

/**
 * Statements that a program believes to be part of its transaction. Expected in every case: the
 * transaction commits with all of them, or not at all.
 */
describe('no transaction commits without one of its statements', () => {
  let bank: Bank;
  let tm: TransactionManager;
  let id = '';
  let called: string[] = [];

  beforeAll(async () => {
    bank = await createBank();
  });
  afterEach(async () => {
    await tm.close();
    expect(await bank.inDoubt()).toEqual([]);
    called = [];
  });
  afterAll(() => bank.close());

  const mark = async (tx: TransactionScope, ...names: string[]): Promise<void> => {
    ({ id } = tx);
    tx.onCommitted(() => void called.push('committed'));
    tx.onRolledBack(() => void called.push('rolled-back'));
    for (const name of names) await tx.on(name).query('insert into marker values ($1)', [tx.id]);
  };
  const withdraw = (client: BranchClient, account: number): Promise<unknown> =>
    client.query('update account set balance = balance - 1 where id = $1', [account]);
  const balances = async (...accounts: number[]): Promise<number[]> => {
    const rows = await bank
      .participant('orders')
      .query('select balance::int from account where id = any ($1) order by id', [accounts]);
    return rows.map(({ balance }) => Number(balance));
  };
  async function expectNothingDone(): Promise<void> {
    for (const one of bank.participants) {
      const rows = await one.query('select 1 from marker where transaction_id = $1', [id]);
      expect(rows).toHaveLength(0);
    }
    expect(called).toEqual(['rolled-back']);
    expect(await tm.outcomeOf(id)).toBe('aborted');
  }

  const circular: Record<string, unknown> = {};
  circular['self'] = circular;
  const unbindable: readonly (readonly [string, unknown])[] = [
    ['a circular object', circular],
    ['an object with a BigInt', { amount: 10n }],
    [
      'an object whose toPostgres throws',
      {
        toPostgres: () => {
          throw new Error('cannot be bound');
        },
      },
    ],
  ];
  describe.each(unbindable)('%s as a value cannot be sent', (_, value) => {
    it.each(['first', 'second'])(
      'in the %s statement of a branch: it rejects, nothing is committed, the session works on',
      async (which) => {
        tm = await bank.manager({
          participants: Object.fromEntries(
            bank.participants.map(({ name, connectionString }) => [
              name,
              { connectionString, max: 1 },
            ]),
          ),
        });
        let answer = 'none';
        const running = tm.run(async (tx) => {
          await mark(tx, 'orders');
          const billing = tx.on('billing');
          if (which === 'second') await billing.query('select 1');
          await billing.query('insert into marker values ($1, $2)', [tx.id, value]).then(
            () => (answer = 'resolved'),
            (error: unknown) => {
              answer = 'rejected';
              throw error;
            },
          );
        });
        await expect(running).rejects.toMatchObject({ name: 'RolledBackError', retryable: false });
        expect(answer).toBe('rejected');
        await expectNothingDone();
        expect(await tm.run((tx) => tx.on('billing').query('select 7 as n'))).toMatchObject({
          rows: [{ n: 7 }],
        });
      },
    );
  });

  it('queries asked and not awaited before the function returns: they run, and are committed', async () => {
    tm = await bank.manager();
    const asked: Promise<unknown>[] = [];
    const before = await balances(1, 2, 3);
    await tm.run(async (tx) => {
      await mark(tx, 'billing');
      for (const account of [1, 2, 3]) asked.push(withdraw(tx.on('orders'), account));
    });
    expect((await Promise.allSettled(asked)).map(({ status }) => status)).toEqual(
      asked.map(() => 'fulfilled'),
    );
    expect(await balances(1, 2, 3)).toEqual(before.map((balance) => balance - 1));
    expect(called).toEqual(['committed']);
  });

  it('a query that is not awaited fails: nothing is committed', async () => {
    tm = await bank.manager();
    const before = await balances(1);
    const running = tm.run(async (tx) => {
      await mark(tx, 'billing', 'orders');
      void withdraw(tx.on('orders'), 1);
      tx.on('orders')
        .query('select 1/0')
        .catch(() => called.push('failed'));
    });
    await expect(running).rejects.toMatchObject({
      name: 'RolledBackError',
      cause: { code: '22012' },
    });
    expect(called.shift()).toBe('failed');
    await expectNothingDone();
    expect(await balances(1)).toEqual(before);
  });

  it('the second query of a chain that nobody awaits comes during COMMIT: MisuseError, all of it undone', async () => {
    tm = await bank.manager();
    const before = await balances(1, 2);
    let chain: Promise<unknown> | undefined;
    const running = tm.run(async (tx) => {
      await mark(tx, 'billing');
      const orders = tx.on('orders');
      chain = withdraw(orders, 1).then(() => withdraw(orders, 2));
      chain.catch(() => undefined);
    });
    await expect(running).rejects.toMatchObject({
      name: 'MisuseError',
      code: 'PGXA_TRANSACTION_ENDED',
    });
    await expect(chain).rejects.toMatchObject({ code: 'PGXA_TRANSACTION_ENDED' });
    await expectNothingDone();
    expect(await balances(1, 2)).toEqual(before);
  });

  it.each(['before-vote', 'after-votes', 'before-one-phase-commit'] as const)(
    'a query that comes at %s: it rejects; committed without it is only what was decided before',
    async (point) => {
      let late: Promise<unknown> | undefined;
      let scope: TransactionScope | undefined;
      tm = await bank.manager(
        {},
        {
          faultHook: (at) => {
            if (at !== point || scope === undefined) return;
            late = withdraw(scope.on('orders'), 1);
            late.catch(() => undefined);
          },
        },
      );
      const before = await balances(1);
      const running = tm.run(async (tx) => {
        scope = tx;
        await mark(tx, 'orders', ...(point === 'before-one-phase-commit' ? [] : ['billing']));
      });
      // Once the only COMMIT is on its way it is too late to undo anything.
      if (point === 'before-one-phase-commit') await running;
      else await expect(running).rejects.toMatchObject({ code: 'PGXA_TRANSACTION_ENDED' });
      await expect(late).rejects.toMatchObject({ code: 'PGXA_TRANSACTION_ENDED' });
      if (point !== 'before-one-phase-commit') await expectNothingDone();
      expect(await balances(1)).toEqual(before);
    },
  );

  it('a nested BEGIN without its end: PGXA_TRANSACTION_CONTROL names the participant, nothing is committed', async () => {
    tm = await bank.manager();
    const running = tm.run(async (tx) => {
      await mark(tx, 'billing');
      await tx.on('orders').query('begin');
      await mark(tx, 'orders');
    });
    await expect(running).rejects.toMatchObject({
      name: 'MisuseError',
      code: 'PGXA_TRANSACTION_CONTROL',
      participant: 'orders',
    });
    called.splice(1);
    await expectNothingDone();
  });

  it('the inner transaction of an ORM is not awaited and half done: nothing is committed', async () => {
    tm = await bank.manager();
    const before = await balances(50, 51);
    let goOn = (): void => undefined;
    const gate = new Promise<void>((resolve) => (goOn = resolve));
    let inner: Promise<unknown> | undefined;
    const running = tm.run(async (tx) => {
      await mark(tx, 'billing');
      const orders = tx.on('orders');
      const half = orders.query('begin').then(() => withdraw(orders, 50));
      inner = half
        .then(() => gate)
        .then(() => withdraw(orders, 51))
        .then(() => orders.query('commit'));
      inner.catch(() => undefined);
      await half;
    });
    await expect(running).rejects.toMatchObject({ code: 'PGXA_TRANSACTION_CONTROL' });
    goOn();
    await expect(inner).rejects.toMatchObject({ code: 'PGXA_TRANSACTION_ENDED' });
    await expectNothingDone();
    expect(await balances(50, 51)).toEqual(before);
  });
});
