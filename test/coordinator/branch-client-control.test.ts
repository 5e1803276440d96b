/** Transaction control on the client that tx.on() hands out: what is mapped, and what is refused. */
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

describe('raw BEGIN, COMMIT and ROLLBACK become savepoints', () => {
  it.each([
    ['begin', 'commit'],
    ['BEGIN TRANSACTION;', 'END;'],
    ['start transaction', 'commit work'],
    ['begin isolation level read committed', 'commit and no chain'],
  ])('%s … %s: kept, with the command tags of PostgreSQL', async (begin, commit) => {
    const { id, error } = await runWith(async (tx) => {
      expect(await tx.on('orders').query(begin)).toMatchObject({ command: 'BEGIN' });
      await note(tx, 'orders', 'inner');
      expect(await tx.on('orders').query(commit)).toMatchObject({ command: 'COMMIT' });
    });
    expect(error).toBeUndefined();
    expect(await left(bank, id)).toEqual({ orders: ['before', 'behind', 'inner'], billing: 1 });
  });

  it.each(['rollback', 'ROLLBACK;', 'abort', 'rollback work'])(
    'begin … %s: only the inner work is gone',
    async (rollback) => {
      const { id, error } = await runWith(async (tx) => {
        await tx.on('orders').query('begin');
        await note(tx, 'orders', 'inner');
        expect(await tx.on('orders').query(rollback)).toMatchObject({ command: 'ROLLBACK' });
      });
      expect(error).toBeUndefined();
      expect(await left(bank, id)).toEqual({ orders: ['before', 'behind'], billing: 1 });
    },
  );

  it('three deep, the middle one rolled back: what it holds is gone, the rest is kept', async () => {
    const { id, error } = await runWith(async (tx) => {
      const orders = tx.on('orders');
      await orders.query('begin');
      await note(tx, 'orders', 'one');
      await orders.query('begin');
      await note(tx, 'orders', 'two');
      await orders.query('begin');
      await note(tx, 'orders', 'three');
      await orders.query('commit');
      await orders.query('rollback');
      await orders.query('commit');
    });
    expect(error).toBeUndefined();
    expect(await left(bank, id)).toEqual({ orders: ['before', 'behind', 'one'], billing: 1 });
  });

  it('COMMIT of a failed nested block: answers ROLLBACK, as PostgreSQL does, and work goes on', async () => {
    const { id, error } = await runWith(async (tx) => {
      const orders = tx.on('orders');
      await orders.query('begin');
      await note(tx, 'orders', 'inner');
      await expect(orders.query('select 1/0')).rejects.toMatchObject({ code: '22012' });
      await expect(orders.query('select 1')).rejects.toMatchObject({ code: '25P02' });
      expect(await orders.query('commit')).toMatchObject({ command: 'ROLLBACK' });
    });
    expect(error).toBeUndefined();
    expect(await left(bank, id)).toEqual({ orders: ['before', 'behind'], billing: 1 });
  });

  it('a nested block that was never ended: rolled back, it may be half an inner transaction', async () => {
    const { id, error } = await runWith(async (tx) => {
      await tx.on('orders').query('begin');
      await note(tx, 'orders', 'inner');
    });
    expect(error).toMatchObject({ name: 'MisuseError', code: 'PGXA_TRANSACTION_CONTROL' });
    expect(await left(bank, id)).toEqual({ orders: [], billing: 0 });
  });

  it('begin as the very first statement of the branch, then commit: the branch is not committed', async () => {
    let id = '';
    await tm
      .run(async (tx) => {
        id = tx.id;
        await tx.on('orders').query('begin');
        await note(tx, 'orders', 'inner');
        await tx.on('orders').query('commit');
        await note(tx, 'billing', 'x');
        throw new Error('no');
      })
      .catch(() => undefined);
    expect(await left(bank, id)).toEqual({ orders: [], billing: 0 });
  });

  it('savepoints of the program itself: as PostgreSQL has them', async () => {
    const { id, error } = await runWith(async (tx) => {
      const orders = tx.on('orders');
      await orders.query('savepoint mine');
      await note(tx, 'orders', 'gone');
      await orders.query('rollback to savepoint mine');
      await note(tx, 'orders', 'kept');
      await orders.query('release mine');
    });
    expect(error).toBeUndefined();
    expect(await left(bank, id)).toEqual({ orders: ['before', 'behind', 'kept'], billing: 1 });
  });

  it('a nested BEGIN that asks for another isolation level: MisuseError', async () => {
    const { id, error } = await runWith((tx) =>
      tx.on('orders').query('begin isolation level serializable'),
    );
    expect(error).toMatchObject({ name: 'MisuseError', code: 'PGXA_TRANSACTION_CONTROL' });
    expect(await left(bank, id)).toEqual({ orders: [], billing: 0 });
  });
});

describe('refused commands', () => {
  const REFUSED = [
    `prepare transaction 'x'`,
    `commit prepared 'x'`,
    `rollback prepared 'x'`,
    'commit',
    'end',
    'rollback',
    'abort',
    'commit and chain',
    'rollback and chain',
    'insert into parent values (1); commit',
    'commit; insert into parent values (1)',
    'begin; insert into parent values (1); commit',
    '/* quiet */ insert into parent values (1); -- now\n end',
    `insert into parent values (1); prepare transaction 'x'`,
    `do $$ begin end $$; commit; select $$;$$`,
  ];

  it.each(REFUSED)('%j, not caught: MisuseError, all rolled back', async (text) => {
    const { id, error } = await runWith((tx) => tx.on('orders').query(text));
    expect(error).toBeInstanceOf(MisuseError);
    expect(error).toMatchObject({
      code: 'PGXA_TRANSACTION_CONTROL',
      participant: 'orders',
      transactionId: id,
    });
    expect(await left(bank, id)).toEqual({ orders: [], billing: 0 });
    expect(await bank.participant('orders').query('select 1 from parent')).toEqual([]);
  });

  it.each(REFUSED)(
    '%j, caught: nothing was sent, the transaction goes on and commits',
    async (text) => {
      const { id, error } = await runWith(async (tx) => {
        await expect(tx.on('orders').query(text)).rejects.toBeInstanceOf(MisuseError);
      });
      expect(error).toBeUndefined();
      expect(await left(bank, id)).toEqual({ orders: ['before', 'behind'], billing: 1 });
      expect(await bank.participant('orders').query('select 1 from parent')).toEqual([]);
    },
  );

  it.each([
    ['do', 'do $$ begin commit; end $$', '2D000'],
    ['execute', `do $$ begin execute 'commit'; end $$`, '0A000'],
  ])('COMMIT inside of %s: the server refuses it, all rolled back', async (_, text, sqlstate) => {
    const { id, error } = await runWith((tx) => tx.on('orders').query(text));
    expect(error).toMatchObject({ name: 'RolledBackError', cause: { code: sqlstate } });
    expect(await left(bank, id)).toEqual({ orders: [], billing: 0 });
  });

  it.each<[string, unknown]>([
    ['a cursor', { submit: () => undefined }],
    ['nothing', undefined],
    ['null', null],
    ['a number', 7],
    ['an object without text', { values: [] }],
  ])('%s in the place of a query: MisuseError, and the transaction goes on', async (_, query) => {
    const { id, error } = await runWith(async (tx) => {
      await expect(tx.on('orders').query(query as never)).rejects.toMatchObject({
        name: 'MisuseError',
        code: 'PGXA_UNSUPPORTED_QUERY',
      });
      await expect(tx.on('orders').query('select $1', 'text' as never)).rejects.toMatchObject({
        code: 'PGXA_UNSUPPORTED_QUERY',
      });
    });
    expect(error).toBeUndefined();
    expect((await left(bank, id)).orders).toEqual(['before', 'behind']);
  });
});
