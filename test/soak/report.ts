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
