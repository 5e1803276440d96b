/** What a session is given when it is first used, so that its branches need not send it every time. */
import type { PoolClientLike } from '../postgres/client.ts';
import { SyncUnit } from '../postgres/sync-unit.ts';
import { ownStep } from '../postgres/unit-steps.ts';
import { IDLE_GRACE_MS, PROBE_SQL, UNLOCK_SQL } from './branch-statements.ts';
import type { ServerFacts } from './server-facts.ts';

/** A session of a pool, as a branch takes it. */
export interface BranchSession {
  readonly client: PoolClientLike;
  readonly facts: ServerFacts;
  /** Has the manager's limits, and the statements below. */
  readonly isSetUp: boolean;
}

/** Statements that are prepared in every session that is set up: planned once, and not for every branch. */
export const EXECUTE_PROBE_SQL = 'execute pgxa_probe';
export const EXECUTE_UNLOCK_SQL = 'execute pgxa_unlock';

export interface SessionLimits {
  readonly lockTimeoutMs: number;
  /** Of a transaction that says nothing else. */
  readonly timeoutMs: number;
}

/**
 * True if the server process that answers is the one that the connection began with. Behind a pooler it is not: there
 * nothing may be left in a session, since the next one may have it, or another one the next statement.
 */
export function isDirect(client: PoolClientLike, facts: ServerFacts): boolean {
  return client.processID === facts.backend.pid;
}

/** Only for sessions that are ours alone. Returns the facts as they are then. */
export async function setUpBranchSession(
  client: PoolClientLike,
  facts: ServerFacts,
  { lockTimeoutMs, timeoutMs }: SessionLimits,
): Promise<ServerFacts> {
  const tighter = (ownMs: number, limitMs: number): number =>
    ownMs === 0 ? limitMs : Math.min(ownMs, limitMs);
  const limited = {
    ...facts,
    lockTimeoutMs: tighter(facts.lockTimeoutMs, Math.min(lockTimeoutMs, timeoutMs)),
    statementTimeoutMs: tighter(facts.statementTimeoutMs, timeoutMs),
    idleTimeoutMs: tighter(facts.idleTimeoutMs, timeoutMs + IDLE_GRACE_MS),
  };
  const unit = new SyncUnit([
    ownStep(SET_LIMITS_SQL, [
      `${limited.lockTimeoutMs}ms`,
      `${limited.statementTimeoutMs}ms`,
      `${limited.idleTimeoutMs}ms`,
    ]),
    ownStep(`prepare pgxa_probe as ${PROBE_SQL}`),
    ownStep(`prepare pgxa_unlock as ${UNLOCK_SQL}`),
  ]);
  client.query(unit);
  await unit.done;
  return limited;
}

const SET_LIMITS_SQL = `
  select pg_catalog.set_config('lock_timeout', $1, false),
         pg_catalog.set_config('statement_timeout', $2, false),
         pg_catalog.set_config('idle_in_transaction_session_timeout', $3, false)`;
