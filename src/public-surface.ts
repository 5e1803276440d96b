/// <reference lib="esnext.disposable" preserve="true" />
/** What programs see of a transaction manager. */
import type { BranchClient } from './coordinator/branch-client.ts';
import type { CommitReport, Hook } from './coordinator/transaction.ts';
import type { IsolationLevel } from './participant/participant.ts';
import type { PoolLike } from './postgres/client.ts';
import type { DaemonStatus } from './recovery/daemon-status.ts';
import type { RecoveryReport } from './recovery/report.ts';
import type { Outcome } from './states.ts';

/** Where a database is: a connection string, or the settings that node-postgres takes. */
export interface ConnectionOptions {
  readonly connectionString?: string;
  readonly host?: string;
  readonly port?: number;
  readonly user?: string;
  /** A function is asked for every new connection: for credentials that rotate. */
  readonly password?: string | (() => string | Promise<string>);
  readonly database?: string;
  readonly ssl?: boolean | Record<string, unknown>;
}

export interface ParticipantOptions extends ConnectionOptions {
  /**
   * A pool of your own, used for the branches. Unless it is a node-postgres Pool, say also where the
   * database is: phase two and recovery use connections of their own. It is never ended by pgxa.
   */
  readonly pool?: PoolLike;
  /** Size of the pool that pgxa makes; default 10. Transactions beyond it wait their turn. */
  readonly max?: number;
  /** Longest wait for a lock in a branch, in milliseconds; default 10 000. */
  readonly lockTimeoutMs?: number;
}

export interface TransactionManagerConfig {
  /** Name of this program, for operators; up to 200 characters. Need not be unique. */
  readonly coordinator: string;
  /** The database of decisions, migrated by `migrateDecisionLog`. Connect directly, not through a pooler. */
  readonly decisionLog: ConnectionOptions;
  /** By name: a letter, then up to 62 letters, digits, `_` or `-`. Names are written to the log. */
  readonly participants: Readonly<Record<string, ParticipantOptions>>;
  /** Default deadline of a transaction, in milliseconds, counted until its decision; default 30 000. */
  readonly timeoutMs?: number;
  /**
   * A coordinator that the log has not heard of for this long counts as dead, in milliseconds; default
   * 10 000. It says when recovery acts, never whether that is safe. Recovery waits for the longer of its own limit
   * and of the one that the coordinator has registered.
   */
  readonly heartbeatLimitMs?: number;
  /** Longest time to connect to a server, in milliseconds; default 5 000. */
  readonly connectTimeoutMs?: number;
}

export interface RunOptions {
  /** For operators: shown with the transaction, and kept with its decision; up to 200 characters. */
  readonly label?: string;
  /** Deadline in milliseconds from the call until the decision; default from the configuration. */
  readonly timeoutMs?: number;
  /** Aborts the transaction until its decision; after it, it is not heard. */
  readonly signal?: AbortSignal;
  /**
   * Unique in the log: a second run with the same key is rolled back with `PGXA_ALREADY_DONE` and told
   * which transaction did it. Makes one writer take the two-phase path too.
   */
  readonly idempotencyKey?: string;
  /** Of every branch; default is that of each server. */
  readonly isolationLevel?: IsolationLevel;
  /** BEGIN READ ONLY on every branch. */
  readonly readOnly?: boolean;
  /** Runs the function again, at most this often in all, where the error is `retryable`; default 1. */
  readonly retry?: { readonly attempts: number };
}

/** What the function given to `run` works with. */
export interface TransactionScope {
  /** UUIDv7 */
  readonly id: string;
  /** Aborted when the transaction cannot commit any more: at its deadline, or by its caller. */
  readonly signal: AbortSignal;
  /**
   * The client of a participant; the first statement begins the branch.
   *
   * @throws MisuseError with code `PGXA_UNKNOWN_PARTICIPANT`.
   */
  on(participant: string): BranchClient;
  /** Called once the commit is durable, before `run` resolves. What it throws is published, no more. */
  onCommitted(hook: Hook): void;
  /** Called once the transaction is surely rolled back. What it throws is published, no more. */
  onRolledBack(hook: Hook): void;
}

/** A transaction whose end the program controls. Disposing it rolls it back if it is still open. */
export interface Transaction extends TransactionScope, AsyncDisposable {
  /**
   * Resolves once the transaction is committed durably: its decision is in the log, or its only
   * writer has committed.
   *
   * @throws RolledBackError, OutcomeUnknownError, HeuristicOutcomeError, MisuseError.
   */
  commit(): Promise<CommitReport>;
  /** Rolls back all branches. */
  rollback(): Promise<void>;
}

export interface TransactionManager extends AsyncDisposable {
  /**
   * Runs `fn` in one transaction over all participants that it touches, and commits when it returns.
   * When the promise resolves, the transaction is committed durably on all of them, or decided so and
   * being finished (see `CommitReport.pending`).
   *
   * @throws RolledBackError if it is surely not done: `fn` threw (it is the `cause`), a participant
   *   refused, the deadline passed. OutcomeUnknownError if nobody can tell yet: ask `outcomeOf`.
   *   HeuristicOutcomeError if a branch ended against the decision. MisuseError for wrong use.
   */
  run<T>(fn: (tx: TransactionScope) => Promise<T> | T): Promise<T>;
  run<T>(options: RunOptions, fn: (tx: TransactionScope) => Promise<T> | T): Promise<T>;
  /** Begins a transaction that the program ends itself. Waits while the pools are busy. */
  begin(options?: Omit<RunOptions, 'retry'>): Promise<Transaction>;
  /**
   * What became of a transaction. `undecided`: it is under way, or no decision of it is known: one
   * that had a single writer leaves none in the log, nor does one that rolled back before its vote.
   * `committed` and `aborted` never change.
   */
  outcomeOf(transactionId: string): Promise<Outcome>;
  /**
   * One recovery pass over all participants: finishes what was left in doubt by any coordinator of this
   * installation. Safe at any time, beside live coordinators and other recoverers. An undecided branch
   * whose coordinator is silent is waited for, at most a little over `heartbeatLimitMs`, until it is
   * certain whether that one is dead; `wait: false` leaves such branches to the next pass.
   */
  recover(options?: { readonly wait?: boolean }): Promise<RecoveryReport>;
  /**
   * Takes no more transactions, lets the running ones end (at most `timeoutMs`, default 30 000, then
   * they are rolled back), ends all connections that pgxa made. Never rejects; can be called again.
   */
  close(options?: { readonly timeoutMs?: number }): Promise<void>;
}

/** A migration of the decision log that has not been run there yet. */
export interface PendingMigration {
  readonly id: number;
  /** Of the package's `migrations`. */
  readonly file: string;
  readonly sql: string;
}

export interface RecoveryDaemonConfig {
  /** Name of this daemon, for operators; up to 200 characters. */
  readonly name: string;
  /** As for the transaction manager. The role needs pgxa_recovery (sql/roles.sql). */
  readonly decisionLog: ConnectionOptions;
  /** By the names under which the programs know them. */
  readonly participants: Readonly<Record<string, ConnectionOptions>>;
  /** A coordinator that asked for a longer silence gets it; in milliseconds, default 10 000. */
  readonly heartbeatLimitMs?: number;
  /** Longest time to connect to a server, in milliseconds; default 5 000. */
  readonly connectTimeoutMs?: number;
  /**
   * Time between two looks at a participant, in milliseconds; default 1 000. It is looked at more often while
   * something is in doubt there, a little more seldom (every 1.5 intervals) after ten quiet seconds.
   */
  readonly intervalMs?: number;
  /** Another daemon takes over when this one was not heard of for so long, in milliseconds; default 5 000. */
  readonly leaseMs?: number;
  /** How long decisions are kept, in days; default 7, at least 2. */
  readonly retentionDays?: number;
}

export interface RecoveryDaemon extends AsyncDisposable {
  /** Resolves once every participant was looked at, with or without success, or is another daemon's work. */
  readonly whenReady: Promise<void>;
  /** What the daemon knows now. Asks nobody. */
  status(): DaemonStatus;
  /**
   * Begins no branch any more, finishes those in hand (at most 15 s), gives the leases back, and ends all
   * connections. Never rejects; can be called again.
   */
  stop(): Promise<void>;
}
