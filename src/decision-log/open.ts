import { ConfigError, toError } from '../errors.ts';
import type { OnceClient } from '../postgres/once.ts';
import { SAFE_PATH_SQL } from '../postgres/safe-path.ts';
import { assertSchemaVersion, connectToLog, readSchemaVersion } from './migrate.ts';
import { PostgresDecisionLog, type PostgresDecisionLogOptions } from './postgres-decision-log.ts';
import { INSTALLATION_SQL } from './statements.ts';

/** What a role needs rights for; without one: to run transactions. */
export type LogPurpose = 'recovery' | 'operator' | 'monitor';

const OPEN_TIMEOUT_MS = 5_000;

/**
 * Opens the decision log after looking whether it can be one.
 *
 * @throws ConfigError with code `PGXA_LOG_UNREACHABLE`, `PGXA_LOG_NOT_MIGRATED`, `PGXA_LOG_TOO_NEW`
 *   or `PGXA_LOG_NOT_USABLE`.
 */
export async function openDecisionLog(
  options: Omit<PostgresDecisionLogOptions, 'installation'> & { readonly purpose?: LogPurpose },
): Promise<PostgresDecisionLog> {
  const client = await connectToLog({
    connectionTimeoutMillis: options.connectTimeoutMs,
    ...options.settings,
  });
  // A log that accepts connections and then hangs must not hold the program at its start.
  const timer = setTimeout(() => {
    client.destroy();
  }, OPEN_TIMEOUT_MS);
  try {
    await client.query(SAFE_PATH_SQL);
    await assertPrimary(client);
    await assertPrivileges(client, options.purpose);
    assertSchemaVersion(await readSchemaVersion(client));
    const [row] = await client.query(INSTALLATION_SQL);
    return new PostgresDecisionLog({ ...options, installation: String(row?.['id']) });
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new ConfigError(
      'PGXA_LOG_NOT_USABLE',
      `cannot look at the decision log: ${toError(error).message}`,
      { cause: error },
    );
  } finally {
    clearTimeout(timer);
    await client.end();
  }
}

async function assertPrimary(client: OnceClient): Promise<void> {
  const [row] = await client.query('select pg_is_in_recovery() as standby');
  if (row?.['standby'] === true) {
    throw new ConfigError(
      'PGXA_LOG_NOT_USABLE',
      'the decision log is a standby (pg_is_in_recovery() is true): connect to the primary',
    );
  }
}

/** For a purpose: whether the role of the session has what it needs. */
export const PRIVILEGES_SQL = `
    select current_user::text as role,
           case when to_regnamespace('pgxa') is null then true
                when not has_schema_privilege('pgxa', 'usage') then false
                when to_regclass('pgxa.decision') is null then true
                else has_table_privilege('pgxa.migrations', 'select')
                     and has_table_privilege('pgxa.installation', 'select')
                     and has_table_privilege('pgxa.decision', 'select')
                     and case $1 when 'monitor' then true
                         else has_column_privilege('pgxa.decision', 'outcome', 'insert')
                              and has_column_privilege('pgxa.coordinator', 'retired_at', 'update')
                              and has_column_privilege('pgxa.audit', 'action', 'insert') end
                     -- An operator runs no coordinator, and nobody else may acknowledge.
                     and case $1 when 'monitor' then true
                         when 'operator'
                           then has_column_privilege('pgxa.heuristic', 'acknowledged_at', 'update')
                         else has_column_privilege('pgxa.coordinator', 'epoch', 'insert')
                              and has_column_privilege('pgxa.coordinator', 'heartbeat_at', 'update') end
                     and case when $1 = 'recovery' and to_regclass('pgxa.lease') is not null
                              then has_column_privilege('pgxa.lease', 'holder', 'update')
                              else true end
           end as allowed`;

/**
 * What this role lacks is better said now than when the first decision fails. CASE, because it alone
 * keeps an order: each question fails where the answer to the one before it is no.
 */
async function assertPrivileges(client: OnceClient, purpose?: LogPurpose): Promise<void> {
  const [row] = await client.query(PRIVILEGES_SQL, [purpose ?? 'application']);
  if (row?.['allowed'] !== true) {
    throw new ConfigError(
      'PGXA_LOG_NOT_USABLE',
      `role "${String(row?.['role'])}" may not use the decision log: grant it ` +
        `pgxa_${purpose ?? 'application'} (see sql/roles.sql)`,
    );
  }
}
