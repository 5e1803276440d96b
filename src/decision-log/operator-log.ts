import type { DecidedBy, Decision, HeuristicKind } from '../states.ts';
import type { RecordedBranch } from './decision-log.ts';

/** What an operator asks of the log beside the register. */
export interface CoordinatorRecord {
  readonly epoch: string;
  readonly name: string;
  readonly host: string;
  readonly pid: number;
  readonly version: string;
  readonly role: string;
  readonly startedAt: Date;
  readonly heartbeatAt: Date;
  readonly retiredAt: Date | undefined;
  readonly retiredBy: DecidedBy | undefined;
}

export interface OpenHeuristic {
  readonly gid: string;
  readonly kind: HeuristicKind;
  readonly transactionId: string;
  readonly participant: string;
  readonly decision: Decision;
  readonly evidence: string;
  readonly foundBy: string;
  readonly foundAt: Date;
  readonly acknowledged: Acknowledgement | undefined;
}

export interface Acknowledgement {
  readonly at: Date;
  readonly by: string;
  readonly reason: string | undefined;
}

/** The server that stands behind a name: the one that was registered last. */
export interface ServerRecord {
  readonly participant: string;
  readonly systemIdentifier: string;
  readonly databaseOid: string;
  readonly databaseName: string;
  readonly timeline: string;
  /** When recovery has read its list last. */
  readonly listedAt: Date | undefined;
  /** An operator has said that it is gone for good, and nobody has seen it since. */
  readonly retired: boolean;
}

/** Which daemon works on a participant. */
export interface LeaseRecord {
  /** As the daemon names it: `participant orders`, `housekeeping`. */
  readonly name: string;
  readonly holder: string;
  /** Milliseconds by the log's clock; negative when it has run out. */
  readonly remainingMs: number;
}

/** What recovery could not do when it tried last. Times are by the log's clock, in milliseconds. */
export interface FailedAttempt {
  readonly participant: string;
  /** Undefined: the participant as a whole could not be worked on. */
  readonly gid: string | undefined;
  readonly transactionId: string | undefined;
  /** Name of the daemon that has tried. */
  readonly daemon: string;
  /** In a row. */
  readonly attempts: number;
  readonly error: string;
  readonly failedAgoMs: number;
  /** Negative: it is due. */
  readonly nextInMs: number;
}

export interface AuditEntry {
  readonly actor: string;
  readonly action: string;
  readonly transactionId?: string | undefined;
  readonly epoch?: string | undefined;
  readonly reason?: string | undefined;
  readonly before?: unknown;
  readonly after?: unknown;
}

export interface AuditRecord extends AuditEntry {
  /** Decimal digits; grows. */
  readonly id: string;
  readonly at: Date;
  /** The role of the session that wrote it. */
  readonly role: string;
}

export interface DecisionRecord {
  readonly transactionId: string;
  readonly epoch: string;
  readonly coordinator: string | undefined;
  readonly decision: Decision;
  readonly decidedBy: DecidedBy;
  readonly decidedAt: Date;
  readonly label: string | undefined;
  readonly branches: readonly RecordedBranch[];
}

export interface HistoryFilter {
  readonly since: Date | undefined;
  readonly until: Date | undefined;
  readonly decision: Decision | undefined;
  readonly decidedBy: DecidedBy | undefined;
  /** Part of the label, as text. */
  readonly label: string | undefined;
  readonly transactionId: string | undefined;
  readonly limit: number;
}

/** An operator's commit. Refused while the epoch could still decide: retire it first. */
export interface OperatorCommit {
  readonly transactionId: string;
  readonly epoch: string;
  readonly label: string | undefined;
  readonly branches: readonly RecordedBranch[];
}

export interface OperatorLog {
  coordinators(filter: {
    readonly epochs?: readonly string[];
    readonly includeRetired: boolean;
  }): Promise<readonly CoordinatorRecord[]>;
  /** Those that nobody has acknowledged, and all of these transactions. */
  heuristics(transactionIds: readonly string[]): Promise<readonly OpenHeuristic[]>;
  servers(): Promise<readonly ServerRecord[]>;
  leases(): Promise<readonly LeaseRecord[]>;
  failedAttempts(): Promise<readonly FailedAttempt[]>;
  /** Ids of decided transactions that begin with these hexadecimal digits; at most `limit`. */
  decidedWithPrefix(hex: string, limit: number): Promise<readonly string[]>;
  history(filter: HistoryFilter): Promise<readonly DecisionRecord[]>;
  audit(filter: HistoryFilter): Promise<readonly AuditRecord[]>;

  /**
   * Writes the operator's commit, unless a decision stands or the epoch may still decide. What stands then
   * is for `DecisionLog.decisionsOf` to say. Rejects with SQLSTATE PX001 on a day that the log has forgotten.
   */
  commit(request: OperatorCommit): Promise<void>;
  /** Retires an epoch that may be alive: it decides no more. Waits for decisions that are being written. */
  retireNow(epoch: string): Promise<void>;
  /**
   * Does the work while no other operator does any on this transaction, or `otherwise`. It keeps people apart, by a
   * lock of the session; it is no part of what makes a decision safe.
   */
  alone<T>(transactionId: string, work: () => Promise<T>, otherwise: () => T): Promise<T>;
  note(entry: AuditEntry): Promise<void>;
  /** Those of these records that were open and are acknowledged now, with a row in the audit about it. */
  acknowledge(
    transactionId: string,
    shown: readonly Pick<OpenHeuristic, 'gid' | 'kind'>[],
    actor: string,
    reason: string,
  ): Promise<readonly OpenHeuristic[]>;
  close(): Promise<void>;
}
