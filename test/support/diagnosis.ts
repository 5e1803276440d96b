import type { Diagnosis } from '../../src/index.ts';
import type { Plain } from './triage-bank.ts';

/** The findings of one check, as `participant severity`, or as `severity` where there is no participant. */
export function findingsOf(data: Plain<Diagnosis>, check: string): string[] {
  return data.findings
    .filter((one) => one.check === check)
    .map(({ severity, participant }) => [participant, severity].filter(Boolean).join(' '))
    .sort();
}

/** What was found and what to do, a line for each finding of the check. */
export function wordsOf(data: Plain<Diagnosis>, check: string): string {
  return data.findings
    .filter((one) => one.check === check)
    .map(({ found, action }) => `${found} -> ${action ?? ''}`)
    .join('\n');
}
