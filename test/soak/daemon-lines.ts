/** What a `pgxa daemon` of the soak says in its log, as events of the history. */
import type { WorkerEvent } from './history.ts';

interface Line {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** Everything else is of no interest to the checkers. Throws where a line is no log line. */
export function eventOf(text: string): WorkerEvent | undefined {
  const line = JSON.parse(text) as Line;
  const field = (name: string): string => {
    const value = line[name];
    return typeof value === 'string' ? value : '';
  };
  switch (line.msg) {
    case 'ready: every participant was looked at':
    case 'ready, but not for these participants':
      return { kind: 'ready' };
    case 'finished a branch':
      return field('decision') === 'commit' ? { ...ONE, committed: 1 } : { ...ONE, rolledBack: 1 };
    case 'a branch ended against the decision, an operator has to look':
      return {
        kind: 'heuristic-found',
        id: field('transactionId'),
        participant: field('participant'),
        heuristic: field('kind'),
        why: field('evidence'),
      };
    case 'works on a participant':
      return { kind: 'lease', participant: field('participant') };
    case 'has stopped':
      return { kind: 'closed' };
    default:
      // It reports what it cannot reach as errors; a defect, and that it cannot run at all, are fatal.
      return line.level === 'fatal'
        ? { kind: 'unexpected', id: '', where: line.msg, why: JSON.stringify(line['err']) }
        : undefined;
  }
}

const ONE = { kind: 'passes', passes: 0, committed: 0, rolledBack: 0, heuristics: 0 } as const;
