/**
 * What a program can get wrong, and what can be wrong around it. Every case: a typed error with a code, within
 * seconds, nothing left prepared, no connection left, no password told.
 */
import { createServer, type AddressInfo } from 'node:net';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import {
  ConfigError,
  migrateDecisionLog,
  MisuseError,
  type PoolLike,
  RolledBackError,
  type TransactionScope,
} from '../src/index.ts';
import { checkMarkers } from './support/atomicity.ts';
import { createBank, type Bank } from './support/bank.ts';
import { freePort } from './support/free-port.ts';
import { expectNothingLeft, refusal, SECRET } from './support/refusal.ts';
import { startControlledServer, type TestServer } from './support/servers.ts';
import { waitFor } from './support/wait.ts';

/** A connection string as settings, beside which a user and a password can be given. */
function apart(connectionString: string): { host: string; port: number; database: string } {
  const { hostname, port, pathname } = new URL(connectionString);
  return { host: hostname, port: Number(port), database: pathname.slice(1) };
}

const mark = async (tx: TransactionScope): Promise<string> => {
  await tx.on('orders').query('insert into marker values ($1)', [tx.id]);
  await tx.on('billing').query('insert into marker values ($1)', [tx.id]);
  return tx.id;
};

/** Two participants and the log on one server that is not stopped here. */
describe('bad input', () => {
  let server: TestServer;
  let bank: Bank;
  beforeAll(async () => {
    server = await startControlledServer({ settings: { max_prepared_transactions: '2' } });
    bank = await createBank({ servers: [server], logServer: server });
    await server.query(
      'postgres',
      `create role keyed login password 'right' in role pgxa_needs_password`,
    );
  });
  afterEach(async () => {
    await bank.close();
    await expectNothingLeft(bank);
  });
  afterAll(() => server.destroy());

  const place = (
    name: 'log' | 'orders' | 'billing',
    options: { user?: string; password?: string } = {},
  ): { connectionString: string } => {
    const { database } = name === 'log' ? bank.log : bank.participant(name);
    return { connectionString: server.connectionString(database, options) };
  };
  const both = () => ({ orders: place('orders'), billing: place('billing') });

  it('unknown participant: MisuseError that names the known ones, the others are rolled back', async () => {
    const tm = await bank.manager();
    const error = await refusal(() =>
      tm.run(async (tx) => {
        await tx.on('orders').query('insert into marker values ($1)', [tx.id]);
        await tx.on('order').query('insert into marker values ($1)', [tx.id]);
      }),
    );
    expect(error).toBeInstanceOf(MisuseError);
    expect(error).toMatchObject({ code: 'PGXA_UNKNOWN_PARTICIPANT' });
    expect(error.message).toContain('"orders", "billing"');
    expect(await bank.participant('orders').query('select * from marker')).toEqual([]);
    await tm.close();
  });

  it('wrong arguments of run, begin and outcomeOf: MisuseError', async () => {
    const tm = await bank.manager();
    for (const call of [
      () => tm.run({ label: 'no function' } as never, undefined as never),
      () => tm.run({ timeoutMs: 0 }, () => 1),
      () => tm.begin({ retry: { attempts: 2 } } as never),
      () => tm.outcomeOf('order-456'),
    ]) {
      expect(await refusal(call)).toMatchObject({ code: 'PGXA_INVALID_ARGUMENT' });
    }
    await tm.close();
    expect(await refusal(() => tm.run(() => 1))).toMatchObject({ code: 'PGXA_CLOSED' });
  });

  it.each([
    ['wrong password', { user: 'keyed', password: SECRET }, '28P01', 'check user and password'],
    ['no password', { user: 'keyed' }, undefined, 'none is configured'],
    ['unknown user', { user: 'nobody-here' }, '28000', 'check user name'],
  ])('%s for a participant: refused at start', async (_, options, code, hint) => {
    const participants = { ...both(), billing: place('billing', options) };
    const error = await refusal(() => bank.manager({ participants }));
    expect(error).toBeInstanceOf(ConfigError);
    expect(error).toMatchObject({ code: 'PGXA_PARTICIPANT_NOT_USABLE', participant: 'billing' });
    expect(error.message).toContain(hint);
    if (code !== undefined) expect(error.cause).toMatchObject({ code });
  });

  it('wrong password for the log: refused at start and by migrate', async () => {
    const decisionLog = place('log', { user: 'keyed', password: SECRET });
    for (const call of [
      () => bank.manager({ decisionLog }),
      () => migrateDecisionLog(decisionLog),
    ]) {
      expect(await refusal(call)).toMatchObject({
        code: 'PGXA_LOG_UNREACHABLE',
        cause: { code: '28P01' },
      });
    }
  });

  it('a password function that fails: refused at start', async () => {
    const password = (): Promise<string> => Promise.reject(new Error('vault is sealed'));
    const error = await refusal(() =>
      bank.manager({
        decisionLog: { ...apart(bank.log.connectionString), user: 'keyed', password },
      }),
    );
    expect(error).toMatchObject({ code: 'PGXA_LOG_UNREACHABLE' });
    expect(error.message).toContain('vault is sealed');
  });

  it('wrong database names: refused at start, all of them named at once', async () => {
    const nowhere = { connectionString: server.connectionString('nowhere') };
    const error = await refusal(() =>
      bank.manager({ participants: { orders: nowhere, billing: nowhere } }),
    );
    expect(error).toMatchObject({ code: 'PGXA_PARTICIPANT_NOT_USABLE' });
    expect(error.message).toMatch(/"orders".*3D000.*"billing".*3D000/);
    expect(await refusal(() => bank.manager({ decisionLog: nowhere }))).toMatchObject({
      code: 'PGXA_LOG_UNREACHABLE',
      cause: { code: '3D000' },
    });
  });

  it('two participants that are one database: refused at start', async () => {
    const participants = { ...both(), copy: place('orders', { user: 'postgres' }) };
    const error = await refusal(() => bank.manager({ participants }));
    expect(error).toMatchObject({ code: 'PGXA_PARTICIPANTS_NOT_DISTINCT' });
    expect(error.message).toMatch(/"orders".*"copy"|"copy".*"orders"/);
  });

  it('a log that is not migrated: refused at start', async () => {
    const decisionLog = place('billing');
    const error = await refusal(() => bank.manager({ decisionLog }));
    expect(error).toMatchObject({ code: 'PGXA_LOG_NOT_MIGRATED' });
  });

  it('all prepared slots taken by somebody else: retryable, with 53200, and works once they are free', async () => {
    const tm = await bank.manager();
    await server.query('postgres', `begin; create table a (); prepare transaction 'foreign'`);
    const error = await refusal(() => tm.run(mark));
    expect(error).toBeInstanceOf(RolledBackError);
    expect(error).toMatchObject({
      code: 'PGXA_VOTE_NO',
      retryable: true,
      cause: { code: '53200' },
    });
    expect(error.message).toContain('max_prepared_transactions');
    expect(await bank.inDoubt()).toEqual([]);
    expect((await checkMarkers(bank, 2)).whole.size).toBe(0);
    await server.query('postgres', `rollback prepared 'foreign'`);
    const id = await tm.run({ retry: { attempts: 5 } }, mark);
    expect((await checkMarkers(bank, 2)).whole).toEqual(new Set([id]));
    await tm.close();
  });

  it('a pool that does not tell where its database is: refused, unless connectionString is beside it', async () => {
    const own = new pg.Pool({ ...place('orders'), application_name: 'mine' });
    const pool = { connect: () => own.connect() } as unknown as PoolLike;
    const error = await refusal(() =>
      bank.manager({ participants: { ...both(), orders: { pool } } }),
    );
    expect(error).toMatchObject({ code: 'PGXA_CONFIG_INVALID', participant: 'orders' });
    expect(error.message).toContain('connectionString');
    const tm = await bank.manager({
      participants: { ...both(), orders: { pool, ...place('orders') } },
    });
    const id = await tm.run(mark);
    expect((await checkMarkers(bank, 2)).whole).toContain(id);
    await tm.close();
    await own.end();
  });

  it("the program's own pg Pool: used for its branches, usable beside them, and not ended by close()", async () => {
    const pool = new pg.Pool({ ...place('orders'), application_name: 'mine', max: 3 });
    const tm = await bank.manager({ participants: { ...both(), orders: { pool } } });
    const id = await tm.run(async (tx) => {
      await mark(tx);
      const { rows } = await tx
        .on('orders')
        .query(`select current_setting('application_name') as n`);
      expect(rows).toEqual([{ n: 'mine' }]);
      return tx.id;
    });
    await tm.close();
    expect(pool.ended).toBe(false);
    const { rows } = await pool.query('select 1 from marker where transaction_id = $1', [id]);
    expect(rows).toHaveLength(1);
    expect([pool.totalCount - pool.idleCount, pool.waitingCount]).toEqual([0, 0]);
    await pool.end();
  });

  it('a log or a participant where nothing listens, or something that never answers: in time', async () => {
    const silent = createServer((socket) => socket.on('error', () => undefined).resume());
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const ports = [await freePort(), (silent.address() as AddressInfo).port];
    for (const port of ports) {
      const dead = { host: '127.0.0.1', port, database: 'x', password: SECRET };
      const config = { connectTimeoutMs: 500 };
      const error = await refusal(() => bank.manager({ ...config, decisionLog: dead }));
      expect(error).toMatchObject({ code: 'PGXA_LOG_UNREACHABLE' });
      const tm = await bank.manager({ ...config, participants: { ...both(), billing: dead } });
      const failed = await refusal(() => tm.run(mark));
      expect(failed).toMatchObject({
        code: 'PGXA_PARTICIPANT_UNAVAILABLE',
        participant: 'billing',
        retryable: true,
      });
      await tm.close();
    }
    // Ends only when every connection to it has ended.
    await new Promise((resolve) => silent.close(resolve));
  });
});

describe('servers that cannot take part', () => {
  it('max_prepared_transactions = 0: refused at start, with what to set', async () => {
    const server = await startControlledServer({ settings: { max_prepared_transactions: '0' } });
    const bank = await createBank({ servers: [server], logServer: server });
    const error = await refusal(() => bank.manager());
    expect(error).toMatchObject({ code: 'PGXA_PARTICIPANT_NOT_USABLE' });
    expect(error.message).toContain('max_prepared_transactions is 0');
    await expectNothingLeft(bank);
    await server.destroy();
  });

  it('a standby: refused as participant, as log, and for migrations', async () => {
    const primary = await startControlledServer();
    const bank = await createBank({ servers: [primary], logServer: primary });
    const standby = await primary.createStandby();
    const on = (database: string) => ({ connectionString: standby.connectionString(database) });
    await waitFor('the databases on the standby', () =>
      standby.query(bank.log.database, 'select 1'),
    );
    const { database } = bank.participant('billing');
    const orders = { connectionString: bank.participant('orders').connectionString };
    const participants = { orders, billing: on(database) };
    expect(await refusal(() => bank.manager({ participants }))).toMatchObject({
      code: 'PGXA_PARTICIPANT_NOT_USABLE',
      participant: 'billing',
      message: expect.stringContaining('standby') as string,
    });
    const decisionLog = on(bank.log.database);
    expect(await refusal(() => bank.manager({ decisionLog }))).toMatchObject({
      code: 'PGXA_LOG_NOT_USABLE',
      message: expect.stringContaining('standby') as string,
    });
    expect(await refusal(() => migrateDecisionLog(on(database)))).toMatchObject({
      code: 'PGXA_LOG_NOT_USABLE',
    });
    await expectNothingLeft(bank);
    await standby.destroy();
    await primary.destroy();
  });
});
