import { ConfigError } from '../errors.ts';
import type { Backend, ServerIdentity } from '../states.ts';

/** What one session tells about the server behind it. */
export interface ServerFacts {
  readonly server: ServerIdentity;
  readonly backend: Backend;
  readonly inRecovery: boolean;
  readonly databaseName: string;
  /** Start of the server, with microseconds: tells a server from a physical copy that runs beside it. */
  readonly runningSince: string;
  /**
   * Changes with every start of the server and with every crash recovery, and with nothing else. After a crash
   * transaction ids that were not flushed are handed out again, on the same timeline. A server that recovers
   * from a crash without a new start has replayed up to a later place each time, and remembers it until it is
   * started anew. A session is never older than that, so once for each session is enough.
   */
  readonly incarnation: string;
  readonly maxPreparedTransactions: number;
  readonly versionNumber: number;
  /** Session defaults in milliseconds; 0 is "no limit". */
  readonly lockTimeoutMs: number;
  readonly statementTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly defaultIsolation: string;
}

/** See `incarnation`: start of the server, and up to where it has replayed since, if it has. */
export const INCARNATION_SQL = `pg_catalog.concat(
           extract(epoch from pg_catalog.pg_postmaster_start_time()), ' ', pg_catalog.pg_last_wal_replay_lsn())`;

/**
 * One row, answered by every role on primaries and standbys. It runs in sessions of the application too, whose
 * search path is not ours: whatever is found by name says where (CONTRIBUTING.md).
 */
export const SERVER_FACTS_SQL = `
  select pg_catalog.pg_backend_pid() as pid,
         (select extract(epoch from backend_start)::pg_catalog.text from pg_catalog.pg_stat_activity
           where pid operator(pg_catalog.=) pg_catalog.pg_backend_pid()) as started_at,
         pg_catalog.pg_is_in_recovery() as in_recovery,
         (select system_identifier::pg_catalog.text
            from pg_catalog.pg_control_system()) as system_identifier,
         case when pg_catalog.pg_is_in_recovery() then ''
              else pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8)
              end as timeline,
         (select oid::pg_catalog.text from pg_catalog.pg_database
           where datname operator(pg_catalog.=) pg_catalog.current_database()) as database_oid,
         pg_catalog.current_database()::pg_catalog.text as database_name,
         extract(epoch from pg_catalog.pg_postmaster_start_time())::pg_catalog.text as running_since,
         ${INCARNATION_SQL} as incarnation,
         pg_catalog.current_setting('server_version_num')::pg_catalog.int4 as version_number,
         (select pg_catalog.jsonb_object_agg(name, setting) from pg_catalog.pg_settings
           where name operator(pg_catalog.=) any (array[
                   'max_prepared_transactions', 'lock_timeout', 'statement_timeout',
                   'idle_in_transaction_session_timeout', 'default_transaction_isolation'
                 ]::pg_catalog.text[])) as settings`;

export interface ServerFactsRow {
  readonly pid: number;
  readonly started_at: string;
  readonly in_recovery: boolean;
  readonly system_identifier: string;
  readonly timeline: string;
  readonly database_oid: string;
  readonly database_name: string;
  readonly running_since: string;
  readonly incarnation: string;
  readonly version_number: number;
  readonly settings: Readonly<Record<string, string>>;
}

export function factsOfRow(row: ServerFactsRow): ServerFacts {
  const setting = (name: string): number => Number(row.settings[name] ?? 0);
  return {
    server: {
      systemIdentifier: row.system_identifier,
      timeline: row.timeline,
      databaseOid: row.database_oid,
    },
    backend: { pid: row.pid, startedAt: row.started_at },
    inRecovery: row.in_recovery,
    databaseName: row.database_name,
    runningSince: row.running_since,
    incarnation: row.incarnation,
    versionNumber: row.version_number,
    maxPreparedTransactions: setting('max_prepared_transactions'),
    lockTimeoutMs: setting('lock_timeout'),
    statementTimeoutMs: setting('statement_timeout'),
    idleTimeoutMs: setting('idle_in_transaction_session_timeout'),
    defaultIsolation: row.settings['default_transaction_isolation'] ?? '',
  };
}

/** Of a statement that always answers one. */
export function onlyRow([row]: readonly ServerFactsRow[]): ServerFacts {
  if (row === undefined) throw new Error('unreachable: the query always answers one row');
  return factsOfRow(row);
}

/** The same database of the same server; a promotion (another timeline) keeps it the same. */
export function isSameDatabase(a: ServerIdentity, b: ServerIdentity): boolean {
  return a.systemIdentifier === b.systemIdentifier && a.databaseOid === b.databaseOid;
}

/** A physical copy has the identity of its original; only one of them runs since that moment. */
export function isSameRunning(a: ServerFacts, b: ServerFacts): boolean {
  return isSameDatabase(a.server, b.server) && a.runningSince === b.runningSince;
}

/** An xid of one is evidence on the other (invariant 6): also the same timeline. */
export function isSameHistory(a: ServerIdentity, b: ServerIdentity): boolean {
  return isSameDatabase(a, b) && a.timeline === b.timeline;
}

const VERSION_NUMBER_MIN = 140_000;

/** @throws ConfigError if branches can never be prepared on this server. */
export function assertUsable(participant: string, facts: ServerFacts): void {
  const refuse = (problem: string): never => {
    throw new ConfigError(
      'PGXA_PARTICIPANT_NOT_USABLE',
      `participant "${participant}" cannot take part: ${problem}`,
      { participant },
    );
  };
  if (facts.versionNumber < VERSION_NUMBER_MIN) {
    refuse(`it runs PostgreSQL ${facts.versionNumber}; expected 14 (140000) or newer`);
  }
  if (facts.inRecovery) {
    refuse('it is a standby (pg_is_in_recovery() is true); connect to the primary');
  }
  if (facts.maxPreparedTransactions === 0) {
    refuse(
      'max_prepared_transactions is 0, so PREPARE TRANSACTION is disabled; set it to at least the ' +
        'number of concurrent transactions and restart the server',
    );
  }
}

/** A commit of our own that waits for the synchronous standby, whatever is the default of the role. */
export const BARRIER = `
         set_config('synchronous_commit', case when current_setting('synchronous_commit') in ('off', 'local')
                                               then 'on' else current_setting('synchronous_commit') end, true),
         pg_logical_emit_message(true, 'pgxa', 'barrier')`;

/**
 * A commit that is visible may still be unknown to a synchronous standby; what follows it is not. Behind the
 * status on the same session: from another server it would prove nothing.
 */
export const STATUS_BARRIER_SQL = `
  select ${BARRIER}
   where pg_xact_status($1::xid8) = 'committed'`;
