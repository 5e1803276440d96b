/**
 * notes/postgres-2pc.md, section 2: what PREPARE TRANSACTION answers on a real server, and what
 * src/participant/sqlstate.ts says of it. The rows that need a server of their own are in
 * sqlstate-server.test.ts.
 */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { meaningOfPrepareFailure } from '../../src/participant/sqlstate.ts';
import { sharedServer } from '../support/shared-server.ts';
import type { TestServer } from '../support/test-server.ts';
import { waitFor } from '../support/wait.ts';
import { Session, type Answer } from './session.ts';

let server: TestServer;
let database: string;
let session: Session;
let other: Session;
beforeAll(async () => {
  server = await sharedServer();
  database = await server.createDatabase('prepare');
  session = await Session.open(server.connectionString(database));
  other = await Session.open(server.connectionString(database));
  await session.must(
    'create table item (id int)',
    'create table once (id int unique deferrable initially deferred)',
    'create table parent (id int primary key)',
    'create table child (parent_id int references parent deferrable initially deferred)',
    'create table pair (id int primary key, value int)',
    'insert into pair values (1, 0), (2, 0)',
    'create table loud (id int)',
    `create function tell() returns trigger language plpgsql as
       $$ begin notify heard; return null; end $$`,
    `create constraint trigger tell after insert on loud deferrable initially deferred
       for each row execute function tell()`,
    'create table indexed (id int)',
    'create table far (id int)',
    'create extension postgres_fdw',
    `do $do$ begin execute format('create server self foreign data wrapper postgres_fdw
       options (dbname %L, port %L)', current_database(), current_setting('port')); end $do$`,
  );
  await mapUserToItself();
});
afterAll(async () => {
  await Promise.all([session.close(), other.close()]);
});

/** The server connects to itself, on the address that it listens on. */
async function mapUserToItself(): Promise<void> {
  const { username, password } = new URL(server.connectionString(database));
  const secret = password === '' ? '' : `, password '${decodeURIComponent(password)}'`;
  await session.must(
    `alter server self options (host '127.0.0.1')`,
    `create user mapping for current_user server self options (user '${username}'${secret})`,
    `create foreign table far_away (id int) server self options (table_name 'far')`,
  );
}

function newGid(): string {
  return `test ${randomBytes(8).toString('hex')}`;
}

async function inDoubt(): Promise<unknown[]> {
  return server.query(
    database,
    'select gid from pg_prepared_xacts where database = current_database()',
  );
}

/** Nothing prepared, nothing visible, and the session is out of its block. */
async function expectRolledBack(): Promise<void> {
  expect(await inDoubt()).toEqual([]);
  expect((await session.tell('select 1 from item')).rows).toEqual([]);
  // BEGIN inside a block would answer with notice 25001.
  expect((await session.tell('begin')).notices).toEqual([]);
  await session.must('rollback');
}

describe('refused features: 0A000, a vote of no that no retry helps, with a hint', () => {
  it.each<[string, readonly string[]]>([
    ['LISTEN', ['listen heard']],
    ['NOTIFY', ['notify heard']],
    ['pg_notify', [`select pg_notify('heard', 'x')`]],
    ['a deferred trigger that notifies', ['insert into loud values (1)']],
    ['an open WITH HOLD cursor', ['declare held cursor with hold for select 1']],
    ['a temporary table', ['create temp table t (id int)']],
    [
      'a temporary table in a savepoint that was rolled back',
      ['savepoint a', 'create temp table t (id int)', 'rollback to a'],
    ],
    ['a read of a temporary table', ['select * from pg_temp.mine']],
    [
      'a temporary function',
      ['create function pg_temp.f() returns int language sql as $$ select 1 $$'],
    ],
    ['an exported snapshot', ['select pg_export_snapshot()']],
    ['a read of a foreign table', ['select * from far_away']],
    ['a write to a foreign table', ['insert into far_away values (1)']],
    ['a remapped catalog', ['reindex table pg_class']],
    [
      'session and transaction advisory lock on one key',
      ['select pg_advisory_lock(7)', 'select pg_advisory_xact_lock(7)'],
    ],
  ])('%s', async (_, statements) => {
    await session.must('create temp table if not exists mine (id int)');
    await session.must('begin', 'insert into item values (1)', ...statements);
    const answer = await session.tell(`prepare transaction '${newGid()}'`);
    expect(answer).toMatchObject({ tag: undefined, sqlstate: '0A000' });
    expect(meaningOfPrepareFailure(answer.error)).toEqual({
      vote: 'no',
      retryable: false,
      hint: expect.stringContaining('do that work outside') as string,
    });
    await session.must('select pg_advisory_unlock_all()');
    await expectRolledBack();
    expect((await session.tell('select 1 from far')).rows).toEqual([]);
  });

  it.each<[string, readonly string[]]>([
    ['a WITH HOLD cursor that was closed', ['declare c cursor with hold for select 1', 'close c']],
    ['a cursor without HOLD', ['declare c cursor for select 1']],
    ['UNLISTEN in a session that listens to nothing', ['unlisten *']],
    ['an open savepoint', ['savepoint a']],
    ['a session advisory lock', ['select pg_advisory_lock(8)']],
    ['a transaction advisory lock', ['select pg_advisory_xact_lock(9)']],
    ['nothing at all', []],
  ])('not refused: %s is prepared', async (_, statements) => {
    const gid = newGid();
    await session.must('begin', ...statements);
    expect(await session.tell(`prepare transaction '${gid}'`)).toMatchObject({
      tag: 'PREPARE',
      notices: [],
    });
    expect(await inDoubt()).toEqual([{ gid }]);
    await session.must(`rollback prepared '${gid}'`, 'select pg_advisory_unlock_all()');
  });
});

describe('the name', () => {
  it('in use in the same database: 42710, no', async () => {
    const gid = newGid();
    await other.must('begin', 'insert into item values (2)', `prepare transaction '${gid}'`);
    await session.must('begin', 'insert into item values (1)');
    expectNo(await session.tell(`prepare transaction '${gid}'`), '42710');
    await other.must(`rollback prepared '${gid}'`);
    await expectRolledBack();
  });

  it('in use in another database of the server: 42710, no', async () => {
    const gid = newGid();
    const elsewhere = await Session.open(
      server.connectionString(await server.createDatabase('elsewhere')),
    );
    await elsewhere.must('begin', `prepare transaction '${gid}'`);
    await session.must('begin', 'insert into item values (1)');
    expectNo(await session.tell(`prepare transaction '${gid}'`), '42710');
    await elsewhere.must(`rollback prepared '${gid}'`);
    await elsewhere.close();
    await expectRolledBack();
  });

  it.each([
    ['200 letters', 'x'.repeat(200)],
    ['100 letters of two bytes', '\u00e9'.repeat(100)],
  ])('%s: 22023, no', async (_, gid) => {
    await session.must('begin', 'insert into item values (1)');
    expectNo(await session.tell(`prepare transaction '${gid}'`), '22023');
    await expectRolledBack();
  });

  it.each([
    ['199 letters', 'x'.repeat(199)],
    ['99 letters of two bytes', '\u00e9'.repeat(99)],
  ])('%s: prepared', async (_, gid) => {
    await session.must('begin');
    expect(await session.tell(`prepare transaction '${gid}'`)).toMatchObject({ tag: 'PREPARE' });
    expect(await inDoubt()).toEqual([{ gid }]);
    await session.must(`rollback prepared '${gid}'`);
  });

  it('as a bind parameter, or AND CHAIN: 42601, and the block is aborted', async () => {
    for (const [text, values] of [
      ['prepare transaction $1', ['a']],
      [`prepare transaction 'a' and chain`, undefined],
    ] as const) {
      await session.must('begin', 'insert into item values (1)');
      expectNo(await session.tell(text, values), '42601');
      expect((await session.tell('select 1')).sqlstate).toBe('25P02');
      await session.must('rollback');
      await expectRolledBack();
    }
  });
});

describe('no error, and still not a yes: the command tag tells', () => {
  it('in a failed block: tag ROLLBACK, no error', async () => {
    await session.must('begin', 'insert into item values (1)');
    expect((await session.tell('select 1/0')).sqlstate).toBe('22012');
    const answer = await session.tell(`prepare transaction '${newGid()}'`);
    expect(answer).toMatchObject({ tag: 'ROLLBACK', sqlstate: undefined, notices: [] });
    await expectRolledBack();
  });

  it('in a failed savepoint: tag ROLLBACK, no error', async () => {
    await session.must('begin', 'insert into item values (1)', 'savepoint a');
    expect((await session.tell('select 1/0')).sqlstate).toBe('22012');
    const answer = await session.tell(`prepare transaction '${newGid()}'`);
    expect(answer).toMatchObject({ tag: 'ROLLBACK', sqlstate: undefined, notices: [] });
    await expectRolledBack();
  });

  it('outside of any block: tag ROLLBACK and notice 25P01', async () => {
    const answer = await session.tell(`prepare transaction '${newGid()}'`);
    expect(answer).toMatchObject({ tag: 'ROLLBACK', sqlstate: undefined });
    expect(answer.notices).toMatchObject([{ code: '25P01', severity: 'WARNING' }]);
    await expectRolledBack();
  });

  it('from PL/pgSQL: 0A000, no', async () => {
    await session.must('begin');
    expectNo(
      await session.tell(`do $$ begin execute 'prepare transaction ''a'''; end $$`),
      '0A000',
    );
    await session.must('rollback');
    await expectRolledBack();
  });
});

describe('work that PREPARE does', () => {
  it('deferred unique constraint: 23505, no', async () => {
    await session.must('begin', 'insert into once values (1), (1)');
    expectNo(await session.tell(`prepare transaction '${newGid()}'`), '23505');
    await expectRolledBack();
  });

  it('deferred foreign key: 23503, no', async () => {
    await session.must('begin', 'insert into child values (77)');
    expectNo(await session.tell(`prepare transaction '${newGid()}'`), '23503');
    await expectRolledBack();
  });

  it('serializable pivot: 40001 at PREPARE itself, no, and running again helps', async () => {
    for (const one of [session, other]) {
      await one.must('begin isolation level serializable', 'select sum(value) from pair');
    }
    await other.must('update pair set value = 1 where id = 1');
    await session.must('update pair set value = 1 where id = 2');
    await other.must('commit');
    expectNo(await session.tell(`prepare transaction '${newGid()}'`), '40001', true);
    await expectRolledBack();
  });

  /** Another session has inserted the same key and is still open: PREPARE waits for it. */
  async function prepareThatWaits(): Promise<Answer> {
    await other.must('begin', 'insert into once values (5)');
    await session.must('insert into once values (5)');
    return session.tell(`prepare transaction '${newGid()}'`);
  }

  it('lock wait with lock_timeout: 55P03, no, retryable; statement_timeout does not count', async () => {
    await session.must(
      'begin',
      `set local statement_timeout = '20ms'`,
      `set local lock_timeout = '200ms'`,
    );
    expectNo(await prepareThatWaits(), '55P03', true);
    await other.must('rollback');
    await expectRolledBack();
  });

  it('cancelled while it waits: 57014, no', async () => {
    await session.must('begin');
    const waiting = prepareThatWaits();
    await waitFor('PREPARE to wait for the lock', async () => {
      const rows = await server.query(
        database,
        `select pg_cancel_backend(pid) from pg_stat_activity
          where pid = $1 and wait_event_type = 'Lock' and query like 'prepare transaction%'`,
        [session.pid],
      );
      return rows.length > 0;
    });
    expectNo(await waiting, '57014');
    await other.must('rollback');
    await expectRolledBack();
  });
});

function expectNo(answer: Answer, sqlstate: string, retryable = false): void {
  expect(answer).toMatchObject({ tag: undefined, sqlstate });
  expect(meaningOfPrepareFailure(answer.error)).toMatchObject({ vote: 'no', retryable });
}
