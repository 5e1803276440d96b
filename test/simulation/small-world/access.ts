/**
 * What a step touches that others touch too. Steps of two processes that touch nothing in common, or only look at it,
 * can be exchanged, and nobody can tell.
 */

/** A set of accesses, as bits. */
export type Access = number;

export const NO_ACCESS: Access = 0;

const LOG = {
  looksAtDecision: 1 << 0,
  writesDecision: 1 << 1,
  looksAtEpoch: 1 << 2,
  writesEpoch: 1 << 3,
  writesOther: 1 << 4,
  crash: 1 << 5,
};
const looksAtBranch = (participant: number): Access => 1 << (6 + 3 * participant);
const writesBranch = (participant: number): Access => 1 << (7 + 3 * participant);
const crashes = (participant: number): Access => 1 << (8 + 3 * participant);
const LOOKS_AT_BRANCHES = looksAtBranch(0) | looksAtBranch(1);

/** Statements of the log. One that is not here is taken for one that changes everything. */
const OF_LOG: Readonly<Record<string, Access>> = {
  // The oracle looks at the branches in this moment.
  decide: LOG.writesDecision | LOG.looksAtEpoch | LOOKS_AT_BRANCHES,
  settle: LOG.writesDecision,
  decisions: LOG.looksAtDecision,
  epochs: LOG.looksAtEpoch,
  retire: LOG.writesEpoch,
  'is-retired': LOG.looksAtEpoch,
  heuristic: LOG.writesOther,
  'request-recovery': NO_ACCESS,
  fin: NO_ACCESS,
  barrier: NO_ACCESS,
};
const OF_PARTICIPANT: Readonly<Record<string, 'looks' | 'writes'>> = {
  list: 'looks',
  gone: 'looks',
  'xact-status': 'looks',
};

/** `participant` undefined: the log. */
export function accessOf(kind: string, participant: number | undefined): Access {
  if (participant === undefined) return OF_LOG[kind] ?? everythingOf(undefined);
  if (OF_PARTICIPANT[kind] === 'looks') return looksAtBranch(participant);
  // The oracle looks at the decision in the moment in which a branch is finished.
  return writesBranch(participant) | (kind === 'finish' ? LOG.looksAtDecision : NO_ACCESS);
}

/** The heartbeats of the coordinator have run out. */
export const SILENCE: Access = LOG.writesEpoch;
/** The oracle looks at what the caller is told. */
export const ANSWER: Access = LOOKS_AT_BRANCHES;

export function crashOf(participant: number | undefined): Access {
  return participant === undefined ? LOG.crash : crashes(participant);
}

function everythingOf(participant: number | undefined): Access {
  if (participant !== undefined) return looksAtBranch(participant) | writesBranch(participant);
  return (
    LOG.looksAtDecision | LOG.writesDecision | LOG.looksAtEpoch | LOG.writesEpoch | LOG.writesOther
  );
}

/** What cannot be exchanged with any of these. */
export function conflictsOf(access: Access): Access {
  let conflicts = 0;
  const add = (looks: Access, writes: Access): void => {
    if ((access & writes) !== 0) conflicts |= looks | writes;
    else if ((access & looks) !== 0) conflicts |= writes;
  };
  add(LOG.looksAtDecision, LOG.writesDecision);
  add(LOG.looksAtEpoch, LOG.writesEpoch);
  add(0, LOG.writesOther);
  if ((access & everythingOf(undefined)) !== 0) conflicts |= LOG.crash;
  if ((access & LOG.crash) !== 0) conflicts |= everythingOf(undefined) | LOG.crash;
  for (const participant of [0, 1]) {
    add(looksAtBranch(participant), writesBranch(participant));
    if ((access & everythingOf(participant)) !== 0) conflicts |= crashes(participant);
    if ((access & crashes(participant)) !== 0)
      conflicts |= everythingOf(participant) | crashes(participant);
  }
  return conflicts;
}
