import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { TransactionScope } from '../../src/index.ts';
import { createBank, type Bank } from '../support/bank.ts';
import { waitFor } from '../support/wait.ts';

/**
 * A function that a branch calls sends NOTIFY; the branch has no transaction id, and its statements do not
 * show it. Expected: the notification is published if the transaction commits, and not otherwise.
 */
describe('NOTIFY inside of a function that a reader calls', () => {
  let bank: Bank;
  let listener: pg.Client;
  let heard: string[];

  beforeEach(async () => {
    heard = [];
    bank = await createBank({ participants: ['stock', 'orders', 'billing'] });
    const stock = bank.participant('stock');
    await stock.query(`
      create function tell(text) returns void language plpgsql as
        $$ begin perform pg_notify('regression', $1); end $$`);
    listener = new pg.Client({ connectionString: stock.connectionString });
    await listener.connect();
    listener.on('notification', ({ payload }) => heard.push(payload ?? ''));
    await listener.query('listen regression');
  });
  afterEach(async () => {
    await listener.end();
    await bank.close();
  });

  /** Notifications come in the order of their commits: what came before this one is all there is. */
  async function heardUntilNow(): Promise<string[]> {
    await bank.participant('stock').query(`select pg_notify('regression', 'end')`);
    await waitFor('the last notification', () => heard.includes('end'));
    return heard.slice(0, heard.indexOf('end'));
  }
  const work = async (tx: TransactionScope, writers: readonly string[]): Promise<void> => {
    await tx.on('stock').query('select tell($1)', [tx.id]);
    for (const name of writers) {
      await tx.on(name).query('insert into marker values ($1)', [tx.id]);
    }
  };

  const cases = [
    ['one writer', ['billing']],
    ['two writers', ['orders', 'billing']],
  ] as const;

  it.each(cases)('%s, committed: published', async (_, writers) => {
    const tm = await bank.manager();
    let id = '';
    await tm.run(async (tx) => {
      ({ id } = tx);
      await work(tx, writers);
    });
    expect(await heardUntilNow()).toEqual([id]);
  });

  it.each(cases)('%s, billing votes no: not published', async (_, writers) => {
    const tm = await bank.manager();
    await expect(
      tm.run(async (tx) => {
        await work(tx, writers);
        await tx.on('billing').query('insert into child values (1, 4711)');
      }),
    ).rejects.toMatchObject({ code: 'PGXA_VOTE_NO', participant: 'billing' });
    expect(await heardUntilNow()).toEqual([]);
  });

  it('no writer at all: published', async () => {
    const tm = await bank.manager();
    let id = '';
    await tm.run(async (tx) => {
      ({ id } = tx);
      await work(tx, []);
    });
    expect(await heardUntilNow()).toEqual([id]);
  });
});
