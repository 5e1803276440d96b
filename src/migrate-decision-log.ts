import { parseConnectionConfig } from './config.ts';
import { migrateDecisionLog as migrate } from './decision-log/migrate.ts';
import { pendingMigrations as pending } from './decision-log/pending-migrations.ts';
import type { ConnectionSettings } from './postgres/pool.ts';
import type { ConnectionOptions, PendingMigration } from './public-surface.ts';

export interface MigrationOptions {
  /** Longest wait for a connection to the log, in milliseconds; default 10 000. */
  readonly connectTimeoutMs?: number;
}

/**
 * Creates the schema `pgxa` in a database, or brings it up to this version of pgxa. Safe to run at any
 * time, by several processes at once. The role must be allowed to create a schema; give the log a
 * database of its own. When the promise resolves the schema is durably there.
 *
 * @throws ConfigError with code `PGXA_CONFIG_INVALID`, `PGXA_LOG_UNREACHABLE`, `PGXA_LOG_TOO_NEW` or
 *   `PGXA_LOG_NOT_USABLE`.
 */
export async function migrateDecisionLog(
  connection: ConnectionOptions,
  options: MigrationOptions = {},
): Promise<void> {
  await migrate(settingsOf(connection, options));
}

/**
 * The SQL that `migrateDecisionLog` would run now, for review. It is no script to run by hand: what has been
 * run is noted, with a checksum, by migrateDecisionLog alone.
 *
 * @throws ConfigError as migrateDecisionLog.
 */
export async function pendingMigrations(
  connection: ConnectionOptions,
  options: MigrationOptions = {},
): Promise<readonly PendingMigration[]> {
  return pending(settingsOf(connection, options));
}

function settingsOf(
  connection: ConnectionOptions,
  { connectTimeoutMs }: MigrationOptions,
): ConnectionSettings {
  const settings = parseConnectionConfig(connection);
  return connectTimeoutMs === undefined
    ? settings
    : { ...settings, connectionTimeoutMillis: connectTimeoutMs };
}
