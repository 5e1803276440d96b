import type { OpenContender } from './contender.ts';
import { openParallelTwoPhase, openSequentialTwoPhase } from './hand-written.ts';
import { openLocalCommits } from './local-commits.ts';
import { openPgxa } from './with-pgxa.ts';

interface ContenderKind {
  readonly open: OpenContender;
  /** Touches the first participant only. */
  readonly oneWriter: boolean;
  readonly title: string;
}

/** In the order in which they are told. */
export const CONTENDERS = {
  'local-commits': {
    open: openLocalCommits,
    oneWriter: false,
    title: '(a) independent local commits, not atomic',
  },
  'hand-parallel': {
    open: openParallelTwoPhase,
    oneWriter: false,
    title: '(b) hand-written parallel two-phase commit',
  },
  'hand-sequential': {
    open: openSequentialTwoPhase,
    oneWriter: false,
    title: '(c) hand-written sequential two-phase commit',
  },
  pgxa: { open: openPgxa, oneWriter: false, title: '(d) pgxa' },
  plain: {
    open: openLocalCommits,
    oneWriter: true,
    title: 'plain pg transaction, one participant',
  },
  'pgxa-one-writer': { open: openPgxa, oneWriter: true, title: '(e) pgxa, one writer' },
} as const satisfies Record<string, ContenderKind>;

export type ContenderName = keyof typeof CONTENDERS;

export const CONTENDER_NAMES = Object.keys(CONTENDERS) as ContenderName[];
