/**
 * What recovery does about one prepared branch: a pure table over all that it can know. Time, age and
 * leases are in here only as "when"; that it is safe rests on the register (invariant 2), since every
 * abort has to be won there first.
 *
 *   row  server      gid      decision  coordinator   action
 *   ───  ──────────  ───────  ────────  ────────────  ─────────────────────
 *    A   standby     any      any       any           leave      it lists nothing that could be relied on
 *    B   other       any      any       any           report     another server answers under this name
 *    C   registered  foreign  any       any           leave      not ours: never touched (invariant 9)
 *    D   registered  ours     commit    any           commit
 *    E   registered  ours     abort     any           roll-back
 *    F   registered  ours     none      live          leave      it will decide, or its epoch will run out
 *    G   registered  ours     none      silent        retire     then as H; it may have frozen or died
 *    H   registered  ours     none      retired       win-abort  it can decide no more
 *    I   registered  ours     none      unregistered  report     the log is behind its branches: restored?
 *    J   registered  ours     forgotten any           report     it may have been decided: only a person can tell
 *    K   registered  ours     ahead     any           report     nobody can decide it: the log has no such day
 */
import type { Decision } from '../states.ts';

export interface Observation {
  readonly server: 'registered' | 'standby' | 'other';
  /** Ours: a gid of this installation, parsed whole. */
  readonly gid: 'ours' | 'foreign';
  /**
   * `forgotten`: there is no row, and the log drops those of that day. `ahead`: there is none, and the day is so far
   * in the future that the log makes no place for it.
   */
  readonly decision: Decision | 'none' | 'forgotten' | 'ahead';
  readonly coordinator:
    /** Its heartbeat is in time, or it is this process and at work on the transaction. */
    | 'live'
    /** Its heartbeat has run out, or its session is gone. */
    | 'silent'
    /** Retired, or this process, which has no such transaction any more. */
    | 'retired'
    /** The log does not know the epoch. */
    | 'unregistered';
}

export type RecoveryAction =
  | 'leave'
  | 'report'
  | 'commit'
  | 'roll-back'
  /** Retire the epoch; if that works, win the abort. */
  | 'retire'
  /** Write abort to the register, then do what stands there. */
  | 'win-abort';

type Pattern<T> = T | 'any';

export interface DecisionRow {
  readonly row: string;
  readonly when: { readonly [Key in keyof Observation]: Pattern<Observation[Key]> };
  readonly action: RecoveryAction;
  readonly why: string;
}

function row(
  letter: string,
  server: Pattern<Observation['server']>,
  gid: Pattern<Observation['gid']>,
  decision: Pattern<Observation['decision']>,
  coordinator: Pattern<Observation['coordinator']>,
  action: RecoveryAction,
  why: string,
): DecisionRow {
  return { row: letter, when: { server, gid, decision, coordinator }, action, why };
}

// prettier-ignore
export const DECISION_TABLE: readonly DecisionRow[] = [
  row('A', 'standby',    'any',     'any',    'any',          'leave',     'a standby gives no information'),
  row('B', 'other',      'any',     'any',    'any',          'report',    'another server than the registered one answers'),
  row('C', 'registered', 'foreign', 'any',    'any',          'leave',     'the branch is not of this installation'),
  row('D', 'registered', 'ours',    'commit', 'any',          'commit',    'the decision is commit'),
  row('E', 'registered', 'ours',    'abort',  'any',          'roll-back', 'the decision is abort'),
  row('F', 'registered', 'ours',    'none',   'live',         'leave',     'its coordinator is alive and has not decided'),
  row('G', 'registered', 'ours',    'none',   'silent',       'retire',    'its coordinator is silent and has not decided'),
  row('H', 'registered', 'ours',    'none',   'retired',      'win-abort', 'its coordinator can decide no more'),
  row('I', 'registered', 'ours',    'none',   'unregistered', 'report',    'the log does not know its epoch: was the log restored?'),
  row('J', 'registered', 'ours',  'forgotten', 'any',         'report',    'it is older than the retention of the log: was the server restored?'),
  row('K', 'registered', 'ours',    'ahead',  'any',          'report',    'by its id it begins more than a year from now: no decision about it can be written'),
];

/** The one row that an observation meets. */
export function decide(observation: Observation): DecisionRow {
  const met = DECISION_TABLE.filter(({ when }) => matches(when, observation));
  const [only] = met;
  if (met.length !== 1 || only === undefined) {
    throw new Error(`${met.length} rows for ${JSON.stringify(observation)}: expected exactly one`);
  }
  return only;
}

function matches(when: DecisionRow['when'], observation: Observation): boolean {
  return (Object.keys(when) as (keyof Observation)[]).every(
    (key) => when[key] === 'any' || when[key] === observation[key],
  );
}
