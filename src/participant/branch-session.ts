/** What a session is given when it is first used, so that its branches need not send it every time. */
import type { PoolClientLike } from '../postgres/client.ts';
import { SyncUnit } from '../postgres/sync-unit.ts';
import { ownStep } from '../postgres/unit-steps.ts';
import { BEFORE_PREPARE_SQL, IDLE_GRACE_MS, PROBE_SQL, UNLOCK_SQL } from './branch-statements.ts';
import type { ServerFacts } from './server-facts.ts';

/** Milliseconds; 0 is "no limit". */
export type SessionLimits = Pick<
  ServerFacts,
  'lockTimeoutMs' | 'statementTimeoutMs' | 'idleTimeoutMs'
>;

/** A session of a pool, as a branch takes it. */
export interface BranchSession {
  readonly client: PoolClientLike;
  /** With the limits that the session began with. */
  readonly facts: ServerFacts;
  /** The manager's limits, which it has instead, if it was set up: then it has the statements below, too. */
  readonly given: SessionLimits | undefined;
}

/** Statements that are prepared in every session that is set up: planned once, and not for every branch. */
export const EXECUTE_PROBE_SQL = 'execute pgxa_probe';
export const EXECUTE_BEFORE_PREPARE_SQL = 'execute pgxa_before_prepare';
export const EXECUTE_UNLOCK_SQL = 'execute pgxa_unlock';

/** Of the manager, for a transaction that says nothing else. */
export interface UsualLimits {
  readonly lockTimeoutMs: number;
  readonly timeoutMs: number;
}

/**
 * True if the server process that answers is the one that the connection began with. Behind a pooler it is not: there
 * nothing may be left in a session, since the next one may have it, or another one the next statement.
 */
export function isDirect(client: PoolClientLike, facts: ServerFacts): boolean {
  return client.processID === facts.backend.pid;
}

/** Only for sessions that are ours alone. */
export async function setUpBranchSession(
  client: PoolClientLike,
  facts: ServerFacts,
  { lockTimeoutMs, timeoutMs }: UsualLimits,
): Promise<SessionLimits> {
  const tighter = (ownMs: number, limitMs: number): number =>
    ownMs === 0 ? limitMs : Math.min(ownMs, limitMs);
  const given = {
    lockTimeoutMs: tighter(facts.lockTimeoutMs, Math.min(lockTimeoutMs, timeoutMs)),
    statementTimeoutMs: tighter(facts.statementTimeoutMs, timeoutMs),
    idleTimeoutMs: tighter(facts.idleTimeoutMs, timeoutMs + IDLE_GRACE_MS),
  };
  const limits = limitsSql(given);
  const unit = new SyncUnit([
    ownStep(`select ${limits}`),
    ownStep(`prepare pgxa_probe as ${PROBE_SQL}`),
    // A function of the application may have taken the limits away, unseen.
    ownStep(`prepare pgxa_before_prepare as ${BEFORE_PREPARE_SQL}, ${limits}`),
    ownStep(`prepare pgxa_unlock as ${UNLOCK_SQL}, ${limits}`),
  ]);
  client.query(unit);
  await unit.done;
  return given;
}

function limitsSql({ lockTimeoutMs, statementTimeoutMs, idleTimeoutMs }: SessionLimits): string {
  const set = (name: string, ms: number): string =>
    `pg_catalog.set_config('${name}', '${Math.ceil(ms)}ms', false)`;
  return [
    set('lock_timeout', lockTimeoutMs),
    set('statement_timeout', statementTimeoutMs),
    set('idle_in_transaction_session_timeout', idleTimeoutMs),
  ].join(', ');
}
