/** What triage shows: of all participants and the log, at one moment. Plain data, as `-o json` prints it. */
import type { FailedAttempt, OpenHeuristic } from '../decision-log/operator-log.ts';
import type { Observation } from '../recovery/decision-table.ts';
import type { DecidedBy, Decision, ServerIdentity } from '../states.ts';
import type { BlockedSession } from './blocking.ts';
import type { ForeignOrigin } from './foreign.ts';

export type Verdict =
  /** The decision is commit: what is left in doubt is to be committed. */
  | 'commit'
  /** The decision is abort. */
  | 'abort'
  /** No decision yet; its coordinator is alive and makes it. */
  | 'undecided-live'
  /** No decision, and its coordinator is dead or retired: abort is to be won. */
  | 'undecided-dead'
  /** A branch has ended against the decision. */
  | 'contradictory'
  /** Nobody can tell from here: the fate of a branch is unknown, or the log has no memory of it. */
  | 'hazard'
  /** The decision log does not answer. */
  | 'unknown';

export type BranchState =
  | 'prepared'
  | 'committed'
  | 'rolled-back'
  /** Its server does not answer, or cannot prove it. */
  | 'unknown';

export interface BranchView {
  readonly participant: string;
  /** Ordinal in the transaction, from 1. */
  readonly branch: number;
  /** Empty where no branch of the transaction is left to tell its epoch. */
  readonly gid: string;
  readonly state: BranchState;
  /** Decimal digits. */
  readonly xid: string | undefined;
  /** The decision does not record the database. */
  readonly server: (Omit<ServerIdentity, 'databaseOid'> & { databaseOid?: string }) | undefined;
  /** The rest is of prepared branches alone. */
  readonly preparedAt: Date | undefined;
  readonly ageMs: number | undefined;
  readonly owner: string | undefined;
  /** Transactions since its own, and the number at which the server begins to act on it. */
  readonly xidAge: number | undefined;
  readonly freezeLimit: number | undefined;
  readonly blocked: readonly BlockedSession[];
  /** What recovery sees of it, the row of its decision table, and why. */
  readonly observation: Observation | undefined;
  readonly row: string | undefined;
  readonly why: string | undefined;
  /** Why recovery has not finished it yet, and when it tries again; undefined while nothing has failed repeatedly. */
  readonly attempt: LastAttempt | undefined;
}

/** Of recovery. */
export type LastAttempt = Omit<FailedAttempt, 'participant' | 'gid' | 'transactionId'>;

export interface CoordinatorView {
  readonly epoch: string;
  readonly name: string | undefined;
  readonly host: string | undefined;
  readonly pid: number | undefined;
  readonly state: Observation['coordinator'];
  readonly heartbeatAgeMs: number | undefined;
}

export interface DecisionView {
  readonly decision: Decision;
  readonly decidedBy: DecidedBy;
  readonly decidedAt: Date;
}

export interface TransactionView {
  readonly transactionId: string;
  readonly verdict: Verdict;
  readonly reason: string;
  readonly beganAt: Date;
  readonly label: string | undefined;
  readonly decision: DecisionView | undefined;
  readonly coordinator: CoordinatorView | undefined;
  readonly branches: readonly BranchView[];
  readonly heuristics: readonly OpenHeuristic[];
  /** Of the oldest branch that is prepared. */
  readonly ageMs: number;
  /** Sessions that wait for its branches, in all. */
  readonly blocked: number;
}

export interface ForeignView {
  readonly participant: string;
  readonly gid: string;
  readonly origin: ForeignOrigin;
  readonly xid: string;
  readonly ageMs: number;
  readonly owner: string | undefined;
  readonly xidAge: number | undefined;
  readonly freezeLimit: number | undefined;
  readonly blocked: readonly BlockedSession[];
}

export interface ParticipantView {
  readonly name: string;
  /** Anything but `listed` is no information: it may hold branches that are not shown. */
  readonly status:
    | 'listed'
    | 'standby'
    | 'other-server'
    | 'unusable'
    | 'unreachable'
    /** The log knows it, and the configuration of this process does not name it. */
    | 'not-configured';
  readonly error: string | undefined;
  readonly server: ServerIdentity | undefined;
  readonly slots: { readonly used: number; readonly max: number } | undefined;
  /** Who is blocked could not be found out. */
  readonly inspectionError: string | undefined;
  /** The daemon that works on it. */
  readonly daemon: string | undefined;
  /** Why a daemon could not work on it at all, when it tried last. */
  readonly attempt: LastAttempt | undefined;
}

export interface Survey {
  readonly takenAt: Date;
  /** Undefined while the log does not answer. */
  readonly installation: string | undefined;
  readonly log: {
    readonly status: 'reachable' | 'unreachable';
    readonly error: string | undefined;
  };
  /** Every participant was listed, and the log has answered: nothing is missing here. */
  readonly complete: boolean;
  readonly participants: readonly ParticipantView[];
  /** Oldest first. */
  readonly transactions: readonly TransactionView[];
  readonly foreign: readonly ForeignView[];
}
