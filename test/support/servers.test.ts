import pg from 'pg';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { startServer, type TestServer } from './servers.ts';
import { createDatabases, sharedServer } from './shared-server.ts';
import { waitFor } from './wait.ts';

/** A test that the provider cannot do says so on the console and checks that the server knows it. */
function without(
  server: TestServer,
  capability: keyof TestServer['capabilities'],
  what: string,
): boolean {
  if (server.capabilities[capability]) return false;
  console.warn(
    `NOT TESTED with provider ${server.provider}, which has no "${capability}": ${what}`,
  );
  return true;
}

async function prepare(server: TestServer, database: string, gid: string): Promise<void> {
  const client = new pg.Client(server.connectionString(database));
  client.on('error', () => undefined);
  await client.connect();
  try {
    await client.query('create table if not exists item (id text)');
    await client.query('begin');
    await client.query('insert into item values ($1)', [gid]);
    await client.query(`prepare transaction ${pg.escapeLiteral(gid)}`);
  } finally {
    await client.end();
  }
}

async function gids(server: TestServer): Promise<unknown[]> {
  const rows = await server.query('postgres', 'select gid from pg_prepared_xacts order by gid');
  return rows.map((row) => row['gid']);
}

describe('a server of its own', () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startServer({ name: 'one', settings: { max_prepared_transactions: '20' } });
  });
  afterAll(async () => {
    await server.destroy();
  });

  test('is the provider and version that was asked for, with the settings asked for', async () => {
    expect(server.provider).toBe(process.env['PGXA_TEST_PROVIDER'] ?? 'embedded');
    expect(server.major).toBeGreaterThanOrEqual(14);
    if (server.provider === 'embedded' && process.env['PGXA_TEST_POSTGRES_BIN'] === undefined) {
      expect(server.major).toBe(Number(process.env['PGXA_TEST_POSTGRES_MAJOR'] ?? 18));
    }
    const [row] = await server.query('postgres', 'show max_prepared_transactions');
    const slots = Number(row?.['max_prepared_transactions']);
    if (server.capabilities.settings) expect(slots).toBe(20);
    else expect(slots).toBeGreaterThanOrEqual(20);
  });

  test('makes databases with different names and tells them apart', async () => {
    const [a, b] = await Promise.all([server.createDatabase('a'), server.createDatabase('b')]);
    const name = 'select current_database() as name, $1::int as value';
    expect(await server.query(a, name, [1])).toEqual([{ name: a, value: 1 }]);
    expect(await server.query(b, name, [2])).toEqual([{ name: b, value: 2 }]);
  });

  test('rolls back all prepared transactions of its databases', async () => {
    const [a, b] = await Promise.all([server.createDatabase(), server.createDatabase()]);
    await prepare(server, a, `${server.runId} it's one`);
    await prepare(server, b, `${server.runId} two`);
    expect(await server.rollbackAllPrepared()).toBe(2);
    expect(await server.rollbackAllPrepared()).toBe(0);
  });

  test('asks members of pgxa_needs_password for the right password', async () => {
    if (server.provider === 'external') {
      console.warn('NOT TESTED with provider external: its access rules are not ours');
      expect(server.capabilities.settings).toBe(false);
      return;
    }
    await server.query(
      'postgres',
      `create role guarded login password 'right' in role pgxa_needs_password`,
    );
    const connect = async (password: string): Promise<void> => {
      const client = new pg.Client(
        server.connectionString('postgres', { user: 'guarded', password }),
      );
      await client.connect();
      await client.end();
    };
    await connect('right');
    await expect(connect('wrong')).rejects.toMatchObject({ code: '28P01' });
  });

  test.for(['kill9', 'immediate', 'fast'] as const)(
    'keeps a prepared transaction over %s and start',
    async (way) => {
      if (without(server, 'processControl', `prepared transactions over ${way}`)) return;
      const database = await server.createDatabase();
      await prepare(server, database, `over ${way}`);
      const address = server.connectionString(database);
      if (way === 'kill9') await server.kill9();
      else await server.stop(way);
      await expect(server.query(database, 'select 1')).rejects.toThrow();
      await server.start();
      expect(server.connectionString(database)).toBe(address);
      expect(await gids(server)).toEqual([`over ${way}`]);
      expect(await server.rollbackAllPrepared()).toBe(1);
    },
  );

  test('restarts with changed settings', async () => {
    if (without(server, 'settings', 'reconfigure')) return;
    const settings = { max_prepared_transactions: '21', log_line_prefix: `it's a \\ prefix ` };
    await server.reconfigure(settings);
    const [row] = await server.query(
      'postgres',
      `select current_setting('max_prepared_transactions') as max_prepared_transactions,
              current_setting('log_line_prefix') as log_line_prefix`,
    );
    expect(row).toEqual(settings);
  });

  test('hangs while paused and goes on when resumed', async () => {
    if (without(server, 'signals', 'pause and resume')) return;
    const client = new pg.Client(server.connectionString());
    await client.connect();
    server.pause();
    let answered = false;
    const answer = client.query('select 1').then(() => (answered = true));
    // No condition tells that something does not happen: a short bound has to do.
    await expect(
      waitFor('an answer from a paused server', () => answered, { timeoutMs: 200 }),
    ).rejects.toThrow('an answer from a paused server');
    server.resume();
    expect(await answer).toBe(true);
    await client.end();
  });

  test('signals one backend, and refuses a process that is not its own', async () => {
    if (without(server, 'signals', 'signalBackend')) return;
    const client = new pg.Client(server.connectionString());
    const lost = new Promise((resolve) => client.on('error', resolve));
    await client.connect();
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
    server.signalBackend(rows[0]?.pid ?? 0, 'SIGTERM');
    expect(await lost).toMatchObject({ code: '57P01' });
    expect(() => {
      server.signalBackend(process.pid, 'SIGTERM');
    }).toThrow('is not one of the server');
  });

  test('has a standby that streams and can be promoted', async () => {
    if (without(server, 'standby', 'createStandby and promote')) return;
    const database = await server.createDatabase();
    await server.query(database, 'create table item (id int)');
    const standby = await server.createStandby({ name: 'second' });
    try {
      const recovering = 'select pg_is_in_recovery() as answer';
      expect(await standby.query('postgres', recovering)).toEqual([{ answer: true }]);
      await server.query(database, 'insert into item values (1)');
      await waitFor('the row on the standby', async () => {
        return (await standby.query(database, 'select 1 from item')).length === 1;
      });
      await standby.promote();
      expect(await standby.query('postgres', recovering)).toEqual([{ answer: false }]);
      await standby.query(database, 'insert into item values (2)');
    } finally {
      await standby.destroy();
    }
  });
});

describe('the shared server', () => {
  test('has room for everybody, and databases for this file alone', async () => {
    const shared = await sharedServer();
    const [row] = await shared.query(
      'postgres',
      `select current_setting('max_prepared_transactions')::int as slots,
              current_setting('max_connections')::int as connections`,
    );
    expect(row?.['slots']).toBeGreaterThanOrEqual(200);
    expect(row?.['connections']).toBeGreaterThanOrEqual(300);
    const names = await createDatabases(3, 'mine');
    expect(new Set(names).size).toBe(3);
    for (const name of names) expect(name).toMatch(`mine_${inject('sharedServer').runId}_`);
  });

  test('rolls back only what is prepared in databases of this file', async () => {
    const shared = await sharedServer();
    const [mine = ''] = await createDatabases(1);
    const other = `other_${mine}`;
    await shared.query('postgres', `create database ${other}`);
    await prepare(shared, mine, `mine ${mine}`);
    await prepare(shared, other, `other ${mine}`);
    expect(await shared.rollbackAllPrepared()).toBe(1);
    expect(await gids(shared)).toContain(`other ${mine}`);
    await shared.query(other, `rollback prepared 'other ${mine}'`);
    await shared.query('postgres', `drop database ${other}`);
  });

  test('lets nobody stop it', async () => {
    const shared = await sharedServer();
    expect(shared.capabilities).toEqual({
      processControl: false,
      signals: false,
      settings: false,
      standby: false,
    });
    await expect(shared.kill9()).rejects.toThrow('all test files share it');
    await expect(shared.destroy()).rejects.toThrow('all test files share it');
    expect(() => {
      shared.pause();
    }).toThrow('all test files share it');
  });
});

test('an unknown provider is refused', async () => {
  const before = process.env['PGXA_TEST_PROVIDER'];
  process.env['PGXA_TEST_PROVIDER'] = 'imaginary';
  try {
    await expect(startServer()).rejects.toThrow('must be embedded, testcontainers or external');
  } finally {
    if (before === undefined) delete process.env['PGXA_TEST_PROVIDER'];
    else process.env['PGXA_TEST_PROVIDER'] = before;
  }
});
