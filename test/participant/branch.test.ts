/** How branches vote: what is a yes, what is refused, and what is never prepared at all. */
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { subscribe, type TransactionManager } from '../../src/index.ts';
import type { FaultPoint } from '../../src/coordinator/protocol-context.ts';
import { createBank, type Bank } from '../support/bank.ts';
import { startControlledServer } from '../support/servers.ts';
import { sharedServer } from '../support/shared-server.ts';
import { waitFor } from '../support/wait.ts';

let bank: Bank;
let tm: TransactionManager;
/** Called at every fault point of the protocol. */
let atFaultPoint: (point: FaultPoint) => void | Promise<void> = () => undefined;
let votes: Record<string, string> = {};
const unsubscribe = subscribe('branch:voted', ({ participant, vote }) => {
  votes[participant] = vote;
});

beforeAll(async () => {
  bank = await createBank({ participants: ['orders', 'billing', 'audit'] });
  tm = await bank.manager({}, { faultHook: (point) => atFaultPoint(point) });
  const { connectionString } = bank.participant('billing');
  const client = new pg.Client({ connectionString });
  await client.connect();
  const { username, password } = new URL(connectionString);
  const secret = password === '' ? '' : `, password '${decodeURIComponent(password)}'`;
  await client.query(`
    create extension postgres_fdw;
    do $do$ begin execute format('create server self foreign data wrapper postgres_fdw
      options (host ''127.0.0.1'', dbname %L, port %L)',
      current_database(), current_setting('port')); end $do$;
    create user mapping for current_user server self options (user '${username}'${secret});
    create table far (id int);
    create foreign table far_away (id int) server self options (table_name 'far');
    create table loud (id int);
    create function tell() returns trigger language plpgsql as
      $$ begin notify heard; return null; end $$;
    create constraint trigger tell after insert on loud deferrable initially deferred
      for each row execute function tell()`);
  await client.end();
});
afterEach(() => {
  atFaultPoint = () => undefined;
  votes = {};
});
afterAll(async () => {
  unsubscribe();
  await bank.close();
});

/** How many of the participants have the marker of the transaction. */
async function markers(id: string, of: Bank = bank): Promise<string[]> {
  const found = await Promise.all(
    of.participants.map(async (one) => {
      const rows = await one.query('select 1 from marker where transaction_id = $1', [id]);
      return rows.length > 0 ? [one.name] : [];
    }),
  );
  return found.flat();
}

const MARK = 'insert into marker values ($1)';

describe('two writers, one of which did what PREPARE refuses', () => {
  it.each<[string, readonly string[]]>([
    ['a temporary table', ['create temp table t (id int)']],
    ['a temporary table in pg_temp', ['create table pg_temp.t (id int)']],
    ['NOTIFY', ['notify heard']],
    ['pg_notify', [`select pg_notify('heard', '')`]],
    ['NOTIFY in a deferred trigger', ['insert into loud values (1)']],
    ['LISTEN', ['listen heard']],
    ['a WITH HOLD cursor', ['declare held cursor with hold for select 1']],
    ['an exported snapshot', ['select pg_export_snapshot()']],
    ['a read of a foreign table', ['select * from far_away']],
    ['a write to a foreign table', ['insert into far_away values (1)']],
  ])(
    '%s: vote no (0A000, with a hint), all rolled back, nothing left prepared',
    async (_, sqls) => {
      let id = '';
      const failure: unknown = await tm
        .run(async (tx) => {
          id = tx.id;
          await tx.on('orders').query(MARK, [tx.id]);
          await tx.on('billing').query(MARK, [tx.id]);
          for (const sql of sqls) await tx.on('billing').query(sql);
        })
        .catch((thrown: unknown) => thrown);
      expect(failure).toMatchObject({
        name: 'RolledBackError',
        code: 'PGXA_VOTE_NO',
        participant: 'billing',
        retryable: false,
        message: expect.stringContaining('do that work outside of this transaction') as string,
        cause: { code: '0A000' },
      });
      expect(votes).toEqual({ orders: 'yes', billing: 'no' });
      expect(await bank.inDoubt()).toEqual([]);
      expect(await markers(id)).toEqual([]);
      expect(await bank.participant('billing').query('select 1 from far')).toEqual([]);
      expect(await tm.outcomeOf(id)).toBe('aborted');
    },
  );

  const isFree = async (lock: number): Promise<boolean> => {
    const text = 'select pg_try_advisory_xact_lock($1) as free';
    const rows = await bank.participant('billing').query(text, [lock]);
    return rows[0]?.['free'] === true;
  };

  // PREPARE alone refuses both on one key: the session's is given back before it.
  it('session and transaction advisory lock on one key: committed, and held by nobody afterwards', async () => {
    await tm.run(async (tx) => {
      await tx.on('orders').query(MARK, [tx.id]);
      await tx.on('billing').query(MARK, [tx.id]);
      await tx.on('billing').query('select pg_advisory_lock(7), pg_advisory_xact_lock(7)');
    });
    expect(votes).toEqual({ orders: 'yes', billing: 'yes' });
    await waitFor('the lock to be free', () => isFree(7));
  });

  it('an advisory lock of a branch that voted no is held by nobody afterwards', async () => {
    await tm
      .run(async (tx) => {
        await tx.on('orders').query(MARK, [tx.id]);
        await tx.on('billing').query(MARK, [tx.id]);
        await tx.on('billing').query('select pg_advisory_lock(11)');
        await tx.on('billing').query('listen heard');
      })
      .catch(() => undefined);
    expect(votes).toEqual({ orders: 'yes', billing: 'no' });
    await waitFor('the lock to be free', () => isFree(11));
  });

  it('a statement failed, and the function went on: rolled back because of that statement', async () => {
    let id = '';
    await expect(
      tm.run(async (tx) => {
        id = tx.id;
        await tx.on('orders').query(MARK, [tx.id]);
        await tx.on('billing').query(MARK, [tx.id]);
        await expect(tx.on('billing').query('select 1/0')).rejects.toMatchObject({ code: '22012' });
      }),
    ).rejects.toMatchObject({
      code: 'PGXA_BRANCH_FAILED',
      participant: 'billing',
      cause: { code: '22012' },
    });
    expect(await bank.inDoubt()).toEqual([]);
    expect(await markers(id)).toEqual([]);
  });
});

describe('a branch without a transaction id beside two writers', () => {
  /** Listens on `audit` and returns what has come by the time that a message of its own comes. */
  async function hearing(work: () => Promise<unknown>): Promise<string[]> {
    const { connectionString } = bank.participant('audit');
    const listener = new pg.Client({ connectionString });
    await listener.connect();
    const heard: string[] = [];
    listener.on('notification', ({ payload }) => heard.push(payload ?? ''));
    await listener.query('listen heard');
    await work();
    // Notifications come in the order of commits: what came before this one has arrived by then.
    await bank.participant('audit').query(`select pg_notify('heard', 'last')`);
    await waitFor('the last notification', () => heard.includes('last'));
    await listener.end();
    return heard;
  }

  it.each([
    ['NOTIFY', `notify heard, 'early'`],
    ['pg_notify', `select pg_notify('heard', 'early')`],
    ['pg_notify in a CTE', `with a as (select pg_notify('heard', 'early')) select * from a`],
  ])('%s only: refused, and nothing was published', async (_, sql) => {
    let id = '';
    const heard = await hearing(async () => {
      await expect(
        tm.run(async (tx) => {
          id = tx.id;
          await tx.on('orders').query(MARK, [tx.id]);
          await tx.on('billing').query(MARK, [tx.id]);
          await tx.on('audit').query(sql);
        }),
      ).rejects.toMatchObject({
        code: 'PGXA_VOTE_NO',
        participant: 'audit',
        cause: { code: '0A000' },
      });
    });
    expect(heard).toEqual(['last']);
    expect(votes).toEqual({ orders: 'yes', billing: 'yes', audit: 'no' });
    expect(await markers(id)).toEqual([]);
    expect(await bank.inDoubt()).toEqual([]);
  });

  it('NOTIFY as the only work of the transaction: published by its COMMIT, not by a rollback', async () => {
    const heard = await hearing(async () => {
      await tm
        .run(async (tx) => {
          await tx.on('audit').query(`notify heard, 'rolled back'`);
          throw new Error('no');
        })
        .catch(() => undefined);
      await tm.run((tx) => tx.on('audit').query(`notify heard, 'committed'`));
    });
    expect(heard).toEqual(['committed', 'last']);
  });

  it.each([
    ['an INSERT', 'insert into far_away values (5)'],
    [
      'an INSERT in a CTE',
      'with a as (insert into far_away values (5) returning id) select * from a',
    ],
    ['an INSERT in EXPLAIN ANALYZE', 'explain analyze insert into far_away values (5)'],
    ['an INSERT in a DO block', 'do $$ begin insert into far_away values (5); end $$'],
  ])('%s into a foreign table only: refused, and the row is not there', async (_, sql) => {
    await expect(
      tm.run(async (tx) => {
        await tx.on('orders').query(MARK, [tx.id]);
        await tx.on('audit').query(MARK, [tx.id]);
        await tx.on('billing').query(sql);
      }),
    ).rejects.toMatchObject({
      code: 'PGXA_VOTE_NO',
      participant: 'billing',
      cause: { code: '0A000' },
    });
    expect(await bank.participant('billing').query('select 1 from far')).toEqual([]);
    expect(await bank.inDoubt()).toEqual([]);
  });

  it('reads only: its vote is read-only, and it is not prepared while the others are', async () => {
    let id = '';
    let prepared: string[] = [];
    atFaultPoint = async (point) => {
      if (point !== 'before-decide') return;
      prepared = (await bank.inDoubt()).map(({ participant }) => participant);
    };
    await tm.run(async (tx) => {
      id = tx.id;
      await tx.on('orders').query(MARK, [tx.id]);
      await tx.on('billing').query(MARK, [tx.id]);
      await tx.on('audit').query('select sum(balance) from account');
      await tx.on('audit').query('update account set balance = 0 where false');
    });
    expect(votes).toEqual({ orders: 'yes', billing: 'yes', audit: 'read-only' });
    expect(prepared).toEqual(['orders', 'billing']);
    expect(await markers(id)).toEqual(['orders', 'billing']);
  });

  it.each([
    ['locked a row', 'select * from account where id = 1 for update'],
    ['took a transaction id', 'select pg_current_xact_id()'],
  ])('%s: it has an id then, and is prepared', async (_, sql) => {
    await tm.run(async (tx) => {
      await tx.on('orders').query(MARK, [tx.id]);
      await tx.on('audit').query(sql);
    });
    expect(votes).toEqual({ orders: 'yes', audit: 'yes' });
  });
});

describe('a synchronous standby that does not confirm the vote', () => {
  it.each([
    ['cancelled', 'pg_cancel_backend', 'PGXA_VOTE_UNKNOWN'],
    ['terminated', 'pg_terminate_backend', 'PGXA_VOTE_UNKNOWN'],
  ])(
    'PREPARE waits and is %s: not a yes, rolled back everywhere, nothing left',
    async (_, end, code) => {
      const server = await startControlledServer({
        settings: { synchronous_standby_names: 'nobody', synchronous_commit: 'local' },
      });
      const strict = await createBank({ servers: [server, await sharedServer()] });
      try {
        const manager = await strict.manager();
        let id = '';
        const running = manager.run(async (tx) => {
          id = tx.id;
          await tx.on('orders').query(MARK, [tx.id]);
          await tx.on('orders').query('set local synchronous_commit = on');
          await tx.on('billing').query(MARK, [tx.id]);
        });
        const rejected = expect(running).rejects.toMatchObject({
          name: 'RolledBackError',
          code,
          participant: 'orders',
          retryable: true,
        });
        await waitFor('PREPARE to wait for the standby', async () => {
          const rows = await server.query(
            'postgres',
            `select ${end}(pid) from pg_stat_activity
            where wait_event = 'SyncRep' and query like '%prepare transaction %'`,
          );
          return rows.length > 0;
        });
        await rejected;
        expect(votes).toEqual({ orders: 'unknown', billing: 'yes' });
        expect(await strict.inDoubt()).toEqual([]);
        expect(await markers(id, strict)).toEqual([]);
        expect(await manager.outcomeOf(id)).toBe('aborted');
      } finally {
        await strict.close();
        await server.destroy();
      }
    },
  );
});
