/** The verdict as text. */
import type { Verdict } from './checkers.ts';

const MOST = 200;

export function report({ violations, ledger }: Verdict, file: string): string {
  const { counts, seen } = ledger;
  const table = (title: string, entries: Iterable<[string, number]>): string[] => [
    title,
    ...[...entries]
      .sort(([a], [b]) => a.localeCompare(b))
      .map(([key, times]) => `  ${String(times).padStart(8)}  ${key}`),
  ];
  const faults = [...ledger.faults.values()].reduce((sum, times) => sum + times, 0);
  return [
    `seed ${ledger.seed}; history ${file}`,
    `transactions ${seen.size}: told committed ${counts.ok}, rolled back ${counts.fail}, unknown ${counts.info}; ` +
      `answers of outcomeOf ${counts.outcomes}`,
    `daemons: took participants over ${counts.leases} times, finished ${counts.byRecovery} branches; ` +
      `quiet ${String(ledger.quietAfterMs)} ms after the last fault`,
    ...table(`faults ${faults}, by kind:`, ledger.faults),
    ...table('verbs of the operator, with their exit codes:', ledger.verbs),
    `forced against the decision: ${ledger.forcedAgainst.size}`,
    ...table('transactions by type:', ledger.types),
    ...table('rolled back, by code:', ledger.codes),
    `heuristic outcomes: ${ledger.heuristics.length}`,
    `violations: ${violations.length}`,
    ...violations.slice(0, MOST).map(({ rule, id, what }) => `  ${rule}  ${id}  ${what}`),
    ...(violations.length > MOST ? [`  and ${violations.length - MOST} more`] : []),
  ].join('\n');
}

/** Of several parts that were run one behind the other. */
export function summary(verdicts: readonly Verdict[]): string {
  const faults = new Map<string, number>();
  for (const { ledger } of verdicts) {
    for (const [kind, times] of ledger.faults) faults.set(kind, (faults.get(kind) ?? 0) + times);
  }
  const sum = (of: (verdict: Verdict) => number): number =>
    verdicts.reduce((total, verdict) => total + of(verdict), 0);
  return [
    '',
    `whole: transactions ${sum(({ ledger }) => ledger.seen.size)}, ` +
      `faults ${[...faults.values()].reduce((total, times) => total + times, 0)} of ${faults.size} kinds`,
    ...[...faults]
      .sort(([a], [b]) => a.localeCompare(b))
      .map(([kind, times]) => `  ${String(times).padStart(8)}  ${kind}`),
    `verbs of the operator ${sum(({ ledger }) => [...ledger.verbs.values()].reduce((a, b) => a + b, 0))}, ` +
      `forced against the decision ${sum(({ ledger }) => ledger.forcedAgainst.size)}`,
    `heuristic outcomes ${sum(({ ledger }) => ledger.heuristics.length)}, all of them expected unless below`,
    `violations: ${sum(({ violations }) => violations.length)}`,
  ].join('\n');
}
