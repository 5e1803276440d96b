import type {
  BranchEvidence,
  DecidedBy,
  Decision,
  HeuristicKind,
  ServerIdentity,
} from '../states.ts';

/**
 * A coordinator whose session is gone counts as dead after this long without a heartbeat: it may lose
 * and renew its connection meanwhile.
 */
export const SESSION_GONE_AFTER_MS = 2_000;

/** A coordinator's wish to commit. All branches have voted yes. */
export interface CommitRequest {
  readonly transactionId: string;
  readonly epoch: string;
  readonly label: string | undefined;
  readonly idempotencyKey: string | undefined;
  /** Evidence of the branches that voted yes. */
  readonly branches: readonly BranchEvidence[];
}

export type DecideReply =
  /** The commit decision is durable. */
  | { readonly kind: 'commit' }
  /** An abort stands: recovery or an operator was first. */
  | { readonly kind: 'abort'; readonly decidedBy: DecidedBy }
  /** Somebody committed with this idempotency key. Nothing was written. */
  | { readonly kind: 'already-done'; readonly transactionId: string }
  /** The epoch is retired and may not decide. Nothing was written. */
  | { readonly kind: 'fenced' }
  /** The log cannot hold this decision and never will: a label that it cannot store, a day that it forgot. */
  | { readonly kind: 'refused'; readonly error: Error }
  /** The reply is lost, late, or not proven durable (invariant 4). */
  | { readonly kind: 'unknown'; readonly error: Error };

export interface StandingDecision {
  readonly decision: Decision;
  readonly decidedBy: DecidedBy;
  readonly decidedAt: Date;
  readonly label: string | undefined;
  /** Evidence per branch, as far as the decision recorded it. */
  readonly branches: readonly RecordedBranch[];
}

export interface RecordedBranch {
  readonly participant: string;
  readonly branch: number;
  readonly xid: string | undefined;
  readonly systemIdentifier: string;
  readonly timeline: string;
}

/** An undecided transaction for which abort is to be won. */
export interface AbortRequest {
  readonly transactionId: string;
  readonly epoch: string;
  /** Of its coordinator, who alone knows it: kept if an operator has written commit. */
  readonly idempotencyKey?: string | undefined;
}

export interface EpochStatus {
  readonly coordinator: string;
  readonly retired: boolean;
  /** Milliseconds since the last heartbeat, by the log's clock. */
  readonly heartbeatAgeMs: number;
  /** The silence that the coordinator asked for at its registration: a shorter limit does not count. */
  readonly heartbeatLimitMs: number;
  /** Changes with every heartbeat. */
  readonly heartbeat: string;
  /** The session of the coordinator is gone; false also when that cannot be told. */
  readonly sessionGone: boolean;
}

export interface CoordinatorInfo {
  readonly epoch: string;
  readonly name: string;
  readonly host: string;
  readonly pid: number;
  readonly version: string;
  /** Nobody may retire this epoch after a shorter silence, unless its session is gone; default 0. */
  readonly heartbeatLimitMs?: number;
}

export interface HeuristicRecord {
  readonly transactionId: string;
  readonly gid: string;
  readonly participant: string;
  readonly decision: Decision;
  readonly kind: HeuristicKind;
  readonly evidence: string;
  readonly foundBy: string;
}

/**
 * The register of decisions and what belongs to it. Narrow on purpose; every implementation passes
 * the same conformance suite. Methods reject when the log cannot be reached, unless said otherwise.
 */
export interface DecisionLog {
  /** 12 hexadecimal digits, part of every gid. */
  readonly installation: string;

  /**
   * Writes the commit decision, unless one stands or the epoch is retired. Many calls share one
   * statement and one flush. `commit` is answered only once the row is durable. Never rejects.
   */
  decide(request: CommitRequest): Promise<DecideReply>;

  /**
   * Writes an abort decision for each transaction that has no decision, and returns what stands for
   * each, durably. Waits for, and loses to, a commit decision that is still being written. A transaction
   * that is missing in the answer began on a day that the log has forgotten: nobody can decide it.
   */
  settle(
    requests: readonly AbortRequest[],
    decidedBy: DecidedBy,
  ): Promise<ReadonlyMap<string, StandingDecision>>;

  /** The standing, durable decisions of these transactions; absent where there is none. */
  decisionsOf(transactionIds: readonly string[]): Promise<ReadonlyMap<string, StandingDecision>>;

  /** Milliseconds since 1970: what began earlier may have been decided, and the log does not know. */
  forgottenBefore(): Promise<number | undefined>;

  /** The committed transaction that carries this key. */
  findByIdempotencyKey(key: string): Promise<string | undefined>;

  registerCoordinator(info: CoordinatorInfo): Promise<void>;
  /** False when the epoch is retired. */
  heartbeat(epoch: string): Promise<boolean>;
  epochsOf(epochs: readonly string[]): Promise<ReadonlyMap<string, EpochStatus>>;
  /**
   * Retires an epoch whose heartbeat is older than `heartbeatLimitMs` and than the limit that it has registered, or
   * whose session is gone.
   * True when the epoch is retired now. Waits for decisions that are still being written.
   */
  retire(epoch: string, heartbeatLimitMs: number): Promise<boolean>;
  /** A coordinator ends its own epoch: it will decide no more. */
  endEpoch(epoch: string): Promise<void>;

  /**
   * Notes the server that stands behind a name. Returns a description of the one that stood there
   * before, if it was another one; the change is in the audit table then.
   */
  registerParticipant(
    name: string,
    server: ServerIdentity,
    databaseName: string,
  ): Promise<string | undefined>;
  /** Wakes the daemons: this participant has a branch that its coordinator could not finish. */
  requestRecovery(participant: string): Promise<void>;
  /** Records once per gid and kind. True when it is new. */
  recordHeuristic(record: HeuristicRecord): Promise<boolean>;
  close(): Promise<void>;
}
