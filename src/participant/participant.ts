import type { Cancelled } from '../cancellation.ts';
import type { QueryConfig, QueryResult } from '../postgres/client.ts';
import type {
  Backend,
  BranchEvidence,
  BranchWork,
  Decision,
  FinishResult,
  OnePhaseReply,
  ServerIdentity,
  Vote,
  XactStatus,
} from '../states.ts';

export type IsolationLevel = 'read committed' | 'repeatable read' | 'serializable';

/** What a branch needs to know of its transaction. */
export interface BranchSpec {
  readonly transactionId: string;
  /** Ordinal in the transaction, from 1. */
  readonly branch: number;
  readonly isolationLevel: IsolationLevel | undefined;
  readonly readOnly: boolean;
  /** Milliseconds until the deadline of the transaction, at the time of the call; may be negative. */
  readonly remainingMs: () => number;
  /** Aborted at the deadline or by the caller: ends the branch's session, whatever it is doing. */
  readonly signal: Cancelled;
}

/** What the caller could tell about a statement before sending it. */
export interface StatementTraits {
  /** How many statements the text holds: more than one goes as a simple query. */
  readonly statements: number;
  readonly leavesSessionState: boolean;
  readonly notifies: boolean;
}

/**
 * One branch, from its first statement to its vote. Opens nothing until the first statement. Not
 * concurrent: one call at a time. After `prepare`, `commitOnePhase`, `commitReadOnly`, `rollback` or
 * `abandon` the session is back in the pool, or ended where it is not clean or not certain.
 */
export interface Branch {
  readonly participant: string;
  readonly ordinal: number;
  /** Why the session is gone, or never came; undefined while it is sound. */
  readonly lost: Error | undefined;
  /** Serializable: its COMMIT may still find that what it read must not be relied on (40001). */
  readonly mayFailAtCommit: boolean;
  /** The server or the network ended the session. */
  readonly sessionEnded: boolean;
  /** True once the branch has had a session. */
  readonly connected: boolean;
  execute(query: QueryConfig, traits: StatementTraits): Promise<QueryResult | QueryResult[]>;
  /** What the branch has done; asks the server where that is not known yet. Never rejects. */
  inspect(): Promise<BranchWork>;
  /** Votes on `gid`. Never rejects. */
  prepare(gid: string): Promise<Vote>;
  /** From here on the deadline is not heard: the outcome is being decided. */
  outliveDeadline(): void;
  /** Ends a branch that wrote nothing; `read-only` or `no`. Never rejects. */
  commitReadOnly(): Promise<Vote>;
  /** The only writer's COMMIT: its own decision. The deadline no longer counts. Never rejects. */
  commitOnePhase(): Promise<OnePhaseReply>;
  /** Rolls the branch back before any vote. Never rejects: an ended session rolls back too. */
  rollback(): Promise<void>;
}

export interface FinishRequest {
  readonly gid: string;
  readonly decision: Decision;
  /** Taken before PREPARE; without it an absent gid proves nothing (invariant 6). */
  readonly evidence: Pick<BranchEvidence, 'xid' | 'server'> &
    Partial<Pick<BranchEvidence, 'incarnation'>>;
  /** Role that owns the branch, where it is known. */
  readonly owner?: string | undefined;
  /**
   * An absent gid is what the abort wants, whatever its xid says: the backend of a branch that was never voted
   * "yes" is gone (invariant 7), or the branch was listed, and another finisher that obeys the register was first.
   */
  readonly absentMeansAborted?: boolean;
}

/** A prepared branch as `pg_prepared_xacts` shows it. */
export interface PreparedBranch {
  /** Whatever name it has: a foreign one may hold anything. */
  readonly gid: string;
  /** Full transaction id (xid8), decimal digits. */
  readonly xid: string;
  /** Age by the server's clock, in milliseconds. */
  readonly ageMs: number;
  /** Null when the role was dropped: then only a superuser can finish the branch. */
  readonly owner: string | null;
  /** The owner is another role than the one that pgxa is connected as. */
  readonly ownedByOther: boolean;
}

/** `never-issued` is an answer; `too-old` is none: the server has forgotten the fate of the id. */
export type FateHere = 'committed' | 'aborted' | 'in progress' | 'never-issued' | 'too-old';

/** What one participant holds in doubt. */
export type InDoubtListing =
  | {
      readonly kind: 'listed';
      readonly server: ServerIdentity;
      /** All prepared transactions of this database, ours and foreign ones, oldest first. */
      readonly branches: readonly PreparedBranch[];
      /** Of max_prepared_transactions, over all databases of the server. */
      readonly slots: { readonly used: number; readonly max: number };
    }
  /** A standby lists nothing, although its primary may hold branches (invariant 9). */
  | { readonly kind: 'standby' }
  /** Another server answers under this name than the one that was registered (invariant 9). */
  | { readonly kind: 'other-server'; readonly server: ServerIdentity };

/**
 * One PostgreSQL database that can hold a branch: the resource manager of XA. Narrow on purpose;
 * every implementation passes the same conformance suite.
 */
export interface Participant {
  readonly name: string;
  /** How many branches it can run at once. */
  readonly capacity: number;
  /**
   * Connects, checks that the server can hold branches, and registers its identity.
   *
   * @throws ConfigError when no waiting mends it; any other error when the server does not answer.
   */
  verify(): Promise<ServerIdentity>;
  branch(spec: BranchSpec): Branch;
  /** One attempt to finish a prepared branch. Never rejects. */
  finish(request: FinishRequest): Promise<FinishResult>;
  /** True when that backend is gone for sure; ends it if it is not. Never rejects. */
  fence(backend: Backend): Promise<boolean>;
  /**
   * The fate of the transaction id of a branch that was not prepared, or `no-information`. Rejects when the
   * server does not answer.
   */
  xactStatus(evidence: Pick<BranchEvidence, 'xid' | 'incarnation' | 'server'>): Promise<XactStatus>;
  /**
   * What the server that answers says of an id, whatever history the id is from. Rejects when it does not answer,
   * or is a standby.
   */
  fateHere(xid: string): Promise<{ readonly server: ServerIdentity; readonly fate: FateHere }>;
  /** Rejects when the server does not answer. */
  listInDoubt(): Promise<InDoubtListing>;
  /**
   * As `listInDoubt`; when it resolves, each branch in it is durable: on the synchronous standby too, where there is
   * one. Rejects when that is not confirmed.
   */
  listDurable(): Promise<InDoubtListing>;
  close(): Promise<void>;
}
