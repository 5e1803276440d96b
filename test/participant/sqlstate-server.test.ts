/**
 * notes/postgres-2pc.md, section 2: the rows that take a server with settings or standbys of its own, and what src/participant/sqlstate.ts says of what that server answers.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { meaningOfFinishFailure, meaningOfPrepareFailure } from '../../src/participant/sqlstate.ts';
import { startControlledServer } from '../support/servers.ts';
import type { TestServer } from '../support/test-server.ts';
import { waitFor } from '../support/wait.ts';
import { Session } from './session.ts';

/** Shows the SQLSTATE of what the server says in its log. */
const LOG_LINES = { log_line_prefix: '%m [%p] sqlstate=%e ' };

async function gids(server: TestServer): Promise<unknown[]> {
  const rows = await server.query('postgres', 'select gid from pg_prepared_xacts order by gid');
  return rows.map((row) => row['gid']);
}

describe('slots for prepared transactions', () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startControlledServer({
      settings: { ...LOG_LINES, max_prepared_transactions: '0' },
    });
    await server.query('postgres', 'create table item (id int)');
  });
  afterAll(() => server.destroy());

  it('none: PREPARE answers 55000 (no, with a hint), COMMIT PREPARED 42704 (absent)', async () => {
    const session = await Session.open(server.connectionString());
    await session.must('begin', 'insert into item values (1)');
    const answer = await session.tell(`prepare transaction 'a'`);
    expect(answer).toMatchObject({ tag: undefined, sqlstate: '55000' });
    expect(meaningOfPrepareFailure(answer.error)).toEqual({
      vote: 'no',
      retryable: false,
      hint: expect.stringContaining('max_prepared_transactions') as string,
    });
    expect((await session.tell('select 1 from item')).rows).toEqual([]);
    const finish = await session.tell(`commit prepared 'a'`);
    expect(finish.sqlstate).toBe('42704');
    expect(meaningOfFinishFailure(finish.error)).toBe('absent');
    await session.close();
  });

  it('all taken: 53200, no, retryable, with a hint; free again: prepared', async () => {
    await server.reconfigure({ max_prepared_transactions: '1' });
    const [one, two] = await Promise.all([
      Session.open(server.connectionString()),
      Session.open(server.connectionString()),
    ]);
    await one.must('begin', 'insert into item values (1)', `prepare transaction 'a'`);
    await two.must('begin', 'insert into item values (2)');
    const answer = await two.tell(`prepare transaction 'b'`);
    expect(answer).toMatchObject({ tag: undefined, sqlstate: '53200' });
    expect(meaningOfPrepareFailure(answer.error)).toEqual({
      vote: 'no',
      retryable: true,
      hint: expect.stringContaining('slots are taken') as string,
    });
    await one.must(`rollback prepared 'a'`);
    await two.must('begin', 'insert into item values (2)');
    expect(await two.tell(`prepare transaction 'b'`)).toMatchObject({ tag: 'PREPARE' });
    await two.must(`rollback prepared 'b'`);
    expect((await two.tell('select 1 from item')).rows).toEqual([]);
    await Promise.all([one.close(), two.close()]);
  });

  it('fewer than there are branches: the server does not start (53200); enough again: all are there', async () => {
    await server.reconfigure({ max_prepared_transactions: '2' });
    const session = await Session.open(server.connectionString());
    for (const gid of ['a', 'b']) await session.must('begin', `prepare transaction '${gid}'`);
    await session.close();
    await expect(server.reconfigure({ max_prepared_transactions: '1' })).rejects.toThrow(
      /sqlstate=53200 .*FATAL/,
    );
    // Not running, so the restart fails; the settings of the next start are these all the same.
    await server.reconfigure({ max_prepared_transactions: '2' }).catch(() => undefined);
    await server.start();
    expect(await gids(server)).toEqual(['a', 'b']);
    expect(await server.rollbackAllPrepared()).toBe(2);
  });
});

describe('a standby', () => {
  let primary: TestServer;
  let standby: TestServer;
  beforeAll(async () => {
    primary = await startControlledServer({ settings: LOG_LINES });
    standby = await primary.createStandby();
  });
  afterAll(async () => {
    await standby.destroy();
    await primary.destroy();
  });

  it('lists no branch of its primary; PREPARE and its kin answer 25006: wrong node, unchanged', async () => {
    await primary.query('postgres', 'create table item (id int)');
    const session = await Session.open(primary.connectionString());
    await session.must('begin', 'insert into item values (1)', `prepare transaction 'a'`);
    await session.must('create table after_prepare (id int)');
    await session.close();
    await waitFor('what came after PREPARE to be replayed', () =>
      standby.query('postgres', 'select 1 from after_prepare').then(() => true),
    );
    expect(await gids(standby)).toEqual([]);
    const reader = await Session.open(standby.connectionString());
    for (const verb of ['commit', 'rollback']) {
      const answer = await reader.tell(`${verb} prepared 'a'`);
      expect(answer.sqlstate).toBe('25006');
      expect(meaningOfFinishFailure(answer.error)).toBe('retry');
    }
    await reader.must('begin', 'select 1 from item');
    const answer = await reader.tell(`prepare transaction 'b'`);
    expect(answer.sqlstate).toBe('25006');
    expect(meaningOfPrepareFailure(answer.error)).toEqual({
      vote: 'no',
      retryable: true,
      hint: expect.stringContaining('primary') as string,
    });
    await reader.close();
    expect(await gids(primary)).toEqual(['a']);
    expect(await primary.rollbackAllPrepared()).toBe(1);
  });

  it('with fewer slots than its primary: it does not start (22023)', async () => {
    const settings = { max_prepared_transactions: '1' };
    await expect(primary.createStandby({ settings })).rejects.toThrow(/sqlstate=22023 .*FATAL/);
    expect(await gids(primary)).toEqual([]);
  });
});

describe('a synchronous standby that never confirms', () => {
  let server: TestServer;
  let session: Session;
  beforeAll(async () => {
    // Nobody is called that. Sessions wait for it only where they ask for synchronous_commit.
    server = await startControlledServer({
      settings: { synchronous_standby_names: 'nobody', synchronous_commit: 'local' },
    });
    await server.query('postgres', 'create table item (id text)');
  });
  afterAll(() => server.destroy());

  async function openSession(): Promise<void> {
    session = await Session.open(server.connectionString());
    await session.must('set synchronous_commit = on');
  }

  /** Does it to the backend of the session once that waits for the standby. */
  async function whileItWaits(action: string): Promise<void> {
    await waitFor('the session to wait for the standby', async () => {
      const rows = await server.query(
        'postgres',
        `select ${action} from pg_stat_activity where pid = $1 and wait_event = 'SyncRep'`,
        [session.pid],
      );
      return rows.length > 0;
    });
  }

  const COMMANDS = [
    ['PREPARE', `prepare transaction 'a'`, ['a']],
    ['COMMIT', `commit prepared 'a'`, []],
    ['ROLLBACK', `rollback prepared 'a'`, []],
    ['COMMIT', 'commit', []],
  ] as const;

  async function makeReadyFor(text: string): Promise<void> {
    await openSession();
    await session.must('begin', `insert into item values ('x')`);
    if (!text.endsWith(`prepared 'a'`)) return;
    await session.must('set local synchronous_commit = local', `prepare transaction 'a'`);
  }

  it.each(COMMANDS)(
    '%s (%s), wait cancelled: right tag, notice 01000, done here',
    async (tag, text, after) => {
      await makeReadyFor(text);
      const telling = session.tell(text);
      await whileItWaits('pg_cancel_backend(pid)');
      const answer = await telling;
      expect(answer).toMatchObject({ tag, sqlstate: undefined });
      expect(answer.notices).toMatchObject([{ code: '01000', severity: 'WARNING' }]);
      expect(await gids(server)).toEqual(after);
      await session.close();
      await server.rollbackAllPrepared();
    },
  );

  it.each(COMMANDS)(
    '%s (%s), session terminated: notice 57P01, then the connection drops, done here',
    async (_, text, after) => {
      await makeReadyFor(text);
      const telling = session.tell(text);
      await whileItWaits('pg_terminate_backend(pid)');
      const answer = await telling;
      const codes = answer.notices.map(({ code, severity }) => `${severity} ${code}`);
      expect(codes).toContain('WARNING 57P01');
      await waitFor('the connection to drop', () => session.ended);
      if (answer.error !== undefined) {
        expect(meaningOfPrepareFailure(answer.error).vote).toBe('unknown');
        expect(meaningOfFinishFailure(answer.error)).toBe('retry');
      }
      expect(await gids(server)).toEqual(after);
      await server.rollbackAllPrepared();
    },
  );

  it.each([
    [`prepare transaction 'a'`, true],
    [`commit prepared 'a'`, false],
  ])(
    'another session finishes the branch while %s still waits: 55000 busy, retry',
    async (text, stays) => {
      await makeReadyFor(text);
      const telling = session.tell(text);
      await whileItWaits('1');
      const other = await Session.open(server.connectionString());
      for (const verb of ['commit', 'rollback']) {
        const answer = await other.tell(`${verb} prepared 'a'`);
        expect(answer.sqlstate).toBe('55000');
        expect(meaningOfFinishFailure(answer.error)).toBe('retry');
      }
      await whileItWaits('pg_cancel_backend(pid)');
      expect((await telling).error).toBeUndefined();
      const again = await other.tell(`rollback prepared 'a'`);
      expect(again.sqlstate).toBe(stays ? undefined : '42704');
      await Promise.all([session.close(), other.close()]);
    },
  );
});
