/**
 * What the decision table is asked about a branch that has no decision. Recovery acts on the answer and the
 * operator is shown it: one code for both, so that neither can have an opinion of its own.
 */
import { SESSION_GONE_AFTER_MS, type EpochStatus } from '../decision-log/decision-log.ts';
import { beganAtMs, type Gid } from '../participant/gid.ts';
import type { Observation } from './decision-table.ts';

/** What this process itself knows better than the log: its own epoch and what it is at work on. */
export interface LocalCoordinator {
  isOwnEpoch(epoch: string): boolean;
  isAtWorkOn(transactionId: string): boolean;
}

export interface UndecidedFacts {
  /** What the log says about the epoch of the branch; undefined if it does not know it. */
  readonly epoch: EpochStatus | undefined;
  /** What began earlier may have been decided and forgotten; milliseconds since 1970. */
  readonly horizonMs: number;
  readonly heartbeatLimitMs: number;
  readonly local: LocalCoordinator;
}

export function observeUndecided(gid: Gid, facts: UndecidedFacts): Observation {
  return {
    server: 'registered',
    gid: 'ours',
    decision: beganAtMs(gid.transactionId) < facts.horizonMs ? 'forgotten' : 'none',
    coordinator: coordinatorOf(gid, facts),
  };
}

function coordinatorOf(
  gid: Gid,
  { epoch: status, heartbeatLimitMs, local }: UndecidedFacts,
): Observation['coordinator'] {
  if (local.isOwnEpoch(gid.epoch)) return local.isAtWorkOn(gid.transactionId) ? 'live' : 'retired';
  return status === undefined ? 'unregistered' : stateOfEpoch(status, heartbeatLimitMs);
}

export function stateOfEpoch(
  status: EpochStatus,
  heartbeatLimitMs: number,
): Exclude<Observation['coordinator'], 'unregistered'> {
  if (status.retired) return 'retired';
  const goneAfterMs = Math.min(SESSION_GONE_AFTER_MS, heartbeatLimitMs);
  const gone = status.sessionGone && status.heartbeatAgeMs > goneAfterMs;
  const limitMs = Math.max(heartbeatLimitMs, status.heartbeatLimitMs);
  return gone || status.heartbeatAgeMs > limitMs ? 'silent' : 'live';
}
