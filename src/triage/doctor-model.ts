/** What `doctor` has read of the log and the participants, and what it says of it. Plain data. */
import type { ServerFacts } from '../participant/server-facts.ts';
import type { EpochStatus } from '../decision-log/decision-log.ts';
import type { FailedAttempt } from '../decision-log/operator-log.ts';
import type { Survey } from './model.ts';

/** `fault`: something does not work, or can lose what was promised. `warning`: it can become one. */
export type Severity = 'ok' | 'info' | 'warning' | 'fault';

export interface Finding {
  readonly severity: Severity;
  readonly subject: 'log' | 'participant' | 'daemon' | 'coordinators';
  /** Undefined where it is about the log, or about all of them. */
  readonly participant: string | undefined;
  /** Name of what was looked at: stable, for scripts. */
  readonly check: string;
  readonly found: string;
  /** What to do; undefined where nothing has to be done. */
  readonly action: string | undefined;
}

/** The check of what did not answer: no fault that was found, but a part of the answer that is missing. */
export const NO_ANSWER = 'no_answer';

export interface Diagnosis {
  readonly takenAt: Date;
  /** `fault`: one was found, whatever else is missing. `partial`: none, and something did not answer. */
  readonly outcome: 'fine' | 'fault' | 'partial';
  /** Worst first. */
  readonly findings: readonly Finding[];
  readonly counts: Readonly<Record<Severity, number>>;
  /** The log and every participant have answered: nothing was left unlooked at. */
  readonly complete: boolean;
}

/** What a server has said, or why it has not. */
export type Answer<T> =
  | { readonly kind: 'answered'; readonly facts: T }
  /** It is there, and does not let us in: waiting mends nothing. */
  | { readonly kind: 'refused'; readonly error: string; readonly hint: string }
  | { readonly kind: 'silent'; readonly error: string };

export interface Setting {
  readonly value: string;
  /** As pg_settings names it: `database`, `user`, `configuration file` … */
  readonly source: string;
}

/** What is asked of every server, whatever it is for. */
export interface ServerCondition {
  readonly versionNumber: number;
  readonly inRecovery: boolean;
  readonly login: string;
  readonly database: string;
  /** As they apply to a session of this login. Absent: this version has no such setting. */
  readonly settings: Readonly<Record<string, Setting>>;
  /** Values of synchronous_commit that other logins get here. */
  readonly otherDefaults: readonly { readonly role: string; readonly value: string }[];
  readonly standbys: {
    readonly connected: number;
    /** Undefined: this login may not see which of them are synchronous. */
    readonly synchronous: number | undefined;
  };
  /** How far its clock is ahead of this machine's, and how exactly that is known; milliseconds. */
  readonly clock: ClockReading;
  /** Undefined: it could not be found out. */
  readonly pooler: Pooler | undefined;
}

export interface ClockReading {
  readonly aheadMs: number;
  readonly uncertainMs: number;
}

/** What stands between this process and the server. */
export type Pooler = 'none' | 'session' | 'transaction';

/** A role whose branches the login may have to finish. */
export interface BranchRole {
  /** Undefined: it was dropped. */
  readonly role: string | undefined;
  /** Branches of this log that it owns now. */
  readonly branches: number;
  /** Sessions of pgxa that it has now. */
  readonly sessions: number;
  /** By `set role`, as the owner itself, or as a superuser. */
  readonly mayFinish: boolean;
}

export interface Rights {
  readonly superuser: boolean;
  readonly roles: readonly BranchRole[];
  /** Logins whose branches it may finish by `set role`; not all of them where there are many. */
  readonly settable: readonly string[];
}

export interface PreparedElsewhere {
  readonly database: string;
  readonly count: number;
  /** Of this installation; of any, where it is not known. */
  readonly ours: number;
}

export interface ParticipantFacts {
  readonly condition: ServerCondition;
  readonly server: ServerFacts;
  readonly slotsUsed: number;
  /** Which branches are of this log. Without it those of every pgxa installation are counted in what follows. */
  readonly isInstallationKnown: boolean;
  /** Undefined, as the next one: it could not be asked. */
  readonly rights: Rights | undefined;
  readonly elsewhere: readonly PreparedElsewhere[] | undefined;
}

/** To be said wherever branches are counted without knowing whose they are. */
export const OF_WHICH_UNKNOWN = 'which one is not known while the log is unreadable';

export type Purpose = 'application' | 'recovery' | 'operator' | 'monitor';

export interface LogFacts {
  readonly condition: ServerCondition;
  readonly schema: {
    readonly isThere: boolean;
    /** Undefined also where this login may not read it. */
    readonly found: number | undefined;
    readonly known: number;
  };
  /** What this login may be used for. */
  readonly purposes: readonly Purpose[];
  /** Undefined: not migrated, or not to be read by this login. */
  readonly records: LogRecords | undefined;
}

export interface LogRecords {
  readonly installation: string;
  /** The server behind each name that was ever registered. */
  readonly servers: readonly RegisteredServerFacts[];
  readonly leases: readonly LeaseFacts[];
  /** Those that are not retired. */
  readonly coordinators: readonly CoordinatorFacts[];
  readonly failedAttempts: readonly FailedAttempt[];
}

/** Ages are by the log's clock, in milliseconds. */
export interface RegisteredServerFacts {
  readonly participant: string;
  readonly systemIdentifier: string;
  readonly databaseOid: string;
  readonly timeline: string;
  readonly listedTimeline: string | undefined;
  /** Since recovery has read its list last; undefined: never. */
  readonly listedAgeMs: number | undefined;
  readonly retired: boolean;
}

export interface LeaseFacts {
  readonly name: string;
  readonly holder: string;
  /** Negative: it has run out. */
  readonly remainingMs: number;
}

export interface CoordinatorFacts extends EpochStatus {
  readonly epoch: string;
  readonly host: string;
  readonly pid: number;
  readonly version: string;
  readonly ageMs: number;
  /** Its session holds the lock of its epoch. */
  readonly guarded: boolean;
}

export interface DoctorFacts {
  readonly log: Answer<LogFacts>;
  readonly participants: ReadonlyMap<string, Answer<ParticipantFacts>>;
  readonly survey: Survey;
  readonly heartbeatLimitMs: number;
}

export type Say = (severity: Severity, check: string, found: string, action?: string) => Finding;

export function speaker(subject: Finding['subject'], participant?: string): Say {
  return (severity, check, found, action) => ({
    severity,
    subject,
    participant,
    check,
    found,
    action,
  });
}
