/**
 * The statements that a branch sends beside those of the application, in a session whose search path is not ours:
 * whatever is found by name says where, so that nothing else answers for the server.
 */
import type { QueryResult } from '../postgres/client.ts';
import { ownStep, type UnitStep } from '../postgres/unit-steps.ts';
import { quoteGid } from './gid.ts';
import type { BranchSpec } from './participant.ts';
import type { BranchSession, SessionLimits } from './branch-session.ts';
import { INCARNATION_SQL } from './server-facts.ts';

/** The branch's own transaction id, null until it has written something; and whose word it is. */
export const PROBE_SQL =
  'select pg_catalog.pg_current_xact_id_if_assigned(), pg_catalog.pg_backend_pid()';
/**
 * When the transaction began, to the microsecond. On a client that is not ours alone somebody may end the branch's and
 * begin another one, which this tells before either has an id.
 */
const BEGAN_SQL = 'extract(epoch from pg_catalog.now())';
/** The probe where a pooler may have put another server in the place of the one that was looked at. */
export const POOLED_PROBE_SQL = `${PROBE_SQL}, ${INCARNATION_SQL}, ${BEGAN_SQL}`;
/** Warnings are evidence, and a function of the application may have hidden them. */
export const SHOW_WARNINGS_SQL = 'set local client_min_messages = warning';
/** Session-level locks survive the transaction and would leak to the next user of the connection. */
export const UNLOCK_SQL = 'select pg_catalog.pg_advisory_unlock_all()';
/** Before COMMIT, where the client is not ours alone. */
export const POOLED_BEFORE_COMMIT_SQL = `select ${BEGAN_SQL}`;
/**
 * Before PREPARE, behind the deferred triggers of the application: the id of what will be prepared, which it has from
 * here on at the latest, so that there is evidence of every prepared branch; warnings shown; session-level locks given back
 * (what is prepared is not committed, and does not wait for them either way).
 */
export const BEFORE_PREPARE_SQL =
  'select pg_catalog.pg_current_xact_id(), ' +
  "pg_catalog.set_config('client_min_messages', 'warning', true), pg_catalog.pg_advisory_unlock_all()";
export const POOLED_BEFORE_PREPARE_SQL = `${BEFORE_PREPARE_SQL}, ${BEGAN_SQL}`;
/** A deferred constraint fails here, under statement_timeout and with its own error. */
export const CONSTRAINTS_SQL = 'set constraints all immediate';

/** A reader waits for the decision, which may come just before the deadline. */
export const IDLE_GRACE_MS = 10_000;

export function prepareSql(gid: string): string {
  return `prepare transaction ${quoteGid(gid)}`;
}

export function beginSql({
  isolationLevel,
  readOnly,
}: Pick<BranchSpec, 'isolationLevel' | 'readOnly'>): string {
  const isolation = isolationLevel === undefined ? '' : ` isolation level ${isolationLevel}`;
  return `begin${isolation}${readOnly ? ' read only' : ''}`;
}

/**
 * Limits that end the branch on the server when this process cannot; never above those that the session began with.
 * A session that was given the manager's (branch-session.ts) keeps them for a transaction that has between half of and
 * all of that time: what a dead process has left behind ends within three times its deadline, whatever happens.
 */
export function limitsOf(
  remaining: number,
  lockTimeoutMs: number,
  { facts, given }: Pick<BranchSession, 'facts' | 'given'>,
): UnitStep | undefined {
  const remainingMs = Math.max(1, Math.ceil(remaining));
  const sent: (readonly [string, number])[] = [];
  const limit = (name: string, of: keyof SessionLimits, wantedMs: number): void => {
    const ownMs = facts[of];
    const limitMs = ownMs === 0 ? wantedMs : Math.min(wantedMs, ownMs);
    const isInForce =
      given === undefined ? limitMs === ownMs : limitMs <= given[of] && given[of] <= limitMs * 2;
    if (!isInForce) sent.push([name, limitMs]);
  };
  limit('lock_timeout', 'lockTimeoutMs', Math.min(remainingMs, lockTimeoutMs));
  limit('statement_timeout', 'statementTimeoutMs', remainingMs);
  limit('idle_in_transaction_session_timeout', 'idleTimeoutMs', remainingMs + IDLE_GRACE_MS);
  if (sent.length === 0) return undefined;
  const calls = sent.map(
    ([name], index) => `pg_catalog.set_config('${name}', $${index + 1}, true)`,
  );
  return ownStep(
    `select ${calls.join(', ')}`,
    sent.map(([, limitMs]) => `${limitMs}ms`),
  );
}

const ROW_CHANGES = ['INSERT', 'UPDATE', 'DELETE', 'MERGE', 'COPY'];

export function changesRows(result: QueryResult): boolean {
  return ROW_CHANGES.includes(result.command) && (result.rowCount ?? 0) > 0;
}
