import { randomBytes } from 'node:crypto';

import { afterEach, describe, expect, it } from 'vitest';
import { v7 as uuidv7 } from 'uuid';

import {
  createRecoveryDaemon,
  migrateDecisionLog,
  subscribe,
  type PgxaEvents,
  type RecoveryDaemon,
  type RecoveryDaemonConfig,
} from '../../src/index.ts';
import { createBank, type Bank, type BankDatabase } from '../support/bank.ts';
import { gidIn, plant, plantMany, rollbackAll } from '../support/planted.ts';
import { startControlledServer, type TestServer } from '../support/servers.ts';
import { sharedServer } from '../support/shared-server.ts';
import { waitFor } from '../support/wait.ts';

/**
 * Daemons in this process beside a log and two participants; branches are planted with a decision, so that
 * a pass has something to finish. Each test breaks one thing. Expected: only what depends on it stops.
 */
describe('a daemon', () => {
  const cleanUps: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
  });

  async function makeBank(...parameters: Parameters<typeof createBank>): Promise<Bank> {
    const bank = await createBank(...parameters);
    cleanUps.push(() => bank.close());
    return bank;
  }

  async function server(settings: Record<string, string> = {}): Promise<TestServer> {
    const started = await startControlledServer({ settings });
    cleanUps.push(() => started.destroy());
    return started;
  }

  async function startDaemon(
    bank: Bank,
    more: Partial<RecoveryDaemonConfig> = {},
  ): Promise<RecoveryDaemon> {
    const daemon = await createRecoveryDaemon({
      name: 'test',
      decisionLog: { connectionString: bank.log.connectionString },
      participants: Object.fromEntries(
        bank.participants.map(({ name, connectionString }) => [name, { connectionString }]),
      ),
      ...more,
    });
    cleanUps.push(() => daemon.stop());
    return daemon;
  }

  async function plantDecided(
    bank: Bank,
    where: BankDatabase,
    connectionString?: string,
  ): Promise<string> {
    const transactionId = uuidv7();
    const epoch = randomBytes(8).toString('hex');
    const gid = await gidIn(bank.log, { epoch, transactionId });
    await plant(where, gid, connectionString);
    await bank.log.query(
      `insert into pgxa.decision (transaction_id, epoch, outcome, decided_by)
       values ($1, $2, 'commit', 'coordinator')`,
      [transactionId, epoch],
    );
    return gid;
  }

  const isGone = async (bank: Bank, gid: string): Promise<boolean> =>
    (await bank.inDoubt()).every((one) => one.gid !== gid);

  function listenTo<Name extends keyof PgxaEvents>(name: Name): PgxaEvents[Name][] {
    const heard: PgxaEvents[Name][] = [];
    const unsubscribe = subscribe(name, (event) => heard.push(event));
    cleanUps.push(async () => {
      unsubscribe();
    });
    return heard;
  }

  it('starts with a participant that does not answer, finishes the other, and heals with the server', async () => {
    const hung = await server();
    const bank = await makeBank({ servers: [hung, await sharedServer()] });
    hung.pause();
    const daemon = await startDaemon(bank, { connectTimeoutMs: 500 });
    await daemon.whenReady;
    const billing = await plantDecided(bank, bank.participant('billing'));
    await waitFor('billing', async () => {
      const rows = await bank.participant('billing').query('select gid from pg_prepared_xacts');
      return rows.every(({ gid }) => gid !== billing);
    });
    expect(daemon.status().participants['orders']).toMatchObject({
      state: 'unreachable',
      error: expect.any(Error) as Error,
    });
    hung.resume();
    await plantDecided(bank, bank.participant('orders'));
    await waitFor('orders', async () => (await bank.inDoubt()).length === 0, { timeoutMs: 20_000 });
    expect(daemon.status().participants['orders']).toMatchObject({ state: 'listed' });
  });

  it('sets a branch aside that it may not finish, names the grant, and goes on with the others', async () => {
    const bank = await makeBank();
    const orders = bank.participant('orders');
    const suffix = orders.server.runId;
    const [owner, recovery] = [`owner_${suffix}`, `recovery_${suffix}`];
    await orders.query(`create role "${owner}" login`);
    await orders.query(`create role "${recovery}" login`);
    await orders.query(`grant insert on marker to "${owner}", "${recovery}"`);
    cleanUps.push(async () => {
      await rollbackAll(orders);
      await orders.query(`drop owned by "${owner}", "${recovery}"`);
      await orders.query(`drop role "${owner}", "${recovery}"`);
    });
    const as = (user: string): string => orders.server.connectionString(orders.database, { user });
    const setAside = listenTo('recovery:set-aside');
    const poisoned = await plantDecided(bank, orders, as(owner));
    const daemon = await startDaemon(bank, {
      participants: { orders: { connectionString: as(recovery) } },
    });
    await waitFor('the branch to be set aside', () => setAside.length === 1, { timeoutMs: 20_000 });
    expect(setAside).toMatchObject([{ participant: 'orders', gid: poisoned, attempts: 4 }]);
    expect(setAside[0]?.error.message).toContain(`grant "${owner}"`);
    expect(daemon.status().participants['orders']).toMatchObject({
      state: 'listed',
      inDoubt: { decided: 1 },
      setAside: [{ gid: poisoned }],
    });
    const other = await plantDecided(bank, orders, as(recovery));
    await waitFor('the other', () => isGone(bank, other));
    expect(await isGone(bank, poisoned)).toBe(false);
  });

  it('leaves another server than the registered one alone, until a program has registered it', async () => {
    const bank = await makeBank();
    await bank.manager();
    const copy = await makeBank();
    const [orders, wrong] = [bank.participant('orders'), copy.participant('orders')];
    const gid = await gidIn(bank.log, { epoch: 'a'.repeat(16), transactionId: uuidv7() });
    const decided = await plantDecided(bank, wrong);
    const daemon = await startDaemon(bank, {
      participants: { orders: { connectionString: wrong.connectionString } },
    });
    await daemon.whenReady;
    expect(daemon.status().participants['orders']).toMatchObject({
      state: 'other-server',
      error: { code: 'PGXA_PARTICIPANT_IDENTITY' },
    });
    expect(await isGone(copy, decided)).toBe(false);
    expect(await orders.query('select 1 from pg_prepared_xacts where gid = $1', [gid])).toEqual([]);
    await bank.manager({
      participants: { orders: { connectionString: wrong.connectionString } },
    });
    await waitFor('the branch on the server that is registered now', () => isGone(copy, decided));
  });

  it('survives the log being away, says so, and goes on at once when it is back', async () => {
    const logServer = await server();
    const bank = await makeBank({ logServer, servers: [await sharedServer()] });
    const heard = listenTo('recovery:log');
    const daemon = await startDaemon(bank);
    await daemon.whenReady;
    await waitFor('to listen', () => daemon.status().wake === 'listening');
    const gid = await gidIn(bank.log, { epoch: 'b'.repeat(16), transactionId: uuidv7() });
    await logServer.stop('immediate');
    await waitFor('the alarm', () => !daemon.status().log.reachable);
    expect(daemon.status().log.error).toBeInstanceOf(Error);
    await plant(bank.participant('orders'), gid);
    await logServer.start();
    await waitFor('the log', () => daemon.status().log.reachable);
    const decided = await plantDecided(bank, bank.participant('billing'));
    await waitFor('the branch', () => isGone(bank, decided));
    // The other one is of no coordinator that the log knows: nothing is presumed.
    await waitFor('the report', () => daemon.status().participants['orders']?.inDoubt.unexplained);
    expect(heard.map(({ reachable }) => reachable)).toEqual([true, false, true]);
    await rollbackAll(bank.participant('orders'));
  });

  it('is woken by the log', async () => {
    const bank = await makeBank();
    const tm = await bank.manager();
    const daemon = await startDaemon(bank, { intervalMs: 60_000 });
    await daemon.whenReady;
    await waitFor('to listen', () => daemon.status().wake === 'listening');
    const decided = await plantDecided(bank, bank.participant('orders'));
    expect(await isGone(bank, decided)).toBe(false);
    // An epoch that ends is such a moment.
    await tm.close();
    await waitFor('the branch', () => isGone(bank, decided));
  });

  it('leaves the work to the daemon that holds the leases, and takes over when that one stops', async () => {
    const bank = await makeBank();
    const first = await startDaemon(bank, { name: 'first' });
    await first.whenReady;
    const second = await startDaemon(bank, { name: 'second' });
    await second.whenReady;
    expect(second.status().participants['orders']).toMatchObject({
      lease: 'elsewhere',
      holder: 'first',
      state: 'none',
    });
    await first.stop();
    const decided = await plantDecided(bank, bank.participant('orders'));
    await waitFor('the second', () => isGone(bank, decided));
    expect(second.status().participants['orders']).toMatchObject({ lease: 'held' });
  });

  it('that cannot reach a participant leaves it to the one that can', async () => {
    const bank = await makeBank();
    const nowhere = { host: '127.0.0.1', port: 1, database: 'x' };
    const { connectionString } = bank.participant('orders');
    const first = await startDaemon(bank, {
      name: 'first',
      intervalMs: 100,
      leaseMs: 1_000,
      participants: { orders: { connectionString }, billing: nowhere },
    });
    await first.whenReady;
    const second = await startDaemon(bank, { name: 'second', leaseMs: 1_000 });
    const decided = await plantDecided(bank, bank.participant('billing'));
    await waitFor('the second', () => isGone(bank, decided), { timeoutMs: 25_000 });
    expect(second.status().participants).toMatchObject({ orders: { lease: 'elsewhere' } });
  });

  it('a name that leads to the database of another participant harms only itself', async () => {
    const bank = await makeBank();
    const tm = await bank.manager();
    await tm.close();
    const { connectionString } = bank.participant('billing');
    const daemon = await startDaemon(bank, {
      participants: { orders: { connectionString }, billing: { connectionString } },
    });
    await daemon.whenReady;
    await waitFor('billing', () => daemon.status().participants['billing']?.state === 'listed');
    const decided = await plantDecided(bank, bank.participant('billing'));
    await waitFor('its branch', () => isGone(bank, decided));
    expect(daemon.status().participants['orders']).toMatchObject({ state: 'other-server' });
  });

  it('is not driven into a busy loop by notifications', async () => {
    const bank = await makeBank();
    const daemon = await startDaemon(bank);
    await daemon.whenReady;
    await waitFor('to listen', () => daemon.status().wake === 'listening');
    const passes = listenTo('recovery:pass');
    await bank.log.query(
      `do $$ begin for n in 1..100 loop perform pg_notify('pgxa_recovery', 'n' || n); end loop; end $$`,
    );
    await waitFor('the woken passes', () => passes.length >= 2);
    const woken = passes.length;
    await waitFor('the next looks', () => passes.length >= woken + 2);
    // One look for each participant answers a hundred calls; a second may have been under way.
    expect(woken).toBeLessThanOrEqual(4);
  });

  it('stops in time although the log hangs', async () => {
    const logServer = await server();
    const bank = await makeBank({ logServer, servers: [await sharedServer()] });
    const daemon = await startDaemon(bank, { connectTimeoutMs: 60_000, leaseMs: 1_000 });
    await daemon.whenReady;
    logServer.pause();
    await waitFor('the alarm', () => !daemon.status().log.reachable, { timeoutMs: 15_000 });
    let hasStopped = false;
    void daemon.stop().then(() => (hasStopped = true));
    await waitFor('the end', () => hasStopped, { timeoutMs: 25_000 });
    logServer.resume();
  }, 60_000);

  it('finishes thousands of branches, oldest first, and tells how far it is', async () => {
    const big = await server({ max_prepared_transactions: '3100' });
    const bank = await makeBank({ servers: [big] });
    const orders = bank.participant('orders');
    const epoch = randomBytes(8).toString('hex');
    const transactions = Array.from({ length: 3_000 }, () => uuidv7());
    const [installation] = await bank.log.query('select id from pgxa.installation');
    const prefix = `pgxa_${String(installation?.['id'])}_${epoch}`;
    await plantMany(
      orders,
      transactions.map((id) => `${prefix}_${id.replaceAll('-', '')}_1`),
    );
    await bank.log.query(
      `insert into pgxa.decision (transaction_id, epoch, outcome, decided_by)
       select id, $2, 'commit', 'coordinator' from unnest($1::uuid[]) id`,
      [transactions, epoch],
    );
    const finished = listenTo('branch:finished');
    const progress = listenTo('recovery:progress');
    const daemon = await startDaemon(bank);
    await waitFor('all', () => finished.length === 3_000, { timeoutMs: 25_000 });
    expect(await bank.inDoubt()).toEqual([]);
    const thousands = finished.map(({ transactionId }) =>
      Math.floor(transactions.indexOf(transactionId) / 1_000),
    );
    expect(thousands).toEqual([...thousands].sort());
    expect(progress).toMatchObject([1, 2, 3].map((k) => ({ done: k * 1_000, total: 3_000 })));
    await waitFor(
      'the next pass',
      () => daemon.status().participants['orders']?.oldestInDoubtMs === 0,
    );
  });

  it('gives all errors of its configuration at once, and refuses a log that it cannot use', async () => {
    const config = {
      name: '',
      decisionLog: {},
      participants: { 'not a name': { connectionString: 'nonsense' } },
      retentionDays: 1,
      surplus: true,
    };
    const error = await createRecoveryDaemon(config as never).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'PGXA_CONFIG_INVALID' });
    for (const path of ['name', 'decisionLog', 'participants', 'retentionDays', 'surplus']) {
      expect(String(error)).toContain(path);
    }
    const shared = await sharedServer();
    const connectionString = shared.connectionString(await shared.createDatabase('empty'));
    const start = (): Promise<RecoveryDaemon> =>
      createRecoveryDaemon({
        name: 'test',
        decisionLog: { connectionString },
        participants: { orders: { connectionString } },
      });
    await expect(start()).rejects.toMatchObject({ code: 'PGXA_LOG_NOT_MIGRATED' });
    await migrateDecisionLog({ connectionString });
    const daemon = await start();
    await daemon.stop();
  });
});
