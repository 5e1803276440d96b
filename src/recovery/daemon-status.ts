import type { ParticipantReport } from './report.ts';

/** What a recovery daemon knows at this moment. Reading it costs no SQL. */
export interface DaemonStatus {
  readonly name: string;
  /** Wall clock of this process; for people only. */
  readonly startedAt: Date;
  /** `listening`: woken by the log at once. `polling`: behind a transaction pooler, or not tested yet. */
  readonly wake: 'listening' | 'polling';
  readonly log: {
    readonly reachable: boolean;
    /** Why the last statement on it failed. */
    readonly error: Error | undefined;
  };
  /** Milliseconds since any loop came round last. Grows only when the event loop or all loops hang. */
  readonly sinceLastTickMs: number;
  /** Every participant that this daemon is responsible for has been looked at, with or without success. */
  readonly firstPassDone: boolean;
  readonly participants: Readonly<Record<string, ParticipantStatus>>;
  readonly housekeeping: HousekeepingStatus;
}

export interface ParticipantStatus {
  /** Who works on it: this daemon, another one, or (before the log has answered) not known yet. */
  readonly lease: 'held' | 'elsewhere' | 'unknown';
  /** Name of the daemon that holds the lease, as far as it is known. */
  readonly holder: string | undefined;
  /** What the last pass of this daemon saw; `none` before the first, and while another daemon works. */
  readonly state: ParticipantReport['status'] | 'none';
  /** Wall clock of this process. */
  readonly lastPassAt: Date | undefined;
  readonly lastSuccessAt: Date | undefined;
  readonly failuresInARow: number;
  readonly error: Error | undefined;
  /** On the last list that could be read, as are the following. */
  readonly inDoubt: {
    /** Decided, and not finished yet: what recovery failed to finish, or has set aside. */
    readonly decided: number;
    /** Not decided: their coordinator is alive, or not yet certainly dead. */
    readonly undecided: number;
    /** Nothing can be presumed: the log does not know their coordinator, or has forgotten their day. */
    readonly unexplained: number;
  };
  /** Age of the oldest branch of ours, in milliseconds by the clock of its server; 0 if there is none. */
  readonly oldestInDoubtMs: number;
  /** Branches that failed repeatedly and are tried more and more seldom. */
  readonly setAside: readonly SetAsideBranch[];
  /** Prepared transactions of others: seen, never touched. */
  readonly foreign: number;
  /** Of max_prepared_transactions, over all databases of the server. */
  readonly preparedSlots: { readonly used: number; readonly max: number } | undefined;
}

export interface SetAsideBranch {
  readonly gid: string;
  readonly attempts: number;
  readonly error: Error;
}

export interface HousekeepingStatus {
  readonly lastRunAt: Date | undefined;
  readonly error: Error | undefined;
  /** Why decisions older than the retention are still kept; undefined when nothing holds them. */
  readonly heldBy: string | undefined;
  /** The log remembers every decision about transactions that began after this; undefined: all of them. */
  readonly forgottenBefore: Date | undefined;
}
