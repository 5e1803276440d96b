import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { migrate } from 'postgres-migrations';

import { ConfigError, toError } from '../errors.ts';
import { connectOnce, type OnceClient } from '../postgres/once.ts';
import type { ConnectionSettings } from '../postgres/pool.ts';
import { SAFE_PATH_SQL } from '../postgres/safe-path.ts';

/** Another process may be migrating: its lock is waited for, but not for ever. */
const LOCK_WAIT_MS = 60_000;
/** A server that hangs must not hold its caller for ever; far longer than any migration takes. */
const HUNG_AFTER_MS = 15 * 60_000;
/** The session lock of postgres-migrations, which polls for it without a bound. */
const LIBRARY_LOCK = '-8525285245963000605';

/**
 * Creates the schema `pgxa` in the database, or brings it up to this version. Safe to run at any
 * time, by several processes at once, beside running coordinators. When the promise resolves, the
 * schema is there, durably. Needs a role that may create a schema; a database of its own is advised.
 *
 * @throws ConfigError with code `PGXA_LOG_UNREACHABLE`, `PGXA_LOG_TOO_NEW` or `PGXA_LOG_NOT_USABLE`.
 */
export async function migrateDecisionLog(
  settings: ConnectionSettings,
  lockWaitMs: number = LOCK_WAIT_MS,
): Promise<void> {
  const client = await connectToLog(settings);
  const timer = setTimeout(() => {
    client.destroy();
  }, lockWaitMs + HUNG_AFTER_MS);
  try {
    await client.query(SAFE_PATH_SQL);
    await client.query("select set_config('synchronous_commit', 'on', false)");
    await takeLock(client, lockWaitMs);
    await assertNotNewer(client);
    await assertNoForeignMigrations(client);
    await createSchema(client);
    // Its table "migrations" has no schema in its name: the search path decides where it lives.
    await client.query('set search_path = pgxa');
    await migrate({ client: client.raw }, migrationsDirectory());
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new ConfigError(
      'PGXA_LOG_NOT_USABLE',
      `cannot migrate the decision log: ${toError(error).message}`,
      { cause: error },
    );
  } finally {
    clearTimeout(timer);
    await client.end();
  }
}

/**
 * The library's own lock, taken before it with a bound: it is re-entrant in a session, so the library
 * gets it at once. Ends with the session. From here on one process at a time is in here.
 */
async function takeLock(client: OnceClient, lockWaitMs: number): Promise<void> {
  // Stays for the migrations: one that cannot lock a table gives up before it blocks the coordinators.
  await client.query("select set_config('lock_timeout', $1, false)", [String(lockWaitMs)]);
  try {
    await client.query(`select pg_advisory_lock(${LIBRARY_LOCK})`);
  } catch (error) {
    if ((error as { code?: string }).code !== '55P03') throw error;
    throw new ConfigError(
      'PGXA_LOG_NOT_USABLE',
      `another session has held the migration lock for ${lockWaitMs} ms (objid of advisory lock ` +
        `${LIBRARY_LOCK} in pg_locks): let it end, then migrate again`,
      { cause: error },
    );
  }
}

/** Only where it is missing: CREATE SCHEMA IF NOT EXISTS asks for the right to create one all the same. */
async function createSchema(client: OnceClient): Promise<void> {
  const [row] = await client.query(
    `select to_regnamespace('pgxa') is not null as present,
            has_database_privilege(current_database(), 'create') as allowed,
            current_user::text as role, current_database()::text as database`,
  );
  if (row?.['present'] === true) return;
  if (row?.['allowed'] !== true) {
    throw new ConfigError(
      'PGXA_LOG_NOT_USABLE',
      `role "${String(row?.['role'])}" may not create the schema pgxa: migrate as the owner of ` +
        `database "${String(row?.['database'])}", or grant CREATE on it`,
    );
  }
  await client.query('create schema pgxa');
}

/** The newest schema version that this program knows. */
export function schemaVersion(): number {
  const ids = readdirSync(migrationsDirectory()).flatMap((file) => {
    const match = /^(\d+)[-_].*\.sql$/.exec(file);
    return match === null ? [] : [Number(match[1])];
  });
  return Math.max(...ids);
}

/** Refuses a log that this program does not fit. */
export function assertSchemaVersion(found: number | undefined): void {
  const known = schemaVersion();
  if (found === undefined || found < known) {
    throw new ConfigError(
      'PGXA_LOG_NOT_MIGRATED',
      `the decision log has schema version ${found ?? 'none'}, this program needs ${known}: ` +
        'run migrateDecisionLog() on it first',
    );
  }
  if (found > known) {
    throw new ConfigError(
      'PGXA_LOG_TOO_NEW',
      `the decision log has schema version ${found}, this program knows up to ${known}: ` +
        'upgrade pgxa in this program',
    );
  }
}

export async function connectToLog(settings: ConnectionSettings): Promise<OnceClient> {
  try {
    return await connectOnce(settings);
  } catch (error) {
    throw new ConfigError(
      'PGXA_LOG_UNREACHABLE',
      `cannot connect to the decision log: ${toError(error).message}`,
      { cause: error },
    );
  }
}

/** 42P01 and 3F000: no such table, no such schema. */
export async function readSchemaVersion(client: OnceClient): Promise<number | undefined> {
  const found = await client.query(`select to_regclass('pgxa.migrations') is not null as present`);
  if (found[0]?.['present'] !== true) return undefined;
  const rows = await client.query('select max(id)::int as version from pgxa.migrations');
  return rows[0]?.['version'] as number;
}

async function assertNotNewer(client: OnceClient): Promise<void> {
  const found = await readSchemaVersion(client);
  if (found !== undefined && found > schemaVersion()) assertSchemaVersion(found);
}

/**
 * The library looks for its table in every schema (in pg_class, readable or not), and would take a
 * foreign one for its own as long as it has none.
 */
async function assertNoForeignMigrations(client: OnceClient): Promise<void> {
  const rows = await client.query(
    `select relnamespace::regnamespace::text as schema from pg_class
      where relname = 'migrations' and relkind = 'r' and to_regclass('pgxa.migrations') is null`,
  );
  if (rows[0] === undefined) return;
  throw new ConfigError(
    'PGXA_LOG_NOT_USABLE',
    `the database has a table "migrations" in schema "${String(rows[0]['schema'])}", which the ` +
      'migration runner would take for its own: give the decision log a database of its own',
  );
}

/** Beside the sources, and two folders above the compiled files. */
export function migrationsDirectory(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  const compiled = here.includes(join('dist', 'src'));
  return join(here, compiled ? '../../../migrations' : '../../migrations');
}
