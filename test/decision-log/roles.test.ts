import { readFile } from 'node:fs/promises';
import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { DecisionLog } from '../../src/decision-log/decision-log.ts';
import { openDecisionLog } from '../../src/decision-log/open.ts';
import { PostgresDaemonLog } from '../../src/decision-log/postgres-daemon-log.ts';
import { createTransactionManager, migrateDecisionLog } from '../../src/index.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { createBank, type Bank } from '../support/bank.ts';
import { startControlledServer, type TestServer } from '../support/servers.ts';
import { commitRequest, newEpoch, newId, server as somewhere } from './conformance.ts';

const script = (file: string): Promise<string> =>
  readFile(new URL(`../../sql/${file}`, import.meta.url), 'utf8');

/** A login for each group role, as an installation makes them. */
const LOGINS = {
  pgxa_application: 'checkout_log',
  pgxa_recovery: 'recovery_log',
  pgxa_operator: 'alice',
  pgxa_monitor: 'grafana',
} as const;

/**
 * The log belongs to log_owner, who has migrated it and run sql/roles.sql; nobody connects as superuser.
 * The participants' tables are open to `shop` alone, the application's role there.
 */
describe('roles', () => {
  let server: TestServer;
  let bank: Bank;
  let log: string;

  beforeAll(async () => {
    server = await startControlledServer();
    bank = await createBank({ servers: [server], logServer: server });
    await server.query('postgres', 'create role log_owner login createrole');
    log = await server.createDatabase('owned_log');
    await server.query('postgres', `alter database ${log} owner to log_owner`);
    await migrateDecisionLog({ connectionString: asUser('log_owner') });
    await run('log_owner', await script('roles.sql'));
    for (const [group, login] of Object.entries(LOGINS)) {
      await server.query('postgres', `create role ${login} login in role ${group}`);
    }
    await server.query('postgres', 'create role shop login');
    for (const one of bank.participants) {
      await one.query('grant select, insert, update on account, marker to shop');
    }
  });
  afterAll(async () => {
    await bank.close();
    await server.destroy();
  });

  const asUser = (user: string, database = log): string =>
    server.connectionString(database, { user });
  /** Like psql: all statements of a text in one message. */
  async function run(user: string, text: string, database = log): Promise<pg.QueryResult> {
    const client = new pg.Client({ connectionString: asUser(user, database) });
    await client.connect();
    try {
      return await client.query(text);
    } finally {
      await client.end();
    }
  }
  const participants = (user: string): Record<string, { connectionString: string }> =>
    Object.fromEntries(
      bank.participants.map(({ name, database }) => [
        name,
        { connectionString: asUser(user, database) },
      ]),
    );
  const config = (logUser: string, user: string) => ({
    coordinator: logUser,
    decisionLog: { connectionString: asUser(logUser) },
    participants: participants(user),
  });
  const open = (user: string): Promise<DecisionLog> =>
    openDecisionLog({
      settings: { connectionString: asUser(user) },
      coordinator: user,
      connectTimeoutMs: 5_000,
    });

  it('roles.sql run again, and four times at once: fine, and the grants are the same', async () => {
    const grants = `select grantee, table_name, column_name, privilege_type
                      from information_schema.column_privileges where table_schema = 'pgxa'
                     order by 1, 2, 3, 4`;
    const before = await server.query(log, grants);
    const text = await script('roles.sql');
    await run('log_owner', text);
    await Promise.all([1, 2, 3, 4].map(() => run('log_owner', text)));
    expect(await server.query(log, grants)).toEqual(before);
    expect(before.length).toBeGreaterThan(100);
  });

  it('application: two-phase, keyed and one-writer transactions, recovery and the end of its epoch', async () => {
    const tm = await bank.manager(config(LOGINS.pgxa_application, 'shop'));
    const ids: string[] = [];
    for (const idempotencyKey of [undefined, 'order-1']) {
      await tm.run(idempotencyKey === undefined ? {} : { idempotencyKey }, async (tx) => {
        ids.push(tx.id);
        await tx.on('orders').query('insert into marker values ($1)', [tx.id]);
        await tx.on('billing').query('insert into marker values ($1)', [tx.id]);
      });
    }
    await tm.run((tx) => tx.on('orders').query('insert into marker values ($1)', [tx.id]));
    expect((await tm.recover()).complete).toBe(true);
    await tm.close();
    const decisions = await server.query(log, 'select transaction_id::text from pgxa.decision');
    expect(decisions.map((row) => row['transaction_id']).sort()).toEqual(ids.sort());
    expect(
      await server.query(log, `select role_name, retired_by from pgxa.coordinator`),
    ).toContainEqual({ role_name: LOGINS.pgxa_application, retired_by: 'coordinator' });
  });

  it.each([LOGINS.pgxa_application, LOGINS.pgxa_recovery])(
    '%s: every operation of the decision log',
    async (user) => {
      const one = await open(user);
      try {
        const epoch = newEpoch();
        await one.registerCoordinator({ epoch, name: user, host: 'h', pid: 1, version: '0' });
        expect(await one.heartbeat(epoch)).toBe(true);
        const request = commitRequest(epoch, { idempotencyKey: user });
        expect(await one.decide(request)).toEqual({ kind: 'commit' });
        expect(await one.findByIdempotencyKey(user)).toBe(request.transactionId);
        // On days that have no partition yet, decided and settled.
        const farDays = user === LOGINS.pgxa_application ? [30, 40] : [50, 60];
        const [soon, later] = farDays.map((days) =>
          uuidv7({ msecs: Date.now() + days * 86_400_000 }),
        ) as [string, string];
        expect(await one.decide(commitRequest(epoch, { transactionId: soon }))).toEqual({
          kind: 'commit',
        });
        const farAbort = await one.settle([{ transactionId: later, epoch }], 'recovery');
        expect(farAbort.get(later)?.decision).toBe('abort');
        expect(await one.forgottenBefore()).toBeUndefined();
        await one.requestRecovery('orders');
        const aborted = { transactionId: newId(), epoch };
        expect((await one.settle([aborted], 'recovery')).size).toBe(1);
        expect((await one.epochsOf([epoch])).get(epoch)?.retired).toBe(false);
        expect(await one.registerParticipant(user, somewhere, 'd')).toBeUndefined();
        expect(await one.registerParticipant(user, somewhere, 'd')).toBeUndefined();
        const other = { ...somewhere, systemIdentifier: '2' };
        expect(await one.registerParticipant(user, other, 'd')).toContain('system 1');
        const heuristic = { gid: user, participant: 'p', evidence: 'e', foundBy: user } as const;
        expect(
          await one.recordHeuristic({
            ...heuristic,
            transactionId: aborted.transactionId,
            decision: 'abort',
            kind: 'hazard',
          }),
        ).toBe(true);
        await one.endEpoch(epoch);
        expect(await one.retire(epoch, 1_000)).toBe(true);
      } finally {
        await one.close();
      }
      expect(
        await server.query(log, 'select role_name from pgxa.audit where actor = $1', [user]),
      ).toEqual([{ role_name: user }]);
    },
  );

  it('recovery: every operation of a daemon on the log', async () => {
    const name = LOGINS.pgxa_recovery;
    const daemonLog = new PostgresDaemonLog({
      settings: { connectionString: asUser(name) },
      name,
      connectTimeoutMs: 5_000,
      runtime: systemRuntime,
    });
    try {
      const lease = { names: ['participant p'], holder: name, holderId: name, leaseMs: 60_000 };
      expect(await daemonLog.lease(lease)).toMatchObject([{ isOurs: true, term: '1' }]);
      await daemonLog.release(lease.names, name);
      expect(await daemonLog.retireSilent(3_600_000)).toEqual([]);
      const registered = await daemonLog.serverBehind(name);
      expect(registered).toEqual({ systemIdentifier: '2', databaseOid: somewhere.databaseOid });
      const noted = {
        participant: name,
        systemIdentifier: '2',
        databaseOid: somewhere.databaseOid,
        oldest: undefined,
        ageMs: 0,
        timeline: '00000001',
      };
      await daemonLog.noteListings([noted]);
      const failure = { gid: 'g', transactionId: newId(), attempts: 4, error: 'e', nextInMs: 1 };
      await daemonLog.noteFailures(name, name, [failure]);
      await daemonLog.noteFailures(name, name, [{ ...failure, attempts: 5 }]);
      expect(
        await server.query(log, 'select attempts from pgxa.failed_attempt where daemon = $1', [
          name,
        ]),
      ).toEqual([{ attempts: 5 }]);
      await daemonLog.noteFailures(name, name, []);
      expect(await server.query(log, 'select 1 from pgxa.failed_attempt')).toEqual([]);
      const server2 = { ...somewhere, systemIdentifier: '2' };
      expect(await daemonLog.listedTimeline(name, server2)).toMatchObject({ timeline: '00000001' });
      expect(
        await daemonLog.decidedElsewhere({
          participant: name,
          server: server2,
          before: undefined,
          withinMs: 60_000,
        }),
      ).toMatchObject({ branches: [] });
      const old = uuidv7({ msecs: Date.now() - 9 * 86_400_000 });
      await server.query(log, 'select pgxa.make_partition(pgxa.moment_of($1))', [old]);
      await server.query(log, `update pgxa.participant set listed_at = clock_timestamp()`);
      expect((await daemonLog.keepHouse(7)).dropped).toHaveLength(1);
    } finally {
      await daemonLog.close();
    }
  });

  it.each([
    ['pgxa_application', `select pgxa.drop_oldest_day('7 days', now())`],
    ['pgxa_application', 'select pgxa.make_partitions(100)'],
    ['pgxa_operator', `select pgxa.drop_oldest_day('7 days', now())`],
    ['pgxa_monitor', 'select pgxa.make_partition(now())'],
    ['pgxa_application', `update pgxa.participant set listed_at = now()`],
    ['pgxa_application', `update pgxa.lease set holder = 'me'`],
    ['pgxa_application', `delete from pgxa.failed_attempt`],
    ['pgxa_operator', `update pgxa.failed_attempt set error = ''`],
    ['pgxa_application', `update pgxa.horizon set forgotten_before = now()`],
    ['pgxa_recovery', `update pgxa.horizon set forgotten_before = now()`],
    ['pgxa_recovery', 'update pgxa.participant set retired_at = now()'],
    ['pgxa_application', `update pgxa.decision set outcome = 'abort'`],
    ['pgxa_application', 'delete from pgxa.decision'],
    ['pgxa_application', 'truncate pgxa.decision'],
    ['pgxa_application', 'delete from pgxa.idempotency'],
    ['pgxa_application', 'update pgxa.audit set actor = null'],
    ['pgxa_application', 'delete from pgxa.audit'],
    ['pgxa_application', 'truncate pgxa.audit'],
    ['pgxa_application', 'truncate pgxa.heuristic'],
    ['pgxa_application', 'delete from pgxa.coordinator'],
    [
      'pgxa_application',
      `update pgxa.heuristic set acknowledged_at = now(), acknowledged_by = 'x'`,
    ],
    ['pgxa_application', `insert into pgxa.audit (actor, action, role_name) values ('a','b','c')`],
    ['pgxa_application', 'update pgxa.coordinator set retired_at = null, retired_by = null'],
    ['pgxa_application', 'drop trigger decision_is_write_once on pgxa.decision'],
    ['pgxa_application', 'create table pgxa.mine (a int)'],
    ['pgxa_recovery', 'delete from pgxa.decision'],
    ['pgxa_recovery', `update pgxa.decision set outcome = 'abort'`],
    ['pgxa_recovery', 'delete from pgxa.audit'],
    ['pgxa_operator', `update pgxa.decision set outcome = 'abort'`],
    ['pgxa_operator', 'delete from pgxa.decision'],
    ['pgxa_operator', 'delete from pgxa.audit'],
    ['pgxa_operator', 'update pgxa.heuristic set evidence = null'],
    ['pgxa_operator', 'update pgxa.coordinator set heartbeat_at = now()'],
    ['pgxa_monitor', `update pgxa.coordinator set heartbeat_at = now()`],
    ['pgxa_monitor', 'delete from pgxa.decision'],
    ['pgxa_monitor', `insert into pgxa.audit (actor, action) values ('a', 'b')`],
    [
      'pgxa_monitor',
      `insert into pgxa.decision (transaction_id, epoch, outcome, decided_by)
       values (gen_random_uuid(), 'e', 'abort', 'operator')`,
    ],
  ] as const)('%s may not: %s', async (group, text) => {
    // There is something that it would change.
    expect(await server.query(log, 'select 1 from pgxa.decision')).not.toEqual([]);
    expect(await server.query(log, 'select 1 from pgxa.heuristic')).not.toEqual([]);
    await expect(run(LOGINS[group], text)).rejects.toMatchObject({ code: '42501' });
  });

  it.each([
    [`update pgxa.decision set outcome = 'abort'`, 'decision_is_write_once'],
    ['truncate pgxa.decision', 'decision_is_not_truncated'],
    ['delete from pgxa.decision', 'decision_is_kept'],
    [`update pgxa.idempotency set key = key || '!'`, 'idempotency_is_write_once'],
    ['delete from pgxa.audit', 'audit_is_append_only'],
    [`update pgxa.installation set id = '000000000000'`, 'installation_is_fixed'],
    [
      'update pgxa.coordinator set retired_at = null, retired_by = null',
      'coordinator_retirement_is_final',
    ],
  ])('not even the owner of the log may, a trigger refuses: %s', async (text, trigger) => {
    await expect(run('log_owner', text)).rejects.toMatchObject({
      code: '42501',
      message: expect.stringContaining(trigger) as string,
    });
  });

  it('operator decides, audits and acknowledges; an acknowledgement is final', async () => {
    const user = LOGINS.pgxa_operator;
    await run(
      user,
      `insert into pgxa.decision (transaction_id, epoch, outcome, decided_by)
       values ('${newId()}', 'e', 'abort', 'operator');
       insert into pgxa.audit (actor, action, reason) values ('alice', 'force', 'paged')`,
    );
    const acknowledge = `update pgxa.heuristic set acknowledged_at = now(),
      acknowledged_by = 'alice', acknowledged_reason = 'repaired by hand'`;
    expect((await run(user, acknowledge)).rowCount).toBeGreaterThan(0);
    await expect(run(user, acknowledge)).rejects.toMatchObject({ code: '42501' });
  });

  it('monitor reads everything, and cannot be given to a transaction manager', async () => {
    const tables = await server.query(
      log,
      `select relname::text as name from pg_class
        where relnamespace = 'pgxa'::regnamespace and relkind in ('r', 'p')
          and not relispartition`,
    );
    expect(tables.length).toBeGreaterThan(7);
    for (const { name } of tables) {
      await run(LOGINS.pgxa_monitor, `select * from pgxa.${String(name)}`);
    }
    await expect(
      createTransactionManager(config(LOGINS.pgxa_monitor, 'shop')),
    ).rejects.toMatchObject({ code: 'PGXA_LOG_NOT_USABLE' });
  });

  it('a role without any grant on the log is told which one it lacks', async () => {
    await expect(createTransactionManager(config('shop', 'shop'))).rejects.toMatchObject({
      code: 'PGXA_LOG_NOT_USABLE',
      message: expect.stringContaining('pgxa_application') as string,
    });
  });

  /**
   * Two participants, branches of role shop, decided commit and left by their coordinator. A recovery login
   * that lacks the grant leaves both and says why; with it, it commits both, and still cannot read
   * one row of the application.
   */
  it('recovery finishes the branches of the application by set role, and reads nothing', async () => {
    let resume = (): void => undefined;
    let reached = (): void => undefined;
    const held = new Promise<void>((resolve) => (resume = resolve));
    const decided = new Promise<void>((resolve) => (reached = resolve));
    const coordinator = await bank.manager(config(LOGINS.pgxa_application, 'shop'), {
      faultHook: async (point) => {
        if (point !== 'after-decide') return;
        reached();
        await held;
      },
    });
    let id = '';
    const running = coordinator.run(async (tx) => {
      ({ id } = tx);
      await tx.on('orders').query('insert into marker values ($1)', [tx.id]);
      await tx.on('billing').query('insert into marker values ($1)', [tx.id]);
    });
    await decided;
    expect(await server.query(log, 'select owner::text from pg_prepared_xacts')).toEqual([
      { owner: 'shop' },
      { owner: 'shop' },
    ]);

    await server.query('postgres', 'create role shop_recovery login');
    const recovery = await bank.manager(config(LOGINS.pgxa_recovery, 'shop_recovery'));
    const refused = await recovery.recover();
    expect(refused).toMatchObject({ committed: 0, left: 2, complete: false });
    expect(refused.participants['orders']?.left).toMatchObject([
      {
        transactionId: id,
        error: { message: expect.stringContaining('grant "shop" to') as string },
      },
    ]);
    expect(await bank.inDoubt()).toHaveLength(2);

    const grant = (await script('participant-roles.sql'))
      .replace("'my_application'", "'shop'")
      .replace("'my_recovery'", "'shop_recovery'");
    await run('postgres', grant, 'postgres');
    await run('postgres', grant, 'postgres');
    expect(await recovery.recover()).toMatchObject({ committed: 2, left: 0, complete: true });
    expect(await bank.inDoubt()).toEqual([]);
    for (const one of bank.participants) {
      expect(await one.query('select 1 from marker where transaction_id = $1', [id])).toHaveLength(
        1,
      );
      await expect(
        run('shop_recovery', 'select * from account', one.database),
      ).rejects.toMatchObject({
        code: '42501',
      });
      await expect(
        run('shop_recovery', 'insert into marker values (gen_random_uuid())', one.database),
      ).rejects.toMatchObject({ code: '42501' });
    }
    resume();
    await running;
    expect(
      await server.query(log, 'select * from pgxa.heuristic where gid like $1', ['pgxa_%']),
    ).toEqual([]);
  });
});
