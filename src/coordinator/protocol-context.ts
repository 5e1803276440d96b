import type { DecisionLog } from '../decision-log/decision-log.ts';
import type { Publish } from '../events.ts';
import type { Cancelled } from '../cancellation.ts';
import type { Branch, Participant } from '../participant/participant.ts';
import type { Runtime } from '../runtime.ts';
import type { BranchEvidence, TransactionState } from '../states.ts';

/** Named points between two durable effects, where a test may stop, crash or hold the protocol. */
export type FaultPoint =
  | 'before-vote'
  | 'after-branch-vote'
  | 'after-votes'
  | 'before-decide'
  | 'after-decide'
  | 'before-finish-branch'
  | 'after-finish-branch'
  | 'after-finish'
  | 'before-one-phase-commit'
  | 'after-one-phase-commit'
  | 'before-rollback-prepared';

export type FaultHook = (point: FaultPoint, transactionId: string) => void | Promise<void>;

/** What the protocol needs of the world. */
export interface ProtocolContext {
  readonly log: DecisionLog;
  readonly participants: ReadonlyMap<string, Participant>;
  readonly runtime: Runtime;
  readonly publish: Publish;
  /** Formats the gid of a branch. */
  readonly gidOf: (epoch: string, transactionId: string, branch: number) => string;
  /** Keeps work alive that goes on after the caller has its answer; aborted by close(). */
  readonly background: (work: (signal: AbortSignal) => Promise<void>) => void;
  /** Remembers a one-phase transaction whose fate only its participant can tell. */
  readonly noteUnsettled: (transactionId: string, evidence: BranchEvidence) => void;
  readonly faultHook: FaultHook | undefined;
}

/** The transaction as the protocol sees it. */
export interface ProtocolTransaction {
  readonly id: string;
  readonly epoch: string;
  readonly label: string | undefined;
  readonly idempotencyKey: string | undefined;
  readonly branches: readonly Branch[];
  /** Aborted at the deadline or by the caller; its reason is a RolledBackError. Not heard after the decision. */
  readonly signal: Cancelled;
  setState(state: TransactionState): void;
  /** All sessions are back in their pools: others may have them. */
  releaseAdmission(): void;
}

export type CommitMode = 'none' | 'read-only' | 'one-phase' | 'two-phase';

export interface Committed {
  readonly mode: CommitMode;
  /** Participants whose branch is decided but not finished yet: retried, then left to recovery. */
  readonly pending: readonly string[];
}
