/**
 * The vocabulary of the protocol. Imports nothing; read this file first.
 *
 * Words are those of ARCHITECTURE.md: a *transaction* is global, a *branch* is its share on one
 * *participant*, a *vote* is a branch's answer to PREPARE, the *decision* is the one durable row.
 */

/** What the decision register holds for a transaction. Write-once. */
export type Decision = 'commit' | 'abort';

/** Who wrote a decision. */
export type DecidedBy = 'coordinator' | 'recovery' | 'operator';

/** What `outcomeOf` answers. */
export type Outcome = 'committed' | 'aborted' | 'undecided';

/** The states of one transaction in its coordinator, and the edges that exist between them. */
export const TRANSACTION_EDGES = {
  active: ['voting', 'rolling-back'],
  voting: ['deciding', 'committing-one-phase', 'rolling-back', 'committed'],
  'committing-one-phase': ['committed', 'rolled-back', 'unknown'],
  deciding: ['committing', 'rolling-back', 'unknown'],
  committing: ['committed'],
  'rolling-back': ['rolled-back'],
  unknown: ['committing', 'rolling-back', 'committed', 'rolled-back'],
  committed: [],
  'rolled-back': [],
} as const satisfies Record<string, readonly string[]>;

export type TransactionState = keyof typeof TRANSACTION_EDGES;

/** True when the protocol has an edge between the two states. */
export function isLegalEdge(from: TransactionState, to: TransactionState): boolean {
  return (TRANSACTION_EDGES[from] as readonly TransactionState[]).includes(to);
}

/**
 * Which server a branch lives on. A promotion keeps the system identifier and raises the timeline;
 * an xid is evidence only while both are the same (invariant 6).
 */
export interface ServerIdentity {
  /** `system_identifier` of pg_control_system(), decimal digits. */
  readonly systemIdentifier: string;
  /** First 8 hexadecimal digits of the current WAL file name. The control file lags behind it. */
  readonly timeline: string;
  /** OID of the database, decimal digits. */
  readonly databaseOid: string;
}

/** The server process that ran a branch: what must be gone before "never prepared" is true. */
export interface Backend {
  readonly pid: number;
  /** `backend_start` as text with microseconds: a pid is reused, the pair is not. */
  readonly startedAt: string;
}

/** Everything that proves the fate of a branch later, taken before PREPARE or COMMIT is sent. */
export interface BranchEvidence {
  readonly participant: string;
  /** Ordinal of the branch in its transaction, from 1. */
  readonly branch: number;
  /** Full transaction id (xid8) as decimal digits; undefined if the branch has none. */
  readonly xid: string | undefined;
  /**
   * Of the server, as its session knew it. Unless the branch is prepared (which flushes the id), a status of
   * the id is this branch's own only while the server has not crashed since.
   */
  readonly incarnation: string | undefined;
  readonly server: ServerIdentity;
  readonly backend: Backend;
}

/** What a branch has done so far, asked before the vote. */
export type BranchWork =
  | { readonly kind: 'none' }
  | { readonly kind: 'read-only' }
  | { readonly kind: 'writer' }
  /** The branch cannot commit any more; `error` is the first thing that went wrong in it. */
  | { readonly kind: 'failed'; readonly error: Error };

/** A branch's answer to PREPARE (invariant 3). */
export type Vote =
  | { readonly kind: 'yes'; readonly evidence: BranchEvidence }
  | { readonly kind: 'read-only' }
  /** Surely rolled back by the server. */
  | { readonly kind: 'no'; readonly error: Error }
  /** The branch may be prepared, now or later (invariant 7). */
  | { readonly kind: 'unknown'; readonly error: Error; readonly evidence: BranchEvidence };

/** The reply to a one-phase COMMIT. */
export type OnePhaseReply =
  | { readonly kind: 'committed' }
  | { readonly kind: 'rolled-back'; readonly error: Error }
  | { readonly kind: 'unknown'; readonly error: Error; readonly evidence: BranchEvidence };

/** How a branch ended against, or ahead of, the decision. */
export type HeuristicKind = 'commit' | 'rollback' | 'mixed' | 'hazard';

/** The result of one attempt to finish one prepared branch. */
export type FinishResult =
  | { readonly kind: 'done' }
  /** Not finished, or not proven durable: to be tried again (invariant 5). */
  | { readonly kind: 'pending'; readonly error: Error }
  | {
      readonly kind: 'heuristic';
      readonly heuristic: HeuristicKind;
      /** Why it is believed: a sentence for the operator. */
      readonly evidence: string;
    };

/** The fate of a transaction id as the server that issued it tells. */
export type XactStatus =
  | 'committed'
  | 'aborted'
  | 'in progress'
  /** Too old, in the future, or another server or timeline: no information. */
  | 'no-information';
