import type { ServerIdentity } from '../states.ts';

/** What a recovery daemon asks of the log beside the register. None of it decides anything. */
export interface LeaseRequest {
  readonly names: readonly string[];
  /** For people. */
  readonly holder: string;
  /** Random, one for every start of a daemon. */
  readonly holderId: string;
  readonly leaseMs: number;
}

export interface LeaseState {
  readonly name: string;
  readonly holder: string;
  readonly isOurs: boolean;
  /** Counts the holders; decimal digits. */
  readonly term: string;
  /** By the log's clock; negative when it has run out. */
  readonly remainingMs: number;
}

export interface ListingNote {
  readonly participant: string;
  readonly systemIdentifier: string;
  readonly databaseOid: string;
  /** Oldest transaction of ours on the list. */
  readonly oldest: string | undefined;
  /** How long ago the list was read. */
  readonly ageMs: number;
  /** Of the server, once nothing of an older one is left to check. */
  readonly timeline: string | undefined;
}

/** What recovery cannot do for the moment. */
export interface FailureNote {
  /** Undefined: the participant as a whole. */
  readonly gid: string | undefined;
  readonly transactionId: string | undefined;
  /** In a row. */
  readonly attempts: number;
  readonly error: string;
  readonly nextInMs: number;
}

/** A branch that a commit decision recorded. */
export interface DecidedBranch {
  readonly transactionId: string;
  readonly epoch: string;
  readonly participant: string;
  readonly branch: number;
  readonly xid: string;
  readonly timeline: string;
}

export interface DecidedPage {
  readonly branches: readonly DecidedBranch[];
  /** The oldest transaction that was looked at; undefined when there is none any more. */
  readonly reached: string | undefined;
}

export interface Housekeeping {
  /** Names of partitions that were made ahead. */
  readonly made: readonly string[];
  /** Names of partitions that were dropped. */
  readonly dropped: readonly string[];
  /** Why no partition is dropped although some are older than the retention. */
  readonly heldBy: string | undefined;
  readonly forgottenEpochs: number;
  readonly forgottenKeys: number;
  readonly forgottenBefore: Date | undefined;
}

export interface RegisteredServer {
  readonly systemIdentifier: string;
  readonly databaseOid: string;
}

export interface DaemonLog {
  /** Takes or renews the leases that are free, run out, or ours. Returns the state of all of them. */
  lease(request: LeaseRequest): Promise<readonly LeaseState[]>;
  /** Gives leases back, so that another daemon need not wait. */
  release(names: readonly string[], holderId: string): Promise<void>;
  /** Retires every epoch whose heartbeat or session is over, without waiting for any. Returns them. */
  retireSilent(heartbeatLimitMs: number): Promise<readonly string[]>;
  /** The server that stands behind a name: the one that was registered last. */
  serverBehind(participant: string): Promise<RegisteredServer | undefined>;
  /** The timeline that was noted last for a server, and how long ago it was the server's. */
  listedTimeline(
    participant: string,
    server: ServerIdentity,
  ): Promise<{ readonly timeline: string; readonly ageMs: number } | undefined>;
  /**
   * Branches of a participant on this system that were decided to commit on another timeline than its present one,
   * newest first, of transactions that are older than `before`: a page of the log, with what it has of them.
   */
  decidedElsewhere(request: {
    readonly participant: string;
    readonly server: ServerIdentity;
    readonly before: string | undefined;
    /** No transaction is looked at that began earlier than so long ago. */
    readonly withinMs: number;
  }): Promise<DecidedPage>;
  noteListings(notes: readonly ListingNote[]): Promise<void>;
  /** All that is failing on a participant now: what was noted before, and is not among these, is over. */
  noteFailures(
    participant: string,
    daemon: string,
    failures: readonly FailureNote[],
  ): Promise<void>;
  keepHouse(retentionDays: number): Promise<Housekeeping>;
  /**
   * Listens for what wakes recovery, again after every loss of the session. `onWake` gets the payload;
   * `onMode` tells whether notifications really arrive (behind a transaction pooler they do not).
   */
  listen(
    onWake: (payload: string | undefined) => void,
    onMode: (mode: 'listening' | 'polling', reason: string) => void,
  ): void;
  close(): Promise<void>;
}
