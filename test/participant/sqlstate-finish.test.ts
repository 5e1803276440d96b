/**
 * notes/postgres-2pc.md, section 2: what COMMIT PREPARED and ROLLBACK PREPARED answer on a real
 * server, and what src/participant/sqlstate.ts says of it. No answer but the right command tag is
 * an outcome.
 */
import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import {
  connectConfigurationHint,
  meaningOfFinishFailure,
} from '../../src/participant/sqlstate.ts';
import { sharedServer } from '../support/shared-server.ts';
import type { TestServer } from '../support/test-server.ts';
import { Session, type Answer } from './session.ts';

const VERBS = ['commit', 'rollback'] as const;

let server: TestServer;
let database: string;
let session: Session;
let gid: string;
beforeAll(async () => {
  server = await sharedServer();
  database = await server.createDatabase('finish');
  session = await Session.open(server.connectionString(database));
  await session.must('create table item (id text)', 'grant all on item to public');
});
afterAll(() => session.close());

/** Every test has one prepared branch, and ends with none. */
beforeEach(async () => {
  gid = `test ${randomBytes(8).toString('hex')}`;
  await prepare(session);
});
afterEach(async () => {
  const answer = await session.tell(`rollback prepared '${gid}'`);
  expect([undefined, '42704']).toContain(answer.sqlstate);
});

async function prepare(by: Session): Promise<void> {
  await by.must('begin', `insert into item values ('${gid}')`, `prepare transaction '${gid}'`);
}

async function isPrepared(): Promise<boolean> {
  const rows = await server.query(
    'postgres',
    'select 1 from pg_prepared_xacts where gid = $1 and database = $2',
    [gid, database],
  );
  return rows.length > 0;
}

async function isCommitted(): Promise<boolean> {
  return (await server.query(database, 'select 1 from item where id = $1', [gid])).length > 0;
}

function expectAnswer(answer: Answer, sqlstate: string, meaning: string): void {
  expect(answer).toMatchObject({ tag: undefined, sqlstate });
  expect(meaningOfFinishFailure(answer.error)).toBe(meaning);
}

describe.each(VERBS)('%s prepared', (verb) => {
  const finish = (): string => `${verb} prepared '${gid}'`;

  it('by its owner, in its database: done, with the right tag and no notice', async () => {
    expect(await session.tell(finish())).toMatchObject({ tag: verb.toUpperCase(), notices: [] });
    expect(await isPrepared()).toBe(false);
    expect(await isCommitted()).toBe(verb === 'commit');
  });

  it('of a name that never was: 42704, absent', async () => {
    expectAnswer(await session.tell(`${verb} prepared 'never ${gid}'`), '42704', 'absent');
    expect(await isPrepared()).toBe(true);
  });

  it('of a name of more than 200 bytes: 42704, absent', async () => {
    const name = 'x'.repeat(300);
    expectAnswer(await session.tell(`${verb} prepared '${name}'`), '42704', 'absent');
  });

  it.each(VERBS)('after it was finished by %s: the same 42704, absent', async (before) => {
    await session.must(`${before} prepared '${gid}'`);
    expectAnswer(await session.tell(finish()), '42704', 'absent');
    expect(await isCommitted()).toBe(before === 'commit');
  });

  it('of a transaction that is not prepared yet: 42704, absent, and then it is prepared', async () => {
    const later = await Session.open(server.connectionString(database));
    const name = `later ${gid}`;
    await later.must('begin', `insert into item values ('${name}')`);
    expectAnswer(await session.tell(`${verb} prepared '${name}'`), '42704', 'absent');
    expect(await later.tell(`prepare transaction '${name}'`)).toMatchObject({ tag: 'PREPARE' });
    await later.must(`rollback prepared '${name}'`);
    await later.close();
  });

  it('from another database of the server: 0A000, retry, unchanged', async () => {
    const elsewhere = await Session.open(server.connectionString());
    expectAnswer(await elsewhere.tell(finish()), '0A000', 'retry');
    await elsewhere.close();
    expect(await isPrepared()).toBe(true);
  });

  it('in a transaction block: 25001, retry, unchanged', async () => {
    await session.must('begin');
    expectAnswer(await session.tell(finish()), '25001', 'retry');
    await session.must('rollback');
    expect(await isPrepared()).toBe(true);
  });

  it.each([
    ['first', (text: string) => `${text}; select 1`],
    ['last', (text: string) => `select 1; ${text}`],
  ])('%s among several statements of one message: 25001, retry, unchanged', async (_, among) => {
    expectAnswer(await session.tell(among(finish())), '25001', 'retry');
    expect(await isPrepared()).toBe(true);
  });

  it('in a failed block: 25P02, retry, unchanged', async () => {
    await session.must('begin');
    expect((await session.tell('select 1/0')).sqlstate).toBe('22012');
    expectAnswer(await session.tell(finish()), '25P02', 'retry');
    await session.must('rollback');
    expect(await isPrepared()).toBe(true);
  });

  it('with the name as a bind parameter, or AND CHAIN: 42601, retry, unchanged', async () => {
    expectAnswer(await session.tell(`${verb} prepared $1`, [gid]), '42601', 'retry');
    expectAnswer(await session.tell(`${finish()} and chain`), '42601', 'retry');
    expect(await isPrepared()).toBe(true);
  });

  it('from PL/pgSQL: refused (0A000), retry, unchanged', async () => {
    const text = `do $do$ begin execute $$${finish()}$$; end $do$`;
    expectAnswer(await session.tell(text), '0A000', 'retry');
    expect(await isPrepared()).toBe(true);
  });

  it('with default_transaction_read_only: done all the same', async () => {
    await session.must('set default_transaction_read_only = on');
    try {
      expect((await session.tell(`insert into item values ('')`)).sqlstate).toBe('25006');
      expect(await session.tell(finish())).toMatchObject({ tag: verb.toUpperCase() });
      expect(await isCommitted()).toBe(verb === 'commit');
    } finally {
      await session.must('reset default_transaction_read_only');
    }
  });
});

describe('by another role', () => {
  let owner: string;
  let stranger: string;
  let member: string;
  let sessionOf: (role: string) => Promise<Session>;
  beforeAll(async () => {
    const suffix = randomBytes(6).toString('hex');
    [owner, stranger, member] = [`owner_${suffix}`, `stranger_${suffix}`, `member_${suffix}`];
    await session.must(
      `create role ${owner}`,
      `create role ${stranger}`,
      `create role ${member} in role ${owner}`,
    );
    sessionOf = async (role) => {
      const one = await Session.open(server.connectionString(database));
      await one.must(`set session authorization ${role}`);
      return one;
    };
  });
  afterAll(async () => {
    await session.must(`drop role ${owner}, ${stranger}, ${member}`);
  });
  beforeEach(async () => {
    await session.must(`rollback prepared '${gid}'`);
    const one = await sessionOf(owner);
    await prepare(one);
    await one.close();
  });

  it.each(VERBS)('a stranger, %s: 42501, denied, unchanged', async (verb) => {
    const one = await sessionOf(stranger);
    expectAnswer(await one.tell(`${verb} prepared '${gid}'`), '42501', 'denied');
    await one.close();
    expect(await isPrepared()).toBe(true);
  });

  it('a stranger in another database: 42501 too, the role is checked first', async () => {
    const elsewhere = await Session.open(server.connectionString());
    await elsewhere.must(`set session authorization ${stranger}`);
    expectAnswer(await elsewhere.tell(`commit prepared '${gid}'`), '42501', 'denied');
    await elsewhere.close();
    expect(await isPrepared()).toBe(true);
  });

  it('a member of the owner: 42501, denied; after SET ROLE: done', async () => {
    const one = await sessionOf(member);
    expectAnswer(await one.tell(`commit prepared '${gid}'`), '42501', 'denied');
    expect(await isPrepared()).toBe(true);
    await one.must(`set role ${owner}`);
    expect(await one.tell(`commit prepared '${gid}'`)).toMatchObject({ tag: 'COMMIT' });
    await one.close();
    expect(await isCommitted()).toBe(true);
  });

  it('a superuser: done', async () => {
    expect(await session.tell(`rollback prepared '${gid}'`)).toMatchObject({ tag: 'ROLLBACK' });
  });
});

describe('a database with a prepared transaction in it', () => {
  it('is not dropped (also by force), renamed or copied: 55006, and the branch stays', async () => {
    const refused: readonly ((name: string) => string)[] = [
      (name) => `drop database ${name}`,
      (name) => `drop database ${name} with (force)`,
      (name) => `alter database ${name} rename to ${name}_renamed`,
      (name) => `create database ${name}_copy template ${name}`,
    ];
    // In parallel, because the server waits 5 s for sessions that it hopes will end.
    await Promise.all(
      refused.map(async (sql, index) => {
        // A database without sessions, so that the branch is the only reason.
        const held = await server.createDatabase('held');
        const name = `held ${index} ${gid}`;
        const one = await Session.open(server.connectionString(held));
        await one.must('begin', `prepare transaction '${name}'`);
        await one.close();
        const admin = await Session.open(server.connectionString());
        const answer = await admin.tell(sql(held));
        await admin.close();
        expect(answer).toMatchObject({ tag: undefined, sqlstate: '55006' });
        expect((answer.error as { detail?: string }).detail).toContain('1 prepared transaction');
        const again = await Session.open(server.connectionString(held));
        expect(await again.tell(`commit prepared '${name}'`)).toMatchObject({ tag: 'COMMIT' });
        await again.close();
      }),
    );
  });
});

describe('the fate of a transaction id', () => {
  it('that this server never issued: 22023', async () => {
    const answer = await session.tell(
      `select pg_xact_status((pg_current_xact_id()::text::bigint + 1000000)::text::xid8)`,
    );
    expect(answer).toMatchObject({ tag: undefined, sqlstate: '22023' });
  });

  it('of a prepared branch: in progress, then as it was finished', async () => {
    const [row] = await server.query<{ xid: string }>(
      database,
      'select transaction::text as xid from pg_prepared_xacts where gid = $1',
      [gid],
    );
    const status = async (): Promise<unknown> =>
      (await session.tell(`select pg_xact_status('${row?.xid ?? ''}'::xid8) as status`)).rows[0]?.[
        'status'
      ];
    expect(await status()).toBe('in progress');
    await session.must(`commit prepared '${gid}'`);
    expect(await status()).toBe('committed');
  });
});

describe('connecting', () => {
  it('to a database that does not exist: 3D000, with a hint', async () => {
    const failure = await Session.open(server.connectionString('no such database')).catch(
      (error: unknown) => error,
    );
    expect(failure).toMatchObject({ code: '3D000' });
    expect(connectConfigurationHint(failure)).toContain('database');
  });
});
