import type { Decision, HeuristicKind, ServerIdentity } from '../states.ts';

/** A branch that a recovery pass did not finish, and why. */
export interface BranchLeft {
  readonly gid: string;
  readonly transactionId: string;
  /** Letter of the row of the decision table that it met. */
  readonly row: string;
  readonly reason: string;
  /** Set when finishing it was tried: the next pass tries again. */
  readonly error: Error | undefined;
}

export interface HeuristicFound {
  readonly gid: string;
  readonly transactionId: string;
  readonly decision: Decision;
  readonly kind: HeuristicKind;
  readonly evidence: string;
}

/** What one recovery pass saw and did on one participant. */
export interface ParticipantReport {
  /** `listed`: its list was read. Anything else is no information. */
  readonly status: 'listed' | 'standby' | 'other-server' | 'unreachable';
  readonly committed: number;
  readonly rolledBack: number;
  /** Branches of ours that are still there. */
  readonly left: readonly BranchLeft[];
  readonly heuristics: readonly HeuristicFound[];
  /** Prepared transactions of others in this database: seen, never touched. */
  readonly foreign: number;
  /** Age of the oldest branch that is left, in milliseconds by the clock of its server; 0 if none is. */
  readonly oldestMs: number;
  /** The oldest transaction of ours that was on the list, finished now or not. */
  readonly oldest: string | undefined;
  /** Whose list it is; undefined unless it was listed. */
  readonly server: ServerIdentity | undefined;
  /** Of max_prepared_transactions, over all databases of the server, before the pass. */
  readonly slots: { readonly used: number; readonly max: number } | undefined;
  /** Why the pass over this participant ended early. */
  readonly error: Error | undefined;
}

/** What `recover()` did. */
export interface RecoveryReport {
  readonly committed: number;
  readonly rolledBack: number;
  readonly left: number;
  readonly heuristics: number;
  /** Every participant was read, and nothing of ours is left in doubt on any. */
  readonly complete: boolean;
  readonly participants: Readonly<Record<string, ParticipantReport>>;
}

export function summarize(
  participants: Readonly<Record<string, ParticipantReport>>,
): RecoveryReport {
  const all = Object.values(participants);
  const sum = (count: (report: ParticipantReport) => number): number =>
    all.reduce((total, report) => total + count(report), 0);
  const left = sum((report) => report.left.length);
  return {
    committed: sum((report) => report.committed),
    rolledBack: sum((report) => report.rolledBack),
    left,
    heuristics: sum((report) => report.heuristics.length),
    complete: left === 0 && all.every((report) => report.status === 'listed' && !report.error),
    participants,
  };
}

/** The report of the later pass, with what the earlier one had already done. */
export function mergeReports(
  earlier: ParticipantReport,
  later: ParticipantReport,
): ParticipantReport {
  return {
    ...later,
    committed: earlier.committed + later.committed,
    rolledBack: earlier.rolledBack + later.rolledBack,
    heuristics: [...earlier.heuristics, ...later.heuristics],
  };
}
