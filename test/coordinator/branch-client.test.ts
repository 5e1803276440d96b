/** The client that tx.on() hands out, used directly: every way to ask, and its end. */
import { EventEmitter, once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { MisuseError, type TransactionManager, type TransactionScope } from '../../src/index.ts';
import { createBank, type Bank } from '../support/bank.ts';
import { left, note, runBetween } from './notes.ts';

let bank: Bank;
let tm: TransactionManager;
beforeAll(async () => {
  bank = await createBank();
  tm = await bank.manager();
});
afterAll(() => bank.close());

const runWith = (
  work: (tx: TransactionScope) => Promise<unknown>,
): Promise<{ id: string; error: unknown }> => runBetween(bank, tm, work);

describe('ways to ask', () => {
  it('20 queries at once: all answered, in the order in which they were asked', async () => {
    const { error } = await runWith(async (tx) => {
      const order: number[] = [];
      const answers = await Promise.all(
        Array.from({ length: 20 }, async (_, index) => {
          const { rows } = await tx
            .on('orders')
            .query<{ n: number }>('select $1::int as n', [index]);
          order.push(index);
          return rows[0]?.n;
        }),
      );
      expect(answers).toEqual([...answers.keys()]);
      expect(order).toEqual(answers);
    });
    expect(error).toBeUndefined();
  });

  it('20 queries at once on a fresh branch, one fails: the others tell it, all is rolled back', async () => {
    let id = '';
    const results: PromiseSettledResult<unknown>[] = [];
    await expect(
      tm.run(async (tx) => {
        id = tx.id;
        await note(tx, 'billing', 'x');
        const all = Array.from({ length: 20 }, (_, index) =>
          index === 10 ? tx.on('orders').query('select 1/0') : note(tx, 'orders', String(index)),
        );
        results.push(...(await Promise.allSettled(all)));
      }),
    ).rejects.toMatchObject({ code: 'PGXA_BRANCH_FAILED', cause: { code: '22012' } });
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(10);
    expect(await left(bank, id)).toEqual({ orders: [], billing: 0 });
  });

  it('callbacks: with and without values, results and errors', async () => {
    const { error } = await runWith(async (tx) => {
      const orders = tx.on('orders');
      const answers = new EventEmitter();
      const answer = (name: string) => (thrown: Error | null, result?: unknown) =>
        answers.emit(name, thrown, result);
      orders.query('select 1 as n', answer('plain'));
      expect(await once(answers, 'plain')).toMatchObject([null, { rows: [{ n: 1 }] }]);
      orders.query('select $1::int as n', [2], answer('values'));
      expect(await once(answers, 'values')).toMatchObject([null, { rows: [{ n: 2 }] }]);
      orders.query({ text: 'select $1::int as n', values: [3] }, answer('config'));
      expect(await once(answers, 'config')).toMatchObject([null, { rows: [{ n: 3 }] }]);
      orders.query('commit', answer('misuse'));
      expect(await once(answers, 'misuse')).toMatchObject([
        { code: 'PGXA_TRANSACTION_CONTROL' },
        undefined,
      ]);
      await orders.query('savepoint a');
      orders.query('select 1/0', answer('error'));
      expect(await once(answers, 'error')).toMatchObject([{ code: '22012' }, undefined]);
      await orders.query('rollback to a');
    });
    expect(error).toBeUndefined();
  });

  it('objects with name, rowMode and types: as node-postgres has them, also as first statement', async () => {
    const types = { getTypeParser: () => (text: string) => `<${text}>` };
    const text = 'select $1::int as n, $2::text as t';
    await tm.run(async (tx) => {
      const ask = (more: object): Promise<unknown> =>
        tx
          .on('orders')
          .query({ text, values: [7, 'a'], ...more })
          .then(({ rows }) => rows);
      expect(await ask({ rowMode: 'array' })).toEqual([[7, 'a']]);
      expect(await ask({ types })).toEqual([{ n: '<7>', t: '<a>' }]);
      expect(await ask({ types, rowMode: 'array' })).toEqual([['<7>', '<a>']]);
      expect(await ask({ name: 'named' })).toEqual([{ n: 7, t: 'a' }]);
      expect(await ask({ name: 'named', values: [8, 'b'] })).toEqual([{ n: 8, t: 'b' }]);
    });
    for (const first of [{ rowMode: 'array' }, { types }, { name: 'named' }]) {
      await tm.run(async (tx) => {
        const { rows } = await tx.on('orders').query({ text, values: [7, 'a'], ...first });
        const expected =
          'rowMode' in first
            ? [7, 'a']
            : 'types' in first
              ? { n: '<7>', t: '<a>' }
              : { n: 7, t: 'a' };
        expect(rows).toEqual([expected]);
      });
    }
  });

  it('several statements in one text: all of their results, also as first statement', async () => {
    await tm.run(async (tx) => {
      const text = 'select 1 as n; select 2 as n';
      const expected = [{ rows: [{ n: 1 }] }, { rows: [{ n: 2 }] }];
      expect(await tx.on('orders').query(text)).toMatchObject(expected);
      expect(await tx.on('orders').query(text)).toMatchObject(expected);
    });
  });

  it('queries that nobody awaits, last of all: they belong to the transaction all the same', async () => {
    let id = '';
    const names = Array.from({ length: 10 }, (_, index) => String(index));
    await tm.run((tx) => {
      id = tx.id;
      for (const name of names) void note(tx, 'orders', name);
      void note(tx, 'billing', 'x');
    });
    expect(await left(bank, id)).toEqual({ orders: names, billing: 1 });
    expect(await bank.inDoubt()).toEqual([]);
  });

  it('the last of them fails: rolled back, not committed without it', async () => {
    let id = '';
    let failure: unknown;
    await expect(
      tm.run((tx) => {
        id = tx.id;
        void note(tx, 'billing', 'x');
        void note(tx, 'orders', 'a');
        void note(tx, 'orders', 'b');
        tx.on('orders')
          .query('select 1/0')
          .catch((thrown: unknown) => (failure = thrown));
      }),
    ).rejects.toMatchObject({ code: 'PGXA_BRANCH_FAILED', cause: { code: '22012' } });
    expect(failure).toMatchObject({ code: '22012' });
    expect(await left(bank, id)).toEqual({ orders: [], billing: 0 });
  });

  it('rollback() with queries still waiting: they are refused, and nothing is kept', async () => {
    const tx = await tm.begin();
    const waiting = Promise.allSettled(['a', 'b', 'c'].map((name) => note(tx, 'orders', name)));
    await tx.rollback();
    expect((await waiting).filter(({ status }) => status === 'fulfilled').length).toBeLessThan(3);
    expect(await left(bank, tx.id)).toEqual({ orders: [], billing: 0 });
  });

  it('release() and connect() do nothing', async () => {
    const { id, error } = await runWith(async (tx) => {
      const orders = tx.on('orders');
      orders.release();
      expect(await orders.connect()).toBe(orders);
      expect(tx.on('orders')).toBe(orders);
    });
    expect(error).toBeUndefined();
    expect(await left(bank, id)).toEqual({ orders: ['before', 'behind'], billing: 1 });
  });

  it('a query that is asked while COMMIT is under way: nothing is committed without it', async () => {
    const tx = await tm.begin();
    const orders = tx.on('orders');
    await orders.query('insert into marker values ($1, $2)', [tx.id, `${tx.id} x`]);
    const ending = tx.commit();
    await expect(orders.query('select 1')).rejects.toMatchObject({
      code: 'PGXA_TRANSACTION_ENDED',
    });
    await expect(ending).rejects.toMatchObject({
      name: 'MisuseError',
      code: 'PGXA_TRANSACTION_ENDED',
    });
    expect((await left(bank, tx.id)).orders).toEqual([]);
    expect(await tm.outcomeOf(tx.id)).toBe('aborted');
  });

  it.each(['commit', 'rollback'] as const)(
    'after %s: MisuseError, and nothing is sent',
    async (end) => {
      const tx = await tm.begin();
      const orders = tx.on('orders');
      await orders.query('insert into marker values ($1, $2)', [tx.id, `${tx.id} x`]);
      await tx[end]();
      await expect(orders.query('select 1')).rejects.toBeInstanceOf(MisuseError);
      expect(() => tx.on('billing')).toThrow(MisuseError);
      expect((await left(bank, tx.id)).orders).toEqual(end === 'commit' ? ['x'] : []);
    },
  );
});
