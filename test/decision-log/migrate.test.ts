import { readFile } from 'node:fs/promises';
import pg from 'pg';
import { beforeAll, describe, expect, it } from 'vitest';

import {
  migrateDecisionLog as migrateWithin,
  schemaVersion,
} from '../../src/decision-log/migrate.ts';
import {
  ConfigError,
  createTransactionManager,
  migrateDecisionLog,
  type TransactionManager,
} from '../../src/index.ts';
import { sharedServer } from '../support/shared-server.ts';
import type { TestServer } from '../support/servers.ts';
import { waitFor } from '../support/wait.ts';

/** The key of postgres-migrations. */
const LOCK = '-8525285245963000605';

describe('migrateDecisionLog', () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await sharedServer();
  });

  const fresh = (): Promise<string> => server.createDatabase('migrate');
  const at = (database: string, user?: string): { connectionString: string } => ({
    connectionString: server.connectionString(database, user === undefined ? {} : { user }),
  });
  const start = (database: string): Promise<TransactionManager> =>
    createTransactionManager({
      coordinator: 'migrate',
      decisionLog: at(database),
      participants: { one: at(database) },
    });
  const versions = (database: string): Promise<Record<string, unknown>[]> =>
    server.query(database, 'select id, name from pgxa.migrations order by id');
  const failure = async (promise: Promise<unknown>): Promise<ConfigError> => {
    const error = await promise.then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(ConfigError);
    return error as ConfigError;
  };

  it('fresh database, then again: the schema is there once, with one installation that stays', async () => {
    const database = await fresh();
    await migrateDecisionLog(at(database));
    const first = await server.query(database, 'select * from pgxa.installation');
    expect(first).toMatchObject([{ id: expect.stringMatching(/^[0-9a-f]{12}$/) as string }]);
    await migrateDecisionLog(at(database));
    expect(await server.query(database, 'select * from pgxa.installation')).toEqual(first);
    expect((await versions(database)).at(-1)).toMatchObject({ id: schemaVersion() });
    await (await start(database)).close();
  });

  it('8 processes at once on a fresh database: all succeed, each migration ran once', async () => {
    const database = await fresh();
    await Promise.all(Array.from({ length: 8 }, () => migrateDecisionLog(at(database))));
    expect(await versions(database)).toHaveLength(schemaVersion() + 1);
    expect(await server.query(database, 'select * from pgxa.installation')).toHaveLength(1);
  });

  it('beside a running coordinator: it goes on', async () => {
    const database = await fresh();
    await migrateDecisionLog(at(database));
    const tm = await start(database);
    await migrateDecisionLog(at(database));
    await tm.run((tx) => tx.on('one').query('create table t ()'));
    await tm.close();
  });

  it('schema of a newer program: refused by migrate and by createTransactionManager', async () => {
    const database = await fresh();
    await migrateDecisionLog(at(database));
    await server.query(
      database,
      `insert into pgxa.migrations (id, name, hash) values ($1, 'from the future', 'x')`,
      [schemaVersion() + 1],
    );
    for (const attempt of [() => migrateDecisionLog(at(database)), () => start(database)]) {
      const error = await failure(attempt());
      expect(error.code).toBe('PGXA_LOG_TOO_NEW');
      expect(error.message).toContain(`version ${schemaVersion() + 1}`);
    }
  });

  it.each(['', 'create schema pgxa', 'create schema pgxa; create table pgxa.migrations (id int)'])(
    'unmigrated log ("%s"): refused by createTransactionManager, which says what to run',
    async (text) => {
      const database = await fresh();
      if (text !== '') await server.query(database, text);
      const error = await failure(start(database));
      expect(error.code).toBe('PGXA_LOG_NOT_MIGRATED');
      expect(error.message).toContain('migrateDecisionLog()');
    },
  );

  it('a table "migrations" in another schema: refused by name, and nothing was made', async () => {
    const database = await fresh();
    await server.query(database, 'create schema flyway; create table flyway.migrations (id int)');
    const error = await failure(migrateDecisionLog(at(database)));
    expect(error.code).toBe('PGXA_LOG_NOT_USABLE');
    expect(error.message).toContain('"migrations" in schema "flyway"');
    expect(
      await server.query(database, `select 1 from pg_namespace where nspname = 'pgxa'`),
    ).toEqual([]);
  });

  it('a table "migrations" of somebody else that this role may not even see: refused as well', async () => {
    const database = await fresh();
    const role = `blind_${database}`;
    await server.query('postgres', `create role ${role} login`);
    await server.query('postgres', `grant create on database ${database} to ${role}`);
    await server.query(database, 'create schema flyway; create table flyway.migrations (id int)');
    const error = await failure(migrateDecisionLog(at(database, role)));
    expect(error.message).toContain('"migrations" in schema "flyway"');
    await server.query(database, `drop owned by ${role}; drop role ${role}`);
  });

  it('a table "migrations" that came after the log was made: no harm, migrate again is fine', async () => {
    const database = await fresh();
    await migrateDecisionLog(at(database));
    await server.query(database, 'create table migrations (id int)');
    await migrateDecisionLog(at(database));
    expect(await server.query(database, 'select * from public.migrations')).toEqual([]);
  });

  it('its lock is held by somebody else: waited for, and gone on with once it is free', async () => {
    const database = await fresh();
    const holder = new pg.Client(at(database));
    await holder.connect();
    await holder.query(`select pg_advisory_lock(${LOCK})`);
    let done = false;
    const migrating = migrateDecisionLog(at(database)).then(() => (done = true));
    await waitFor('the migration to wait for the lock', () => waiters(database));
    expect(done).toBe(false);
    await holder.end();
    await migrating;
    expect(await versions(database)).toHaveLength(schemaVersion() + 1);
  });

  it('its lock is held for longer than the bound: refused with the reason, nothing stays behind', async () => {
    const database = await fresh();
    const holder = new pg.Client(at(database));
    await holder.connect();
    await holder.query(`select pg_advisory_lock(${LOCK})`);
    const error = await failure(migrateWithin(at(database), 200));
    expect(error.code).toBe('PGXA_LOG_NOT_USABLE');
    expect(error.message).toContain('another session has held the migration lock for 200 ms');
    expect(await waiters(database)).toBe(0);
    await holder.end();
    await migrateDecisionLog(at(database));
  });

  it('a role that may not create a schema: told so, with role and database', async () => {
    const database = await fresh();
    const role = `nobody_${database}`;
    await server.query('postgres', `create role ${role} login`);
    const error = await failure(migrateDecisionLog(at(database, role)));
    expect(error.code).toBe('PGXA_LOG_NOT_USABLE');
    expect(error.message).toContain(`role "${role}" may not create the schema pgxa`);
    expect(error.message).toContain(`"${database}"`);
    await server.query('postgres', `drop role ${role}`);
  });

  it('migrated already: a role that may only read the log has nothing to do, and no error', async () => {
    const database = await fresh();
    await migrateDecisionLog(at(database));
    const role = `reader_${database}`;
    await server.query(
      database,
      `create role ${role} login; grant usage on schema pgxa to ${role};
       grant select on pgxa.migrations to ${role}`,
    );
    await migrateDecisionLog(at(database, role));
    await server.query(database, `drop owned by ${role}; drop role ${role}`);
  });

  it('an edited migration file: refused, since the hash in the database is another one', async () => {
    const database = await fresh();
    await migrateDecisionLog(at(database));
    await server.query(database, `update pgxa.migrations set hash = 'edited' where id = 1`);
    const error = await failure(migrateDecisionLog(at(database)));
    expect(error.code).toBe('PGXA_LOG_NOT_USABLE');
    expect(error.message).toContain("Hashes don't match");
  });

  it('settings that make commits weak, on the database: the schema is written durably all the same', async () => {
    const database = await fresh();
    await server.query('postgres', `alter database ${database} set synchronous_commit = off`);
    await server.query(
      'postgres',
      `alter database ${database} set default_transaction_isolation = 'serializable'`,
    );
    await migrateDecisionLog(at(database));
    await (await start(database)).close();
  });

  it('line endings of the migrations are LF in every checkout: they are part of the hash', async () => {
    const attributes = await readFile(new URL('../../.gitattributes', import.meta.url), 'utf8');
    expect(attributes).toMatch(/^migrations\/\*\.sql .*eol=lf$/m);
    const text = await readFile(
      new URL('../../migrations/1_decision_log.sql', import.meta.url),
      'utf8',
    );
    expect(text).not.toContain('\r');
  });

  async function waiters(database: string): Promise<number> {
    const rows = await server.query(
      database,
      `select 1 from pg_locks where locktype = 'advisory' and not granted
          and database = (select oid from pg_database where datname = current_database())`,
    );
    return rows.length;
  }
});
