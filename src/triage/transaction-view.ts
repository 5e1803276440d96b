import type { EpochStatus, StandingDecision } from '../decision-log/decision-log.ts';
import type { CoordinatorRecord, OpenHeuristic } from '../decision-log/operator-log.ts';
import { beganAtMs } from '../participant/gid.ts';
import type { BranchView, CoordinatorView, TransactionView } from './model.ts';
import { judge } from './verdict.ts';

export interface TransactionFacts {
  readonly transactionId: string;
  readonly standing: StandingDecision | undefined;
  readonly isLogReachable: boolean;
  readonly branches: readonly BranchView[];
  readonly heuristics: readonly OpenHeuristic[];
  /** Undefined when no branch of it is prepared: the epoch is part of a gid. */
  readonly epochId: string | undefined;
  readonly epoch: EpochStatus | undefined;
  readonly coordinator: CoordinatorRecord | undefined;
}

export function viewOf(facts: TransactionFacts): TransactionView {
  const { transactionId, standing, isLogReachable, branches, heuristics } = facts;
  const judgement = judge({
    decision: standing?.decision,
    branches,
    open: heuristics.filter(({ acknowledged }) => acknowledged === undefined),
    isLogReachable,
  });
  return {
    transactionId,
    ...judgement,
    beganAt: new Date(beganAtMs(transactionId)),
    label: standing?.label,
    decision: standing && {
      decision: standing.decision,
      decidedBy: standing.decidedBy,
      decidedAt: standing.decidedAt,
    },
    coordinator: coordinatorOf(facts),
    branches,
    heuristics,
    ageMs: Math.max(0, ...branches.map(({ ageMs }) => ageMs ?? 0)),
    blocked: branches.reduce((sum, { blocked }) => sum + blocked.length, 0),
  };
}

function coordinatorOf(facts: TransactionFacts): CoordinatorView | undefined {
  const { epochId, epoch, coordinator, branches } = facts;
  if (epochId === undefined) return undefined;
  const state = branches.find(({ observation }) => observation !== undefined)?.observation;
  return {
    epoch: epochId,
    name: coordinator?.name ?? epoch?.coordinator,
    host: coordinator?.host,
    pid: coordinator?.pid,
    state: state?.coordinator ?? 'unregistered',
    heartbeatAgeMs: epoch?.heartbeatAgeMs,
  };
}
