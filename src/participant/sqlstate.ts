/**
 * What an error of the server, the driver or the network says about the outcome. Total: every value
 * maps to something, and what is not known to be harmless maps to "unknown".
 *
 * https://www.postgresql.org/docs/current/errcodes-appendix.html; measured on PostgreSQL 14 to 18.
 */

import { ConnectionLostError } from '../postgres/connection-lost.ts';

interface CodedError {
  readonly code?: unknown;
  readonly severity?: unknown;
  readonly cause?: unknown;
}

/** The five-character SQLSTATE of an error or of what it wraps (ORMs wrap); else undefined. */
export function sqlstateOf(error: unknown): string | undefined {
  let current: unknown = error;
  for (let depth = 0; depth < 8 && typeof current === 'object' && current !== null; depth += 1) {
    // What a server said before its session was lost is no answer.
    if (current instanceof ConnectionLostError) return undefined;
    const coded = current as CodedError;
    // Node's own codes (ECONNRESET, EPIPE …) are longer or have no severity beside them.
    if (typeof coded.code === 'string' && /^[0-9A-Z]{5}$/.test(coded.code)) {
      if (typeof coded.severity === 'string' || !/^E[A-Z]{4}$/.test(coded.code)) return coded.code;
    }
    current = coded.cause;
  }
  return undefined;
}

/**
 * True when the session is gone or was never there: the fate of a command in flight is unknown.
 * Classes 08 (connection), 57P0x (shutdown, crash, cannot connect now, database dropped, idle
 * session), 25P03/25P04 (idle-in-transaction and transaction timeout end the session), and
 * everything without an SQLSTATE, because a killed connection often shows as a bare socket error.
 */
export function isConnectionLoss(error: unknown): boolean {
  const sqlstate = sqlstateOf(error);
  // A value that cannot be encoded is refused before anything is sent.
  if (sqlstate === undefined) {
    return ![TypeError, RangeError, SpoiledSessionError].some((kind) => error instanceof kind);
  }
  return (
    sqlstate.startsWith('08') ||
    sqlstate.startsWith('57P') ||
    sqlstate === '25P03' ||
    sqlstate === '25P04'
  );
}

/** Something of the application has taken from the session what it was given: another session has it. */
export class SpoiledSessionError extends Error {
  override readonly name = 'SpoiledSessionError';

  constructor(cause: unknown) {
    super('something has deallocated the prepared statements of the session', { cause });
  }
}

/** Running the whole transaction again can help: it lost against others, or a server was away. */
export function isRetryable(error: unknown): boolean {
  if (error instanceof SpoiledSessionError) return true;
  const sqlstate = sqlstateOf(error);
  if (sqlstate === undefined) return false;
  switch (sqlstate) {
    case '40001': // serialization failure
    case '40P01': // deadlock
    case '55P03': // lock not available: lock_timeout, nowait
    case '53200': // out of memory, and: no prepared transaction slot is free
    case '53300': // too many connections
    case '57P01': // administrator's shutdown
    case '57P02': // crash of another backend
    case '57P03': // starting up
    case '57P05': // idle session timeout
    case '25006': // read-only: connected to a standby in mid-switchover
      return true;
    default:
      return sqlstate.startsWith('08');
  }
}

export interface PrepareFailure {
  readonly vote: 'no' | 'unknown';
  readonly retryable: boolean;
  /** What to do about it, where that is known. */
  readonly hint: string | undefined;
}

/** The meaning of an error that PREPARE TRANSACTION, or the statement before it, answered. */
export function meaningOfPrepareFailure(error: unknown): PrepareFailure {
  if (isConnectionLoss(error)) return { vote: 'unknown', retryable: true, hint: undefined };
  return { vote: 'no', retryable: isRetryable(error), hint: prepareHint(sqlstateOf(error)) };
}

function prepareHint(sqlstate: string | undefined): string | undefined {
  switch (sqlstate) {
    case '0A000':
      return (
        'PREPARE TRANSACTION refuses a transaction that used LISTEN/UNLISTEN/NOTIFY, a temporary ' +
        'object, a WITH HOLD cursor, an exported snapshot, or a postgres_fdw table: ' +
        'do that work outside of this transaction'
      );
    case '55000':
      return 'set max_prepared_transactions above 0 on this server and restart it';
    case '53200':
      return (
        'all prepared transaction slots are taken: raise max_prepared_transactions, or look for ' +
        'transactions in doubt in pg_prepared_xacts'
      );
    case '25006':
      return 'the server is a standby or read-only: connect to the primary';
    default:
      return undefined;
  }
}

export type FinishFailure =
  /** Transient: the same command may work later. */
  | 'retry'
  /** 42704: committed, rolled back, never prepared, not yet prepared, lost, or feature off. */
  | 'absent'
  /** 42501: another role owns the branch; `set role` to it first. */
  | 'denied';

/** The meaning of an error that COMMIT PREPARED or ROLLBACK PREPARED answered. */
export function meaningOfFinishFailure(error: unknown): FinishFailure {
  switch (sqlstateOf(error)) {
    case '42704':
      return 'absent';
    case '42501':
      return 'denied';
    default:
      // 55000 busy, 25006 standby, 0A000 wrong database, 57xxx, 53xxx, 08xxx, socket errors:
      // none of them is an outcome (pgjdbc issue 4438 shows what happens when one is taken for it).
      return 'retry';
  }
}

/**
 * An error of connecting that no waiting mends: the configuration is wrong. Returns what to do, or
 * undefined for everything that may pass (server down, starting, full).
 */
export function connectConfigurationHint(error: unknown): string | undefined {
  switch (sqlstateOf(error)) {
    case '28P01':
      return 'check user and password';
    case '28000':
      return 'check user name, pg_hba.conf and TLS settings';
    case '3D000':
      return 'create the database or correct its name';
    case '42501':
      return 'grant CONNECT on the database to this role';
    default:
      return /password must be a string/i.test(error instanceof Error ? error.message : '')
        ? 'the server asks for a password and none is configured'
        : undefined;
  }
}
