import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type {
  ParticipantOptions,
  TransactionManager,
  TransactionManagerConfig,
  TransactionScope,
} from '../../src/index.ts';
import { createBank, type Bank, type BankDatabase } from '../support/bank.ts';
import { FaultProxy } from '../support/proxy.ts';
import { waitFor } from '../support/wait.ts';

// The bounds below are what counts, and the machine may be busy.
vi.setConfig({ testTimeout: 90_000 });

/** What pgxa waits for the reply to a command of its own, if nothing sooner ends the wait: the answer must not need it. */
const COMMAND_TIMEOUT_MS = 10_000;
/** Enough for a busy machine, and too short for a place that such a command would hold. */
const FREE_SOON_MS = 8_000;

/**
 * Connections that break, hang or come late. Expected: no uncaught exception, an answer in time, and the
 * connection's place in the pool is free again, with nothing left open on the server.
 */
describe('connections between the pool and a branch', () => {
  let bank: Bank;
  let billing: BankDatabase;
  let proxy: FaultProxy;
  const uncaught: unknown[] = [];
  const onUncaught = (error: unknown): void => void uncaught.push(error);
  const pools: pg.Pool[] = [];

  beforeEach(async () => {
    uncaught.length = 0;
    process.on('uncaughtException', onUncaught);
    bank = await createBank();
    billing = bank.participant('billing');
    proxy = await FaultProxy.inFrontOf(billing.connectionString);
  });
  afterEach(async () => {
    await bank.close();
    await Promise.all(pools.splice(0).map((pool) => pool.end()));
    await proxy.close();
    process.removeListener('uncaughtException', onUncaught);
    expect(uncaught).toEqual([]);
    expect(await bank.inDoubt()).toEqual([]);
  });

  /** Billing behind the proxy, unless said otherwise. */
  const managerWith = (
    options: ParticipantOptions = {},
    config: Partial<TransactionManagerConfig> = {},
  ): Promise<TransactionManager> =>
    bank.manager({
      participants: {
        orders: { connectionString: bank.participant('orders').connectionString },
        billing: { connectionString: proxy.through(billing.connectionString), ...options },
      },
      ...config,
    });
  const mark = async (tx: TransactionScope, ...names: string[]): Promise<void> => {
    for (const name of names) await tx.on(name).query('insert into marker values ($1)', [tx.id]);
  };
  const ask = (tx: TransactionScope): Promise<unknown> => tx.on('billing').query('select 1');
  const makePool = (options: pg.PoolConfig): pg.Pool => {
    const pool = new pg.Pool(options);
    pool.on('error', () => undefined);
    pools.push(pool);
    return pool;
  };
  async function expectNothingOpen(): Promise<void> {
    await waitFor('no session to be in a transaction', async () => {
      const open = await billing.query(
        `select state, query from pg_stat_activity
          where datname = current_database() and xact_start is not null
            and pid <> pg_backend_pid()`,
      );
      return open.length === 0;
    });
  }
  async function timed<T>(work: Promise<T>): Promise<{ ms: number; settled: unknown }> {
    const since = performance.now();
    const settled: unknown = await work.catch((error: unknown) => error);
    return { ms: performance.now() - since, settled };
  }

  it.each(['lose-request', 'lose-reply'] as const)(
    'a new connection dies while it is looked at (%s): retryable, no uncaught exception, the next works',
    async (action) => {
      const tm = await managerWith({ max: 1 });
      const rule = proxy.arm(/pg_control_system/, action);
      await expect(tm.run(ask)).rejects.toMatchObject({
        name: 'RolledBackError',
        code: 'PGXA_PARTICIPANT_UNAVAILABLE',
        retryable: true,
      });
      expect(rule.fired).toBe(1);
      await tm.run(ask);
      await tm.close();
      expect(uncaught).toEqual([]);
    },
  );

  it('rollback while the first query waits for a connection: it comes back idle and is used again', async () => {
    const pool = makePool({ connectionString: billing.connectionString, max: 1 });
    const tm = await managerWith({ pool, connectionString: billing.connectionString });
    const held = await pool.connect();
    let waiting: Promise<unknown> | undefined;
    await expect(
      tm.run(async (tx) => {
        waiting = tx.on('billing').query('update account set balance = 0 where id = 1');
        waiting.catch(() => undefined);
        await waitFor('the branch to wait for the pool', () => pool.waitingCount === 1);
        throw new Error('the program gives up');
      }),
    ).rejects.toMatchObject({ code: 'PGXA_ROLLED_BACK' });
    expect(pool.waitingCount).toBe(1);
    held.release();
    await expect(waiting).rejects.toThrow('rolled back');
    expect([pool.totalCount, pool.idleCount, pool.waitingCount]).toEqual([1, 1, 0]);
    await expectNothingOpen();
    await tm.run((tx) => mark(tx, 'billing'));
    expect(
      await billing.query('select 1 from account where id = 1 and balance = 1000'),
    ).toHaveLength(1);
  });

  it.each([
    ['after its first query', /pg_control_system/],
    ['before it is a session', /user\0postgres\0/],
  ])(
    'a new connection goes silent %s: rolled back at the deadline, the only slot is free again',
    async (_, pattern) => {
      const tm = await managerWith({ max: 1 }, { connectTimeoutMs: 1_500 });
      const rule = proxy.arm(pattern, 'silence');
      const { ms, settled } = await timed(tm.run({ timeoutMs: 700 }, ask));
      expect(settled).toMatchObject({ name: 'RolledBackError', code: 'PGXA_TIMEOUT' });
      expect(rule.fired).toBe(1);
      expect(ms).toBeLessThan(COMMAND_TIMEOUT_MS);
      await tm.run({ timeoutMs: FREE_SOON_MS }, (tx) => mark(tx, 'billing'));
      await expectNothingOpen();
    },
  );

  it('a pool with pipeline: true: branches commit, fail and roll back, and it pipelines on', async () => {
    const pool = makePool({ connectionString: billing.connectionString, max: 1, pipeline: true });
    const tm = await managerWith({ pool, connectionString: billing.connectionString });
    await tm.run((tx) => mark(tx, 'orders', 'billing'));
    await tm.run((tx) => mark(tx, 'billing'));
    // Neither the statement that fails nor those behind it may run outside of the transaction.
    const failing = tm.run(async (tx) => {
      const client = tx.on('billing');
      const first = client.query('select 1/0');
      const second = client.query('update account set balance = 0 where id = 1');
      await Promise.allSettled([first, second]);
      await first;
    });
    await expect(failing).rejects.toMatchObject({ cause: { code: '22012' } });
    expect(await billing.query('select 1 from marker')).toHaveLength(2);
    expect(await billing.query('select 1 from account where balance <> 1000')).toEqual([]);
    const client = await pool.connect();
    expect(client.pipeline).toBe(true);
    client.release();
    expect(pool.totalCount).toBe(1);
    await expectNothingOpen();
  });

  it('a pool with pipeline: true, PREPARE is answered by silence, its backend cannot be ended: an answer in time, the slot is free', async () => {
    const behindProxy = proxy.through(billing.connectionString);
    const pool = makePool({ connectionString: behindProxy, max: 1, pipeline: true });
    const tm = await managerWith({ pool, connectionString: behindProxy });
    const rule = proxy.arm(/\bprepare transaction /, 'silence');
    const fence = proxy.arm(/pg_terminate_backend/, 'lose-request', Number.POSITIVE_INFINITY);
    const { ms, settled } = await timed(
      tm.run({ timeoutMs: 700 }, (tx) => mark(tx, 'orders', 'billing')),
    );
    expect(rule.fired).toBe(1);
    expect(fence.fired).toBeGreaterThan(0);
    expect(settled).toMatchObject({ name: 'RolledBackError', code: 'PGXA_TIMEOUT' });
    expect(ms).toBeLessThan(COMMAND_TIMEOUT_MS);
    await tm.run({ timeoutMs: FREE_SOON_MS }, (tx) => mark(tx, 'billing'));
    const other = await bank.manager();
    await waitFor('recovery to roll the branch back', async () => {
      await other.recover();
      return (await bank.inDoubt()).length === 0;
    });
    expect(await bank.participant('orders').query('select 1 from marker')).toEqual([]);
  });

  it('a transaction that nobody ends: at its deadline its place is free, and commit() tells the timeout', async () => {
    const tm = await managerWith({ max: 1 });
    const forgotten = await tm.begin({ timeoutMs: 500 });
    let rolledBack = 0;
    forgotten.onRolledBack(() => void (rolledBack += 1));
    await forgotten.on('billing').query('update account set balance = 0 where id = 1');
    await tm.run({ timeoutMs: FREE_SOON_MS }, (tx) => mark(tx, 'billing'));
    await expect(forgotten.commit()).rejects.toMatchObject({
      name: 'RolledBackError',
      code: 'PGXA_TIMEOUT',
      transactionId: forgotten.id,
    });
    await forgotten.rollback();
    expect(rolledBack).toBe(1);
    expect(await tm.outcomeOf(forgotten.id)).toBe('aborted');
    expect(await billing.query('select 1 from account where balance <> 1000')).toEqual([]);
    await expectNothingOpen();
  });

  it('ROLLBACK is answered by silence, the deadline is far: the caller has its answer in seconds', async () => {
    const tm = await managerWith({ max: 1 });
    const rule = proxy.arm(/\brollback[\0;]/, 'silence');
    const { ms, settled } = await timed(
      tm.run({ timeoutMs: 30_000 }, async (tx) => {
        await mark(tx, 'orders', 'billing');
        throw new Error('the program gives up');
      }),
    );
    expect(rule.fired).toBe(1);
    expect(settled).toMatchObject({ name: 'RolledBackError', code: 'PGXA_ROLLED_BACK' });
    expect(ms).toBeLessThan(COMMAND_TIMEOUT_MS);
    await tm.run({ timeoutMs: FREE_SOON_MS }, (tx) => mark(tx, 'billing'));
    await expectNothingOpen();
  });

  it('the COMMIT of a reader is answered by silence: PGXA_TIMEOUT, not retryable, run once', async () => {
    const tm = await managerWith({ max: 1 });
    const rule = proxy.arm(/\bcommit[\0;]/, 'silence', 3);
    let runs = 0;
    const { ms, settled } = await timed(
      tm.run({ timeoutMs: 700, retry: { attempts: 3 } }, async (tx) => {
        runs += 1;
        await ask(tx);
      }),
    );
    expect(settled).toMatchObject({
      name: 'RolledBackError',
      code: 'PGXA_TIMEOUT',
      retryable: false,
    });
    // Without a deadline the reply would be waited for that long.
    expect(ms).toBeLessThan(5_000);
    expect([rule.fired, runs]).toEqual([1, 1]);
  });
});
