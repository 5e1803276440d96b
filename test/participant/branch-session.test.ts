/** The session of a branch: opened as one unit, given back clean and at once, never reused dirty. */
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import type { FaultPoint } from '../../src/coordinator/protocol-context.ts';
import type { Branch, BranchSpec, StatementTraits } from '../../src/participant/participant.ts';
import type { PostgresParticipant } from '../../src/participant/postgres-participant.ts';
import { formatGid } from '../../src/participant/gid.ts';
import type { QueryConfig } from '../../src/postgres/client.ts';
import { createBank, type Bank } from '../support/bank.ts';
import { loneParticipant } from '../support/lone-participant.ts';
import { waitFor } from '../support/wait.ts';
import type { TransactionManager, TransactionScope } from '../../src/index.ts';

const MARK = 'insert into marker values ($1)';
const ONE: StatementTraits = { statements: 1, leavesSessionState: false, notifies: false };

let bank: Bank;
beforeAll(async () => {
  bank = await createBank();
});
afterAll(() => bank.close());

describe('a pool of one connection, shared with the program', () => {
  let pool: pg.Pool;
  let tm: TransactionManager;
  let atFaultPoint: (point: FaultPoint) => void | Promise<void> = () => undefined;
  beforeEach(async () => {
    const { connectionString } = bank.participant('orders');
    pool = new pg.Pool({ connectionString, max: 1 });
    pool.on('error', () => undefined);
    const billing = { connectionString: bank.participant('billing').connectionString };
    tm = await bank.manager(
      { participants: { orders: { pool }, billing } },
      { faultHook: (point) => atFaultPoint(point) },
    );
  });
  afterEach(async () => {
    atFaultPoint = () => undefined;
    await tm.close();
    await pool.end();
  });

  const pidOf = async (): Promise<unknown> => (await ask('select pg_backend_pid() as it'))['it'];
  async function ask(text: string): Promise<Record<string, unknown>> {
    const { rows } = await pool.query<Record<string, unknown>>(text);
    return rows[0] ?? {};
  }

  it('after the vote, the decision being held: the connection serves others already', async () => {
    let preparedMeanwhile = 0;
    let answer: unknown;
    atFaultPoint = async (point) => {
      if (point !== 'before-decide') return;
      preparedMeanwhile = (await bank.inDoubt()).length;
      answer = (await ask('select 42 as it'))['it'];
    };
    await tm.run(async (tx) => {
      await tx.on('orders').query(MARK, [tx.id]);
      await tx.on('billing').query(MARK, [tx.id]);
      expect(pool.idleCount).toBe(0);
    });
    expect(preparedMeanwhile).toBe(2);
    expect(answer).toBe(42);
    expect(pool.idleCount).toBe(1);
  });

  it('nothing to clean: the same connection goes on, over commits and rollbacks', async () => {
    const before = await pidOf();
    await tm.run(async (tx) => {
      await tx.on('orders').query(MARK, [tx.id]);
      await tx.on('billing').query(MARK, [tx.id]);
    });
    await tm.run((tx) => tx.on('orders').query(MARK, [tx.id]));
    await tm.run((tx) => tx.on('orders').query('select 1'));
    await tm
      .run(async (tx) => {
        await tx.on('orders').query(MARK, [tx.id]);
        throw new Error('no');
      })
      .catch(() => undefined);
    expect(await pidOf()).toBe(before);
    expect(pool.totalCount).toBe(1);
  });

  type Way = readonly [string, (tx: TransactionScope) => Promise<unknown>];
  const WAYS: readonly Way[] = [
    [
      'two-phase commit',
      async (tx) => {
        await tx.on('orders').query(MARK, [tx.id]);
        await tx.on('billing').query(MARK, [tx.id]);
      },
    ],
    ['one-phase commit', (tx) => tx.on('orders').query(MARK, [tx.id])],
    ['reads only', (tx) => tx.on('orders').query('select 1')],
    ['rollback', () => Promise.reject(new Error('no'))],
    [
      'a vote of no',
      async (tx) => {
        await tx.on('orders').query('insert into child values (1, 77)');
        await tx.on('billing').query(MARK, [tx.id]);
      },
    ],
    ['a failed statement', (tx) => tx.on('orders').query('select 1/0')],
  ];

  it.each(WAYS)('session advisory lock, then %s: nobody holds it afterwards', async (_, end) => {
    let held: unknown;
    await tm
      .run(async (tx) => {
        await tx.on('orders').query('select pg_advisory_lock(42)');
        const [row] = await bank
          .participant('orders')
          .query('select pg_try_advisory_lock(42) as it');
        held = row?.['it'];
        await end(tx);
      })
      .catch(() => undefined);
    expect(held).toBe(false);
    await pool.query('select 1');
    // A backend that was ended needs a moment to let go.
    await waitFor('the lock to be free', async () => {
      const [row] = await bank.participant('orders').query('select pg_try_advisory_lock(42) as it');
      return row?.['it'] === true;
    });
  });

  it.each(WAYS)('plain SET, then %s: the next user does not see it', async (_, end) => {
    const before = await pidOf();
    await tm
      .run(async (tx) => {
        await tx.on('orders').query(`set work_mem = '77MB'`);
        const { rows } = await tx.on('orders').query('show work_mem');
        expect(rows).toEqual([{ work_mem: '77MB' }]);
        await end(tx);
      })
      .catch(() => undefined);
    expect(await ask('show work_mem')).not.toEqual({ work_mem: '77MB' });
    expect(await pidOf()).not.toBe(before);
  });

  it.each([
    ['SET ROLE', 'set role pg_monitor', 'select current_user as it'],
    [
      'pg_settings',
      `update pg_settings set setting = '78848' where name = 'work_mem'`,
      'show work_mem',
    ],
    ['set_config', `select set_config('work_mem', '77MB', false)`, 'show work_mem'],
    [
      'a prepared statement',
      'prepare leak as select 1',
      'select count(*) as it from pg_prepared_statements',
    ],
    ['LISTEN', 'listen leak', 'select count(*) as it from pg_listening_channels()'],
    [
      'a temporary table',
      'create temp table leak (id int)',
      `select to_regclass('pg_temp.leak') as it`,
    ],
    [
      'a table in pg_temp',
      'create table pg_temp.leak (id int)',
      `select to_regclass('pg_temp.leak') as it`,
    ],
    [
      'a WITH HOLD cursor',
      'declare leak cursor with hold for select 1',
      `select count(*) as it from pg_cursors where name = 'leak'`,
    ],
  ])('%s in a one-phase commit: the next user sees nothing of it', async (_, leak, question) => {
    const before = await ask(question);
    const pid = await pidOf();
    await tm.run(async (tx) => {
      await tx.on('orders').query(MARK, [tx.id]);
      await tx.on('orders').query(leak);
      const { rows } = await tx.on('orders').query(question);
      // LISTEN takes effect at COMMIT only.
      if (!leak.startsWith('listen')) expect(rows).not.toEqual([before]);
    });
    expect(await ask(question)).toEqual(before);
    expect(await pidOf()).not.toBe(pid);
  });

  it('SET LOCAL needs no new connection', async () => {
    const before = await pidOf();
    await tm.run((tx) => tx.on('orders').query(`set local work_mem = '77MB'`));
    expect(await pidOf()).toBe(before);
    expect(await ask('show work_mem')).not.toEqual({ work_mem: '77MB' });
  });

  it('a client that the program released inside a transaction: not joined, not committed', async () => {
    const client = await pool.connect();
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
    await client.query('begin');
    await client.query(`insert into marker values ('00000000-0000-7000-8000-000000000001')`);
    client.release();
    let used: unknown;
    let id = '';
    await tm.run(async (tx) => {
      id = tx.id;
      await tx.on('orders').query(MARK, [tx.id]);
      await tx.on('billing').query(MARK, [tx.id]);
      used = (await tx.on('orders').query('select pg_backend_pid() as pid')).rows[0]?.['pid'];
    });
    expect(used).not.toBe(rows[0]?.pid);
    const found = await bank.participant('orders').query(
      `select transaction_id from marker
          where transaction_id in ('00000000-0000-7000-8000-000000000001', $1)`,
      [id],
    );
    expect(found).toEqual([{ transaction_id: id }]);
  });
});

describe('a branch, used directly', () => {
  let participant: PostgresParticipant;
  let pool: pg.Pool;
  beforeAll(() => {
    const { connectionString } = bank.participant('orders');
    pool = new pg.Pool({ connectionString });
    participant = loneParticipant(pool, connectionString);
  });
  afterAll(() => participant.close());

  const transactionId = '01890a5d-ac96-774b-bcce-b302099a8057';
  const gid = formatGid({
    installation: 'abcdefabcdef',
    epoch: '0123456789abcdef',
    transactionId,
    branch: 1,
  });
  const specWith = (changes: Partial<BranchSpec> = {}): BranchSpec => ({
    transactionId,
    branch: 1,
    isolationLevel: undefined,
    readOnly: false,
    remainingMs: () => 10_000,
    signal: new AbortController().signal,
    ...changes,
  });
  const count = async (): Promise<number> =>
    (await bank.participant('orders').query('select 1 from parent')).length;

  it('M1: PREPARE in a failed block is a vote of no, and all sessions are back', async () => {
    const branch = participant.branch(specWith());
    await branch.execute({ text: 'insert into parent values (1)' }, ONE);
    await expect(branch.execute({ text: 'select 1/0' }, ONE)).rejects.toMatchObject({
      code: '22012',
    });
    expect(await branch.inspect()).toMatchObject({ kind: 'failed', error: { code: '22012' } });
    expect(await branch.prepare(gid)).toMatchObject({ kind: 'no' });
    expect(await bank.inDoubt()).toEqual([]);
    expect(await count()).toBe(0);
    expect(pool.idleCount).toBe(pool.totalCount);
  });

  it('a statement that ended the transaction unseen: the branch can never vote yes', async () => {
    const branch = participant.branch(specWith());
    await branch.execute({ text: 'insert into parent values (1)' }, ONE);
    await expect(branch.execute({ text: 'rollback' }, ONE)).rejects.toMatchObject({
      code: 'PGXA_HEURISTIC_OUTCOME',
    });
    await expect(branch.execute({ text: 'insert into parent values (2)' }, ONE)).rejects.toThrow();
    expect(await branch.inspect()).toMatchObject({ kind: 'failed' });
    expect(await branch.prepare(gid)).toMatchObject({ kind: 'no' });
    await branch.rollback();
    expect(await count()).toBe(0);
    expect(await bank.inDoubt()).toEqual([]);
    expect(pool.idleCount).toBe(pool.totalCount);
  });

  describe('its transaction was ended on the client, behind the branch', () => {
    const WRITES = { text: 'insert into parent values (1)' };
    const endedBehind = async (
      how = 'rollback',
      statements: readonly [QueryConfig, StatementTraits][] = [[WRITES, ONE]],
    ): Promise<Branch> => {
      let client: pg.PoolClient | undefined;
      pool.once('acquire', (acquired: pg.PoolClient) => (client = acquired));
      const branch = participant.branch(specWith());
      for (const [query, traits] of statements) await branch.execute(query, traits);
      await client?.query(how);
      return branch;
    };

    it('no is the vote, and nothing is prepared', async () => {
      const branch = await endedBehind();
      expect(await branch.prepare(gid)).toMatchObject({
        kind: 'no',
        error: { code: 'PGXA_HEURISTIC_OUTCOME' },
      });
      expect(await bank.inDoubt()).toEqual([]);
    });

    it('and another one was begun, which PREPARE finds: never yes, and what it prepared is rolled back', async () => {
      const vote = await (await endedBehind('rollback; begin')).prepare(gid);
      if (vote.kind !== 'unknown') throw new Error(`the vote is ${vote.kind}`);
      // This is why: the server did prepare, and its tag says so.
      expect(await bank.inDoubt()).toHaveLength(1);
      const { evidence } = vote;
      const result = await participant.finish({ gid, decision: 'abort', evidence });
      expect(result).toEqual({ kind: 'done' });
      expect(await bank.inDoubt()).toEqual([]);
    });

    // The branch has no id, or none that is known, when the other one takes its place.
    it.each<[string, [QueryConfig, StatementTraits][]]>([
      [
        'read first',
        [
          [{ text: 'select 1' }, ONE],
          [WRITES, ONE],
        ],
      ],
      ['read only', [[{ text: 'select 1' }, ONE]]],
      ['began with two', [[{ text: `${WRITES.text}; select 1` }, { ...ONE, statements: 2 }]]],
    ])('and another one was begun behind a branch that %s: never yes', async (_, statements) => {
      const branch = await endedBehind('rollback; begin', statements);
      const vote = await branch.prepare(gid);
      if (vote.kind !== 'unknown') throw new Error(`the vote is ${vote.kind}`);
      const { evidence } = vote;
      await participant.finish({ gid, decision: 'abort', evidence });
      expect(await bank.inDoubt()).toEqual([]);
    });

    it.each(['inspected', 'not inspected'])(
      'and another one was begun behind a branch that read first, %s: it is lost, or not committed',
      async (how) => {
        const branch = await endedBehind('rollback; begin', [
          [{ text: 'select 1' }, ONE],
          [WRITES, ONE],
        ]);
        if (how === 'inspected') expect(await branch.inspect()).toMatchObject({ kind: 'writer' });
        expect(await branch.commitOnePhase()).toMatchObject({ kind: 'rolled-back' });
        expect(await count()).toBe(0);
      },
    );

    it('and another one was begun, which the only COMMIT commits: unknown, and rolled back by its id', async () => {
      const reply = await (await endedBehind('rollback; begin')).commitOnePhase();
      if (reply.kind !== 'unknown') throw new Error(`the reply is ${reply.kind}`);
      expect(await participant.xactStatus(reply.evidence)).toBe('aborted');
      expect(await count()).toBe(0);
    });

    it('the only COMMIT, which then commits nothing: unknown, and rolled back by its transaction id', async () => {
      const reply = await (await endedBehind()).commitOnePhase();
      if (reply.kind !== 'unknown') throw new Error(`the reply is ${reply.kind}`);
      expect(await participant.xactStatus(reply.evidence)).toBe('aborted');
      expect(await count()).toBe(0);
    });
  });

  it('BEGIN fails: the statement behind it does not run outside of a transaction', async () => {
    const spec = specWith({ isolationLevel: 'nonsense' as never });
    for (const statements of [1, 2]) {
      const branch = participant.branch(spec);
      await expect(
        branch.execute({ text: 'insert into parent values (3)' }, { ...ONE, statements }),
      ).rejects.toMatchObject({ code: '42601' });
      await expect(
        branch.execute({ text: 'insert into parent values (4)' }, ONE),
      ).rejects.toThrow();
      expect(await branch.prepare(gid)).toMatchObject({ kind: 'no' });
      await branch.rollback();
    }
    expect(await count()).toBe(0);
    expect(pool.idleCount).toBe(pool.totalCount);
  });

  it('yes: the evidence names the transaction id and the backend that ran it', async () => {
    const branch = participant.branch(specWith());
    const { rows } = (await branch.execute(
      { text: 'select pg_current_xact_id()::text as xid, pg_backend_pid() as pid' },
      ONE,
    )) as { rows: unknown[] };
    const vote = await branch.prepare(gid);
    const [row] = rows as [{ xid: string; pid: number }];
    expect(vote).toMatchObject({
      kind: 'yes',
      evidence: { participant: 'orders', branch: 1, xid: row.xid, backend: { pid: row.pid } },
    });
    if (vote.kind !== 'yes') throw new Error('unreachable');
    expect(await participant.xactStatus(vote.evidence)).toBe('in progress');
    const { evidence } = vote;
    expect(await participant.finish({ gid, decision: 'abort', evidence })).toEqual({
      kind: 'done',
    });
    expect(await participant.xactStatus(evidence)).toBe('aborted');
    expect(await participant.finish({ gid, decision: 'abort', evidence })).toEqual({
      kind: 'done',
    });
    expect(await participant.finish({ gid, decision: 'commit', evidence })).toMatchObject({
      kind: 'heuristic',
      heuristic: 'rollback',
    });
  });
});
