/** What a session of a pool of our own is given once, and what becomes of it. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { TransactionManager, TransactionScope } from '../../src/index.ts';
import { createBank, type Bank } from '../support/bank.ts';

const MARK = 'insert into marker values ($1)';

describe('a pool of our own, whose sessions are set up once', () => {
  const settings = ['lock_timeout', 'statement_timeout', 'idle_in_transaction_session_timeout'];
  const LIMITS = `select ${settings.map((name) => `current_setting('${name}') as ${name}`).join(', ')},
    (select array_agg(name order by name) from pg_prepared_statements where name like 'pgxa%') as prepared`;
  let bank: Bank;
  let tm: TransactionManager;
  beforeEach(async () => {
    bank = await createBank();
  });
  const open = async (more: object): Promise<void> => {
    const own = (name: string): object => ({
      connectionString: bank.participant(name).connectionString,
      max: 1,
      ...more,
    });
    tm = await bank.manager({
      timeoutMs: 20_000,
      participants: { orders: own('orders'), billing: own('billing') },
    });
  };
  afterEach(async () => {
    await tm.close();
    await bank.close();
  });
  const limits = (timeoutMs?: number): Promise<unknown> =>
    tm.run({ ...(timeoutMs !== undefined && { timeoutMs }) }, async (tx) => {
      const { rows } = await tx.on('orders').query(LIMITS);
      return rows[0];
    });

  it('has the limits of the manager; a shorter deadline brings its own, for its transaction alone', async () => {
    await open({ lockTimeoutMs: 3_000 });
    const usual = {
      lock_timeout: '3s',
      statement_timeout: '20s',
      idle_in_transaction_session_timeout: '30s',
      prepared: ['pgxa_before_prepare', 'pgxa_probe', 'pgxa_unlock'],
    };
    expect(await limits()).toEqual(usual);
    const short = (await limits(1_000)) as Record<string, string>;
    for (const name of ['lock_timeout', 'statement_timeout']) {
      expect(short[name]).toMatch(/^(1s|\d+ms)$/);
    }
    expect(await limits()).toEqual(usual);
  });

  it('a longer deadline than the manager gives brings its own, too', async () => {
    await open({ lockTimeoutMs: 30_000 });
    const long = (await limits(90_000)) as Record<string, string>;
    expect(long['lock_timeout']).toBe('30s');
    for (const name of ['statement_timeout', 'idle_in_transaction_session_timeout']) {
      expect(long[name]).toMatch(
        /^(90s|1min 30s|[89]\d{4}ms|1[0-9]{2}s|[89]\ds|100s|99\d{3}ms|100000ms)$/,
      );
    }
    expect(await limits()).toMatchObject({ lock_timeout: '20s', statement_timeout: '20s' });
  });

  it.each([
    'reset all',
    `select set_config('statement_timeout', '0', false), set_config('lock_timeout', '0', false)`,
  ])('limits that a function takes away unseen (%s) are there again for the next', async (what) => {
    await open({ lockTimeoutMs: 3_000 });
    await bank.participant('orders').query(`
      create or replace function take_away() returns void language plpgsql as $f$
      begin execute $q$${what}$q$; end $f$`);
    await tm.run((tx) => tx.on('orders').query('select take_away()'));
    expect(await limits()).toMatchObject({ lock_timeout: '3s', statement_timeout: '20s' });
  });

  it('a session that has a pgxa_probe of somebody else: left alone, and all commit', async () => {
    const orders = bank.participant('orders');
    const [row] = await orders.query(
      `select current_setting('server_version_num')::int as version`,
    );
    // Login triggers came with 17; nothing else leaves a statement in a session of ours.
    if (Number(row?.['version']) < 170_000) return;
    await orders.query(`
      create function at_login() returns event_trigger language plpgsql as $$
      begin execute 'prepare pgxa_probe as select 1'; end $$`);
    await orders.query('create event trigger at_login on login execute function at_login()');
    await open({});
    for (let round = 0; round < 3; round += 1) {
      await tm.run(async (tx) => {
        for (const name of ['orders', 'billing']) await tx.on(name).query(MARK, [tx.id]);
      });
    }
    expect(await orders.query('select count(*)::int as count from marker')).toEqual([{ count: 3 }]);
  });

  it.each(['first', 'later'])(
    'its prepared statements are deallocated (%s): both branches commit, the next transaction too',
    async (when) => {
      await open({});
      for (let round = 0; round < 2; round += 1) {
        await tm.run(async (tx) => {
          if (when === 'later') await tx.on('orders').query('select 1');
          await tx.on('orders').query('deallocate all');
          for (const name of ['orders', 'billing']) await tx.on(name).query(MARK, [tx.id]);
        });
      }
      const marks = await bank
        .participant('orders')
        .query('select count(*)::int as count from marker');
      expect(marks).toEqual([{ count: 2 }]);
    },
  );

  it('a function deallocates them in every transaction, over four sessions: running again helps, and all commit', async () => {
    await open({ max: 4 });
    await bank.participant('orders').query(`
      create or replace function forget_all() returns void language plpgsql as $$
      begin execute 'deallocate all'; end $$`);
    const both = (tx: TransactionScope, sql: string, values: unknown[] = []): Promise<unknown> =>
      Promise.all(['orders', 'billing'].map((name) => tx.on(name).query(sql, values)));
    await Promise.all(
      Array.from({ length: 4 }, () => tm.run((tx) => both(tx, 'select pg_sleep(0.2)'))),
    );
    for (let round = 0; round < 8; round += 1) {
      await tm.run({ retry: { attempts: 2 } }, async (tx) => {
        await both(tx, MARK, [tx.id]);
        await tx.on('orders').query('select forget_all()');
      });
    }
    expect(
      await bank.participant('orders').query('select count(*)::int as count from marker'),
    ).toEqual([{ count: 8 }]);
  });

  it('something else deallocates them unseen: at most that transaction fails, and is not half done', async () => {
    await open({});
    await bank.participant('orders').query(`
      create or replace function forget_all() returns void language plpgsql as $$
      begin execute 'deallocate all'; end $$`);
    const ends = [];
    for (let round = 0; round < 3; round += 1) {
      ends.push(
        await tm
          .run(async (tx) => {
            for (const name of ['orders', 'billing']) await tx.on(name).query(MARK, [tx.id]);
            if (round === 0) await tx.on('orders').query('select forget_all()');
          })
          .then(
            () => 'committed',
            (error: unknown) => (error as Error).name,
          ),
      );
    }
    expect(ends.slice(1)).toEqual(['committed', 'committed']);
    const counts = await Promise.all(
      ['orders', 'billing'].map((name) =>
        bank.participant(name).query('select count(*)::int from marker'),
      ),
    );
    expect(counts[0]).toEqual(counts[1]);
    expect(await bank.inDoubt()).toEqual([]);
  });
});
