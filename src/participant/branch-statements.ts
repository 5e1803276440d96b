/**
 * The statements that a branch sends beside those of the application, in a session whose search path is not ours:
 * whatever is found by name says where, so that nothing else answers for the server.
 */
import type { QueryResult } from '../postgres/client.ts';
import { unitStep, type UnitStep } from '../postgres/sync-unit.ts';
import { quoteGid } from './gid.ts';
import type { BranchSpec } from './participant.ts';
import type { ServerFacts } from './server-facts.ts';

/**
 * The branch's own transaction id: null until it has written something. With it the last checkpoint: an
 * id that was not flushed is handed out again after a crash, on the same timeline, and every crash
 * recovery ends with a checkpoint. While it is the same, the id is still this branch's own.
 */
export const PROBE_SQL = `
  select pg_catalog.pg_current_xact_id_if_assigned()::pg_catalog.text as xid,
         pg_catalog.pg_backend_pid() as pid,
         case when pg_catalog.pg_current_xact_id_if_assigned() is not null
              then (select checkpoint_lsn::pg_catalog.text
                      from pg_catalog.pg_control_checkpoint()) end as checkpoint`;
/** The last look before a vote or a commit: the xid, and warnings made sure to be sent (they are evidence). */
export const LAST_LOOK_SQL = `
  select pg_catalog.set_config('client_min_messages', 'warning', true),
         pg_catalog.pg_current_xact_id_if_assigned()::pg_catalog.text as xid,
         pg_catalog.pg_backend_pid() as pid`;
/**
 * The same before PREPARE, which assigns an id to a branch that has none: so that there is evidence of every
 * prepared branch.
 */
export const VOTE_LOOK_SQL = LAST_LOOK_SQL.replace('_if_assigned', '');
/** Session-level locks survive the transaction and would leak to the next user of the connection. */
export const UNLOCK_SQL = 'select pg_catalog.pg_advisory_unlock_all()';
/** A deferred constraint fails here, under statement_timeout and with its own error. */
export const CONSTRAINTS_SQL = 'set constraints all immediate';

/** A reader waits for the decision, which may come just before the deadline. */
const IDLE_GRACE_MS = 10_000;

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

/** Limits that end the branch on the server when this process cannot; never above the session's own. */
export function limitsOf(
  remaining: number,
  lockTimeoutMs: number,
  facts: ServerFacts,
): UnitStep | undefined {
  const remainingMs = Math.max(1, Math.ceil(remaining));
  const wanted: readonly (readonly [string, number, number])[] = [
    ['lock_timeout', Math.min(remainingMs, lockTimeoutMs), facts.lockTimeoutMs],
    ['statement_timeout', remainingMs, facts.statementTimeoutMs],
    ['idle_in_transaction_session_timeout', remainingMs + IDLE_GRACE_MS, facts.idleTimeoutMs],
  ];
  const tighter = wanted.filter(([, limitMs, ownMs]) => ownMs === 0 || limitMs < ownMs);
  if (tighter.length === 0) return undefined;
  const calls = tighter.map(
    ([name], index) => `pg_catalog.set_config('${name}', $${index + 1}, true)`,
  );
  return unitStep(
    `select ${calls.join(', ')}`,
    tighter.map(([, limitMs]) => `${limitMs}ms`),
  );
}

export function xidOf(probe: UnitStep | undefined): string | undefined {
  const row = probe?.result?.rows[0] as { xid: string | null } | undefined;
  return row?.xid ?? undefined;
}

const ROW_CHANGES = ['INSERT', 'UPDATE', 'DELETE', 'MERGE', 'COPY'];

export function changesRows(result: QueryResult): boolean {
  return ROW_CHANGES.includes(result.command) && (result.rowCount ?? 0) > 0;
}
