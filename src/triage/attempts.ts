/** What the daemons have noted of their failures, put to what it is about. Pure. */
import type { FailedAttempt } from '../decision-log/operator-log.ts';
import type { BranchView, LastAttempt, TransactionView } from './model.ts';

/** Of a branch, or (without a gid) of the participant as a whole. */
export function attemptAt(
  failed: readonly FailedAttempt[],
  participant: string,
  gid: string | undefined,
): LastAttempt | undefined {
  const found = failed.find((one) => one.participant === participant && one.gid === gid);
  if (found === undefined) return undefined;
  const { daemon, attempts, error, failedAgoMs, nextInMs } = found;
  return { daemon, attempts, error, failedAgoMs, nextInMs };
}

/** A note may be older than the end of its branch: only what is prepared counts. */
export function withAttempts(
  transactions: readonly TransactionView[],
  failed: readonly FailedAttempt[],
): TransactionView[] {
  if (failed.length === 0) return [...transactions];
  const withAttempt = (branch: BranchView): BranchView =>
    branch.state === 'prepared'
      ? { ...branch, attempt: attemptAt(failed, branch.participant, branch.gid) }
      : branch;
  return transactions.map((one) => ({ ...one, branches: one.branches.map(withAttempt) }));
}

/** 12 s, 3 min, 4 h */
export function duration(ms: number): string {
  const unit = UNITS.find(([, size]) => ms >= size);
  return unit === undefined
    ? `${Math.max(0, Math.round(ms))} ms`
    : `${Math.floor(ms / unit[1])} ${unit[0]}`;
}

const UNITS: readonly (readonly [string, number])[] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1_000],
];

export function attemptInWords({ attempts, error, failedAgoMs, nextInMs }: LastAttempt): string {
  const next =
    nextInMs > 0 ? `the next attempt is in ${duration(nextInMs)}` : 'the next one is due';
  return `failed ${attempts} times in a row, last ${duration(failedAgoMs)} ago: ${error}; ${next}`;
}
