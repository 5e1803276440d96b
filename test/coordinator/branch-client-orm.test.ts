/**
 * Kysely, Drizzle and Knex on the client that tx.on() hands out: their own transactions become
 * savepoints of the branch, and commit or roll back only with the whole transaction.
 */
import { sql as drizzleSql } from 'drizzle-orm';
import { drizzle, type NodePgClient, type NodePgDatabase } from 'drizzle-orm/node-postgres';
import { integer, pgTable } from 'drizzle-orm/pg-core';
import knexFactory, { type Knex } from 'knex';
import { Kysely, PostgresDialect, sql as kyselySql, type PostgresPool } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import type { BranchClient, TransactionManager, TransactionScope } from '../../src/index.ts';
import { createBank, type Bank } from '../support/bank.ts';

/** What the tests want of each library: rows in table `parent`, and a transaction of its own. */
interface Library {
  readonly insert: (id: number) => Promise<unknown>;
  /** Runs `work` in what the library takes for a transaction; throws what `work` throws. */
  readonly transaction: (work: (inner: Library) => Promise<unknown>) => Promise<unknown>;
  readonly fail: () => Promise<unknown>;
}

interface Database {
  readonly parent: { readonly id: number };
}

function kyselyDb(client: BranchClient): Kysely<Database> {
  const pool = { connect: () => client.connect(), end: () => Promise.resolve() };
  return new Kysely<Database>({
    dialect: new PostgresDialect({ pool: pool as unknown as PostgresPool }),
  });
}

function kyselyOn(client: BranchClient): Library {
  const over = (handle: Kysely<Database>, depth: number): Library => ({
    insert: (id) => handle.insertInto('parent').values({ id }).executeTakeFirstOrThrow(),
    fail: () => kyselySql`select 1/0`.execute(handle),
    transaction: async (work) => {
      // Kysely itself nests nothing; below the first level its users send BEGIN on the handle.
      if (depth === 0) return handle.transaction().execute((trx) => work(over(trx, depth + 1)));
      await kyselySql`begin`.execute(handle);
      try {
        await work(over(handle, depth + 1));
      } catch (error) {
        await kyselySql`rollback`.execute(handle);
        throw error;
      }
      return kyselySql`commit`.execute(handle);
    },
  });
  return over(kyselyDb(client), 0);
}

const parent = pgTable('parent', { id: integer('id').primaryKey() });

function drizzleOn(client: BranchClient): Library {
  type Handle = Pick<NodePgDatabase, 'insert' | 'execute' | 'transaction'>;
  const over = (handle: Handle): Library => ({
    insert: (id) => handle.insert(parent).values({ id }),
    fail: () => handle.execute(drizzleSql`select 1/0`),
    transaction: (work) => handle.transaction((inner) => work(over(inner))),
  });
  return over(drizzle({ client: client as unknown as NodePgClient }));
}

const knex = knexFactory({ client: 'pg' });

function knexOn(client: BranchClient): Library {
  const top: Library = {
    insert: async (id) => knex('parent').insert({ id }).connection(client),
    fail: async () => {
      await knex.raw('select 1/0').connection(client);
    },
    transaction: (work) => knex.transaction((trx) => work(within(trx)), { connection: client }),
  };
  const within = (trx: Knex.Transaction): Library => ({
    insert: async (id) => trx('parent').insert({ id }),
    fail: async () => {
      await trx.raw('select 1/0');
    },
    transaction: (work) => trx.transaction((inner) => work(within(inner))),
  });
  return top;
}

let bank: Bank;
let tm: TransactionManager;
beforeAll(async () => {
  bank = await createBank();
  tm = await bank.manager();
});
beforeEach(async () => {
  await Promise.all(bank.participants.map((one) => one.query('delete from parent')));
});
afterAll(async () => {
  await bank.close();
  await knex.destroy();
});

async function rows(): Promise<Record<string, number[]>> {
  const found = await Promise.all(
    bank.participants.map(async (one) => {
      const list = await one.query<{ id: number }>('select id from parent order by id');
      return [one.name, list.map(({ id }) => id)] as const;
    }),
  );
  expect(await bank.inDoubt()).toEqual([]);
  return Object.fromEntries(found);
}

const stop = new Error('stop here');
/** Passes over the error that was thrown on purpose, and no other one. */
const expectStop = (thrown: unknown): void => {
  expect(thrown).toBe(stop);
};

describe.each([
  ['Kysely', kyselyOn],
  ['Drizzle', drizzleOn],
  ['Knex', knexOn],
] as const)('%s', (_, libraryOn) => {
  const both = (tx: TransactionScope): [Library, Library] => [
    libraryOn(tx.on('orders')),
    libraryOn(tx.on('billing')),
  ];

  it('its transactions on both participants, then the function returns: both committed', async () => {
    await tm.run(async (tx) => {
      for (const library of both(tx)) {
        await library.insert(1);
        await library.transaction(async (inner) => {
          await inner.insert(2);
          await inner.insert(3);
        });
        await library.insert(4);
      }
      // Nothing is committed by the library: nobody else sees it yet.
      expect(await rows()).toEqual({ orders: [], billing: [] });
    });
    expect(await rows()).toEqual({ orders: [1, 2, 3, 4], billing: [1, 2, 3, 4] });
  });

  it('its transactions on both participants, then the function throws: none committed', async () => {
    await expect(
      tm.run(async (tx) => {
        for (const library of both(tx)) {
          await library.transaction((inner) => inner.insert(1));
        }
        throw stop;
      }),
    ).rejects.toMatchObject({ code: 'PGXA_ROLLED_BACK', cause: stop });
    expect(await rows()).toEqual({ orders: [], billing: [] });
  });

  it('its transaction rolls back, and that is caught: only its work is gone', async () => {
    await tm.run(async (tx) => {
      for (const library of both(tx)) {
        await library.insert(1);
        await library
          .transaction(async (inner) => {
            await inner.insert(2);
            throw stop;
          })
          .then(() => expect.unreachable('the library must pass the error on'), expectStop);
        await library.insert(3);
      }
    });
    expect(await rows()).toEqual({ orders: [1, 3], billing: [1, 3] });
  });

  it('a nested one rolls back inside of one that commits: only the nested work is gone', async () => {
    await tm.run(async (tx) => {
      for (const library of both(tx)) {
        await library.transaction(async (outer) => {
          await outer.insert(1);
          await outer
            .transaction(async (inner) => {
              await inner.insert(2);
              throw stop;
            })
            .then(() => expect.unreachable('the library must pass the error on'), expectStop);
          await outer.transaction((inner) => inner.insert(3));
          await outer.insert(4);
        });
      }
    });
    expect(await rows()).toEqual({ orders: [1, 3, 4], billing: [1, 3, 4] });
  });

  it('a statement fails in a nested one, and that is caught: the rest commits', async () => {
    await tm.run(async (tx) => {
      for (const library of both(tx)) {
        await library.transaction(async (outer) => {
          await outer.insert(1);
          await outer
            .transaction(async (inner) => {
              await inner.insert(2);
              await inner.fail();
            })
            .then(
              () => expect.unreachable('division by zero'),
              () => undefined,
            );
          await outer.insert(3);
        });
      }
    });
    expect(await rows()).toEqual({ orders: [1, 3], billing: [1, 3] });
  });

  it('a statement fails outside of any, and that is caught: all is rolled back on both', async () => {
    await expect(
      tm.run(async (tx) => {
        const [orders, billing] = both(tx);
        await orders.transaction((inner) => inner.insert(1));
        await billing.insert(1);
        await billing.fail().then(
          () => expect.unreachable('division by zero'),
          () => undefined,
        );
      }),
    ).rejects.toMatchObject({
      code: 'PGXA_BRANCH_FAILED',
      participant: 'billing',
      cause: { code: '22012' },
    });
    expect(await rows()).toEqual({ orders: [], billing: [] });
  });

  it('a participant votes no after its transaction "committed": none committed', async () => {
    await expect(
      tm.run(async (tx) => {
        const [orders, billing] = both(tx);
        await orders.transaction((inner) => inner.insert(1));
        await billing.transaction((inner) => inner.insert(1));
        await tx.on('billing').query('insert into child values (1, 77)');
      }),
    ).rejects.toMatchObject({ code: 'PGXA_VOTE_NO', participant: 'billing' });
    expect(await rows()).toEqual({ orders: [], billing: [] });
  });

  it('used after the end: refused, and nothing is written', async () => {
    let late: Library | undefined;
    await tm.run(async (tx) => {
      [late] = both(tx);
      await late.insert(1);
    });
    const refusal = await late?.insert(2).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    const codes = [refusal, (refusal as Error | undefined)?.cause].map(
      (error) => (error as { code?: string } | undefined)?.code,
    );
    expect(codes).toContain('PGXA_TRANSACTION_ENDED');
    expect(await rows()).toEqual({ orders: [1], billing: [] });
  });
});

describe('Kysely, its controlled transactions', () => {
  it('savepoints inside of them, one rolled back to: only its work is gone', async () => {
    await tm.run(async (tx) => {
      for (const { name } of bank.participants) {
        const trx = await kyselyDb(tx.on(name)).startTransaction().execute();
        await trx.insertInto('parent').values({ id: 1 }).execute();
        const afterSavepoint = await trx.savepoint('a').execute();
        await afterSavepoint.insertInto('parent').values({ id: 2 }).execute();
        await afterSavepoint.rollbackToSavepoint('a').execute();
        await trx.insertInto('parent').values({ id: 3 }).execute();
        await trx.commit().execute();
      }
      expect(await rows()).toEqual({ orders: [], billing: [] });
    });
    expect(await rows()).toEqual({ orders: [1, 3], billing: [1, 3] });
  });

  it('an isolation level: taken if it is that of the transaction, else MisuseError', async () => {
    const asking = (isolationLevel?: 'serializable'): Promise<unknown> =>
      tm.run(isolationLevel === undefined ? {} : { isolationLevel }, (tx) =>
        kyselyDb(tx.on('orders'))
          .transaction()
          .setIsolationLevel('serializable')
          .execute(async (trx) => trx.insertInto('parent').values({ id: 1 }).execute()),
      );
    await expect(asking()).rejects.toMatchObject({ code: 'PGXA_TRANSACTION_CONTROL' });
    expect(await rows()).toEqual({ orders: [], billing: [] });
    await asking('serializable');
    expect(await rows()).toEqual({ orders: [1], billing: [] });
  });
});
