/**
 * `pgxa doctor` on real servers: each test makes one thing wrong and expects the finding, what to do, and the exit
 * code. What no server can be made to show: test/triage/doctor-*.test.ts. Standbys: standby.test.ts.
 */
import { createServer, type AddressInfo, type Socket } from 'node:net';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { parse } from 'yaml';

import {
  migrateDecisionLog,
  type Diagnosis,
  type Finding,
  type RecoveryDaemon,
} from '../../src/index.ts';
import { startDaemon } from '../support/bank-daemon.ts';
import { findingsOf as of, wordsOf as saying } from '../support/diagnosis.ts';
import { BUILD_TIMEOUT_MS, builtCli } from '../support/built-cli.ts';
import { plant } from '../support/planted.ts';
import { Pooler } from '../support/pooler.ts';
import { startControlledServer, type TestServer } from '../support/servers.ts';
import { createTriageBank, type Plain, type TriageBank } from '../support/triage-bank.ts';
import { waitFor } from '../support/wait.ts';

// Each command is a process of its own, and the machine may be busy.
vi.setConfig({ testTimeout: 120_000, hookTimeout: BUILD_TIMEOUT_MS });

describe('pgxa doctor', () => {
  let server: TestServer;
  let bank: TriageBank;
  let daemon: RecoveryDaemon | undefined;

  beforeAll(async () => {
    await builtCli();
    server = await startControlledServer({ settings: { max_prepared_transactions: '5' } });
    await server.query('postgres', 'create role shop login');
    await server.query('postgres', 'create role recovery login');
  });
  afterAll(() => server.destroy());
  beforeEach(async () => {
    bank = await createTriageBank({ servers: [server], logServer: server });
  });
  afterEach(async () => {
    await daemon?.stop();
    daemon = undefined;
    await bank.close();
  });

  const places = (user = 'postgres'): Record<string, string> =>
    Object.fromEntries(
      bank.participants.map(({ name, database }) => [
        name,
        server.connectionString(database, { user }),
      ]),
    );
  const examine = (...args: readonly string[]) => bank.json<Diagnosis>('doctor', ...args);
  it('finds nothing wrong with programs at work, a daemon, and servers that are durable', async () => {
    const tm = await bank.manager({ coordinator: 'checkout' });
    await tm.run(async (tx) => {
      await tx.on('orders').query('insert into marker values ($1)', [tx.id]);
      await tx.on('billing').query('insert into marker values ($1)', [tx.id]);
    });
    daemon = await startDaemon(bank);
    const { code, data } = await waitFor(
      'the daemon to have noted its lists',
      async () => {
        const end = await examine();
        return of(end.data, 'last_pass').every((one) => one.endsWith('ok')) && end;
      },
      { timeoutMs: 60_000, intervalMs: 500 },
    );
    const bad = data.findings.filter(({ severity }) => severity !== 'ok' && severity !== 'info');
    expect(bad).toEqual([]);
    expect(data).toMatchObject({
      schema: 'pgxa.diagnosis/1',
      outcome: 'fine',
      complete: true,
      counts: { fault: 0, warning: 0 },
    });
    expect(code).toBe(0);
    const looked = new Set(data.findings.map(({ check }) => check));
    for (const check of [
      'fsync',
      'synchronous_commit',
      'full_page_writes',
      'standbys',
      'migrated',
      'log_rights',
      'slots',
      'rights',
      'primary',
      'identity',
      'timeline',
      'version',
      'pooler',
      'clock',
      'lease',
      'last_pass',
      'housekeeping',
      'coordinators',
      'foreign',
      'in_doubt',
      'expiry',
      'timeouts',
    ]) {
      expect(looked).toContain(check);
    }
  });

  it('settings of the server: fsync, full_page_writes, a synchronous standby that is not there', async () => {
    const wrong = {
      fsync: 'off',
      full_page_writes: 'off',
      synchronous_standby_names: 'ghost',
      client_connection_check_interval: '10s',
    };
    const set = async (text: (name: string, value: string) => string): Promise<void> => {
      for (const [name, value] of Object.entries(wrong)) {
        await server.query('postgres', text(name, value));
      }
      await server.query('postgres', 'select pg_reload_conf()');
    };
    await set((name, value) => `alter system set ${name} = '${value}'`);
    try {
      await waitFor('the settings', async () => {
        const [row] = await server.query('postgres', 'show synchronous_standby_names');
        return row?.['synchronous_standby_names'] === 'ghost';
      });
      const { code, data } = await examine();
      expect(code).toBe(1);
      expect(of(data, 'fsync')).toEqual(['billing fault', 'fault', 'orders fault']);
      expect(of(data, 'standbys')).toEqual(['billing fault', 'fault', 'orders fault']);
      expect(of(data, 'full_page_writes')).toEqual([
        'billing warning',
        'orders warning',
        'warning',
      ]);
      expect(saying(data, 'standbys')).toMatch(
        /every commit waits without end -> bring the standby/,
      );
      expect(of(data, 'client_connection_check_interval')).toEqual([]);
    } finally {
      await set((name) => `alter system reset ${name}`);
    }
  });

  it('defaults of the database and of roles: the one that applies to our session, and whose it is', async () => {
    const orders = bank.participant('orders');
    for (const statement of [
      `alter database ${bank.log.database} set synchronous_commit = off`,
      `alter database ${bank.log.database} set idle_session_timeout = 5000`,
      `alter database ${bank.log.database} set default_transaction_read_only = on`,
      `alter role recovery in database ${orders.database} set synchronous_commit = off`,
      `alter database ${orders.database} set idle_in_transaction_session_timeout = 5000`,
      ...(server.major >= 17
        ? [`alter database ${orders.database} set transaction_timeout = 4000`]
        : []),
    ]) {
      await server.query('postgres', statement);
    }
    const config = await bank.writeConfig('recovery.yaml', places('recovery'));
    const { code, data } = await examine('--config', config);
    expect(code).toBe(1);
    expect(of(data, 'read_only')).toEqual(['fault']);
    expect(of(data, 'idle_session_timeout')).toEqual(['warning']);
    expect(of(data, 'synchronous_commit')).toEqual([
      'billing ok',
      'orders warning',
      'warning',
      'warning',
    ]);
    expect(saying(data, 'synchronous_commit')).toMatch(
      /off for recovery, by alter role … in database: .*with one writer is not/,
    );
    expect(saying(data, 'synchronous_commit')).toMatch(/off for postgres, by alter database/);
    expect(of(data, 'idle_in_transaction_session_timeout')).toEqual(['orders warning']);
    if (server.major >= 17) expect(of(data, 'transaction_timeout')).toEqual(['orders warning']);
    // As another login, that of recovery is named all the same: it may be a program's.
    const other = await examine();
    expect(saying(other.data, 'synchronous_commit')).toMatch(
      /off for recovery: transactions of theirs/,
    );
  });

  it('rights: branches of a role that this login may not become, before and after the grant', async () => {
    const orders = bank.participant('orders');
    await orders.query('grant insert on marker to shop');
    const epoch = 'a'.repeat(16);
    const gid = `pgxa_${bank.installation}_${epoch}_01a1fdf0b3dd7031b78706a1f3277536_1`;
    const client = new pg.Client({
      connectionString: server.connectionString(orders.database, { user: 'shop' }),
      application_name: 'pgxa checkout',
    });
    await client.connect();
    const config = await bank.writeConfig('recovery.yaml', places('recovery'));
    try {
      // Its session alone is no branch yet.
      const early = await examine('--config', config);
      expect(of(early.data, 'rights')).toEqual(['billing info', 'orders warning']);
      await plant(orders, gid, server.connectionString(orders.database, { user: 'shop' }));
      const { code, data } = await examine('--config', config);
      expect(code).toBe(1);
      expect(of(data, 'rights')).toEqual(['billing info', 'orders fault']);
      expect(saying(data, 'rights')).toMatch(
        /1 prepared branch of role shop -> grant "shop" to "recovery"/,
      );
      await server.query(
        'postgres',
        server.major >= 16
          ? 'grant shop to recovery with inherit false, set true'
          : 'grant shop to recovery',
      );
      const mended = await examine('--config', config);
      expect(of(mended.data, 'rights')).toEqual(['billing ok', 'orders ok']);
      expect(saying(mended.data, 'rights')).toMatch(/recovery may finish branches of shop/);
    } finally {
      await client.end();
      await server.query('postgres', 'revoke shop from recovery');
    }
  });

  it('a log that is not migrated, and one whose login has no rights there', async () => {
    const empty = await server.createDatabase('empty');
    const unmigrated = await bank.writeConfig(
      'empty.yaml',
      places(),
      server.connectionString(empty),
    );
    const { code, data } = await examine('--config', unmigrated);
    expect(code).toBe(1);
    expect(saying(data, 'migrated')).toMatch(/no schema of pgxa in it -> run "pgxa migrate"/);
    await migrateDecisionLog({ connectionString: server.connectionString(empty) });
    expect(of((await examine('--config', unmigrated)).data, 'migrated')).toEqual(['ok']);
    const url = server.connectionString(bank.log.database, { user: 'shop' });
    const stranger = await bank.writeConfig('stranger.yaml', places(), url);
    const denied = await examine('--config', stranger);
    expect(denied.code).toBe(1);
    expect(saying(denied.data, 'log_rights')).toMatch(/shop may not read the log -> grant pgxa_/);
    const newer = await server.createDatabase('newer');
    await migrateDecisionLog({ connectionString: server.connectionString(newer) });
    await server.query(newer, `insert into pgxa.migrations (id, name, hash) values (99, 'x', 'x')`);
    const ahead = await bank.writeConfig('newer.yaml', places(), server.connectionString(newer));
    expect(saying((await examine('--config', ahead)).data, 'migrated')).toMatch(
      /version 99; this pgxa knows up to \d+ -> upgrade pgxa/,
    );
  });

  it('a wrong password is a fault; silence makes the answer partial, bounded by --timeout, and tells who', async () => {
    const sockets = new Set<Socket>();
    const hanging = createServer((socket) => sockets.add(socket));
    await new Promise<void>((resolve) => hanging.listen(0, '127.0.0.1', resolve));
    const { port } = hanging.address() as AddressInfo;
    const orders = bank.participant('orders').connectionString;
    const config = await bank.writeConfig('hanging.yaml', {
      orders,
      billing: `postgres://u:topsecret@127.0.0.1:${port}/x`,
      ledger: 'postgres://u:topsecret@127.0.0.1:1/x',
    });
    const startedAt = performance.now();
    const { code, data } = await examine('--config', config, '--timeout', '1.5');
    expect(performance.now() - startedAt).toBeLessThan(15_000);
    const log = `postgres://u@127.0.0.1:${port}/log`;
    const mute = await examine(
      '--config',
      await bank.writeConfig('mute.yaml', places(), log),
      '--timeout',
      '2',
    );
    for (const socket of sockets) socket.destroy();
    hanging.close();
    // The participants do not suffer from a log that hangs.
    expect(mute.code).toBe(5);
    expect(of(mute.data, 'no_answer')).toEqual(['fault']);
    expect(of(mute.data, 'rights')).toEqual(['billing ok', 'orders ok']);
    expect(of(mute.data, 'foreign')).toEqual(['billing ok', 'orders ok']);
    expect(code).toBe(5);
    expect(data).toMatchObject({ outcome: 'partial', complete: false });
    expect(of(data, 'no_answer')).toEqual(['billing fault', 'ledger fault']);
    // The others were looked at whole.
    expect(of(data, 'clock')).toEqual(['ok', 'orders ok']);
    expect(JSON.stringify(data)).not.toContain('topsecret');
    await server.query(
      'postgres',
      `create role keyed login in role pgxa_needs_password password 'right-secret'`,
    );
    const wrong = new URL(server.connectionString('postgres', { user: 'keyed' }));
    wrong.password = 'wrong-secret';
    const locked = await bank.writeConfig('locked.yaml', { orders, billing: wrong.href });
    const refused = await examine('--config', locked);
    expect(refused.code).toBe(1);
    expect(saying(refused.data, 'reachable')).toMatch(
      /lets nobody in: .* -> check user and password/,
    );
    expect(JSON.stringify(refused.data)).not.toContain('wrong-secret');
    const lost = await bank.writeConfig('lost.yaml', { orders }, 'postgres://u@127.0.0.1:1/log');
    const without = await examine('--config', lost);
    expect(without.code).toBe(5);
    expect(of(without.data, 'no_answer')).toEqual(['fault']);
  });

  it.each(['session', 'transaction'] as const)('a pooler in %s mode', async (mode) => {
    await using pooler = await Pooler.inFrontOf(server.connectionString(), mode);
    const through = Object.fromEntries(
      Object.entries(places()).map(([name, url]) => [name, pooler.through(url)]),
    );
    const log = pooler.through(bank.log.connectionString);
    const { data } = await examine('--config', await bank.writeConfig('pooled.yaml', through, log));
    // The login is a superuser: it needs no SET ROLE.
    const severity = mode === 'session' ? 'info' : 'warning';
    const expected = [`billing ${severity}`, `orders ${severity}`, severity];
    expect(of(data, 'pooler')).toEqual(expected.sort());
    expect(of((await examine()).data, 'pooler')).toEqual(['billing ok', 'ok', 'orders ok']);
  });

  it('says the same in every form: the table has what is not right, and what to do', async () => {
    await bank.plant({ coordinator: 'unregistered' });
    const { data } = await examine();
    const table = await bank.pgxa('doctor');
    expect(table.code).toBe(1);
    expect(table.stderr).toMatch(/^1 fault, \d+ warnings?, \d+ fine, \d+ notes?\n$/);
    expect(table.stdout).toMatch(/^fault {4}decision log: in_doubt: .*\n {9}-> pgxa explain /);
    expect(table.stdout).toMatch(/^ok {7}decision log: reachable, version, /m);
    const wide = (await bank.pgxa('doctor', '-o', 'wide')).stdout;
    expect(wide).toMatch(/^ok {7}participant orders: fsync: fsync is on$/m);
    const yaml = parse((await bank.pgxa('doctor', '-o', 'yaml')).stdout) as typeof data;
    const checks = (findings: readonly Plain<Finding>[]): unknown[] =>
      findings.map(({ check, severity, participant }) => ({ check, severity, participant }));
    expect(checks(yaml.findings)).toEqual(checks(data.findings));
    const lines = (await bank.pgxa('doctor', '-o', 'jsonl')).stdout.trimEnd().split('\n');
    const parsed = lines.map((line) => JSON.parse(line) as Plain<Finding> & { schema: string });
    expect(checks(parsed)).toEqual(checks(data.findings));
    expect(new Set(parsed.map(({ schema }) => schema))).toEqual(new Set(['pgxa.diagnosis/1']));
  });

  it.each([
    [['doctor', 'orders'], /too many arguments/],
    [['doctor', '--timeout', '0'], /expected seconds, more than 0/],
    [['doctor', '-o', 'xml'], /Allowed choices are table, wide, json, jsonl, yaml/],
    [['doctor', '--config', '/nowhere/pgxa.yaml'], /nowhere\/pgxa\.yaml.*cannot be read/s],
  ])('wrong usage is exit code 2, and says what was expected: %s', async (args, expected) => {
    const end = await bank.pgxa(...args);
    expect(end).toMatchObject({ code: 2, stdout: '' });
    expect(end.stderr).toMatch(expected);
  });

  it('max_prepared_transactions = 0: no branch can vote', async () => {
    await server.reconfigure({ max_prepared_transactions: '0' });
    try {
      const { code, data } = await examine();
      expect(code).toBe(1);
      expect(of(data, 'slots')).toEqual(['billing fault', 'orders fault']);
      expect(saying(data, 'slots')).toMatch(/max_prepared_transactions is 0/);
    } finally {
      await server.reconfigure({ max_prepared_transactions: '5' });
    }
  });
});
