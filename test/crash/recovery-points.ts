/**
 * Where recovery can die: before and behind each message that it sends. And what a second recovery surely sends,
 * after a first one has died at a given point.
 */
import type { RequestKind } from '../support/wire-messages.ts';

export interface RecoveryPoint {
  readonly kind: RequestKind;
  readonly nth: number;
  /** `sent`: the server never sees it. `answered`: the server has carried it out, nobody reads its answer. */
  readonly when: 'sent' | 'answered';
}

/** Each of three participants has a pass of its own: what each of them sends comes three times. */
const PER_PARTICIPANT: readonly RequestKind[] = [
  'list',
  'read-decisions',
  'finish-commit',
  'finish-rollback',
];
const ANY: readonly RequestKind[] = ['barrier', 'epochs', 'retire', 'is-retired', 'settle'];

const bothWays = (kind: RequestKind, nth: number): RecoveryPoint[] => [
  { kind, nth, when: 'sent' },
  { kind, nth, when: 'answered' },
];

const FIRST_TIMES = [...PER_PARTICIPANT, ...ANY].flatMap((kind) => bothWays(kind, 1));

export const RECOVERY_POINTS: readonly RecoveryPoint[] = [
  ...FIRST_TIMES,
  ...PER_PARTICIPANT.flatMap((kind) => [2, 3].flatMap((nth) => bothWays(kind, nth))),
];

/**
 * There is one committed and one undecided transaction, on three participants each, of a dead epoch. The three
 * passes run beside each other: only what no other pass can have done by then is sure to be left.
 */
export function secondPoints({ kind, nth, when }: RecoveryPoint): RecoveryPoint[] {
  const only = (...kinds: RequestKind[]): RecoveryPoint[] =>
    FIRST_TIMES.filter((one) => kinds.includes(one.kind));
  const always = ['list', 'read-decisions', 'barrier'] as const;
  if (nth > 1) return only('list');
  switch (kind) {
    case 'list':
    case 'read-decisions':
    case 'barrier':
      // No finish has been sent.
      return [...FIRST_TIMES];
    case 'epochs':
    case 'retire':
      if (kind === 'retire' && when === 'answered') break;
      return only(...always, 'epochs', 'retire', 'is-retired', 'settle', 'finish-rollback');
    case 'settle':
      if (when === 'answered') return only(...always, 'finish-rollback');
      break;
    case 'finish-commit':
    case 'finish-rollback':
      return when === 'sent' ? only(...always, kind) : only('list');
    default:
  }
  // The epoch is retired, the abort not written.
  return only(...always, 'epochs', 'settle', 'finish-rollback');
}

export function nameOf({ kind, nth, when }: RecoveryPoint): string {
  return `${kind} ${nth} ${when}`;
}
