/** What is worth an alarm. Pure: from a survey. */
import type { ForeignView, Survey, TransactionView } from './model.ts';

export interface CheckLimits {
  /** What is younger is nobody's trouble: transactions are in doubt for moments all the time. */
  readonly ageMs: number;
  /** So many are tolerated. */
  readonly count: number;
  /** Older than this it is critical. */
  readonly criticalAgeMs: number;
  /** Prepared transactions of others count too. */
  readonly foreign: boolean;
}

export interface CheckResult {
  readonly state: 'fine' | 'found' | 'partial';
  readonly isCritical: boolean;
  /** Those that count. */
  readonly transactions: readonly TransactionView[];
  readonly foreign: readonly ForeignView[];
  /** Of all that is prepared, counted or not. */
  readonly inDoubt: number;
  readonly oldestMs: number;
  readonly blocked: number;
  readonly complete: boolean;
  /** In words, one line. */
  readonly summary: string;
}

export function check(survey: Survey, limits: CheckLimits): CheckResult {
  const transactions = survey.transactions.filter(
    (one) => isBroken(one) || (isInDoubt(one) && one.ageMs >= limits.ageMs),
  );
  const foreign = limits.foreign ? survey.foreign.filter(({ ageMs }) => ageMs >= limits.ageMs) : [];
  const inDoubt = survey.transactions.filter(isInDoubt);
  const isFound = transactions.length + foreign.length > limits.count;
  const oldestMs = Math.max(
    0,
    ...inDoubt.map(({ ageMs }) => ageMs),
    ...foreign.map(({ ageMs }) => ageMs),
  );
  const isCritical = isFound && (transactions.some(isBroken) || oldestMs >= limits.criticalAgeMs);
  const missing = survey.participants.filter(({ status }) => status !== 'listed');
  return {
    // What was found is certain, what is missing may be more of it.
    state: isFound ? 'found' : survey.complete ? 'fine' : 'partial',
    isCritical,
    transactions,
    foreign,
    inDoubt: inDoubt.length,
    oldestMs,
    blocked: inDoubt.reduce((sum, { blocked }) => sum + blocked, 0),
    complete: survey.complete,
    summary: [
      `${inDoubt.length} in doubt`,
      ...(foreign.length === 0 ? [] : [`${foreign.length} of others`]),
      `${transactions.length + foreign.length} over the limits`,
      ...(inDoubt.length + foreign.length === 0
        ? []
        : [`oldest ${Math.round(oldestMs / 1_000)} s`]),
      ...(survey.log.status === 'reachable' ? [] : ['the decision log does not answer']),
      ...missing.map(({ name, status }) => `${name} is ${status}`),
    ].join(', '),
  };
}

function isInDoubt({ branches }: TransactionView): boolean {
  return branches.some(({ state }) => state === 'prepared');
}

/** An age does not make it better or worse: somebody has to look. */
function isBroken({ verdict }: TransactionView): boolean {
  return verdict === 'contradictory' || verdict === 'hazard';
}
