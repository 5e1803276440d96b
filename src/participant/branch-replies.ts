/** What the server's answers to PREPARE and COMMIT prove (invariant 3). Pure. */
import type { OwnStep } from '../postgres/unit-steps.ts';
import { isUnconfirmed } from '../postgres/unconfirmed.ts';
import type { BranchEvidence, OnePhaseReply, Vote } from '../states.ts';
import { isConnectionLoss, meaningOfPrepareFailure, sqlstateOf } from './sqlstate.ts';

export interface Circumstances {
  /** What broke the unit off, if anything did. */
  readonly failure: Error | undefined;
  /** The first error of a statement in the branch. */
  readonly firstError: Error | undefined;
  /** Set when the session is gone. */
  readonly lost: Error | undefined;
  readonly evidence: BranchEvidence;
}

const IN_FAILED_TRANSACTION = '25P02';
/**
 * Only a warning: a COMMIT outside of a transaction is answered by COMMIT, and a PREPARE that came with other
 * statements in one simple query prepares a transaction that holds nothing.
 */
const NO_TRANSACTION = '25P01';

/** The command tag is the vote, and a warning takes it back. */
export function voteOf(prepare: OwnStep, circumstances: Circumstances): Vote {
  const { failure, firstError, lost, evidence } = circumstances;
  const tag = prepare.command;
  if (tag === 'PREPARE') {
    const error = doubtOf('PREPARE', prepare);
    return error === undefined ? { kind: 'yes', evidence } : { kind: 'unknown', error, evidence };
  }
  if (tag !== undefined) {
    return {
      kind: 'no',
      error: firstError ?? new Error(`the server answered PREPARE with ${tag}`),
    };
  }
  const error = lost ?? causeOf(circumstances) ?? new Error('no answer to PREPARE');
  const isNo =
    failure !== undefined && lost === undefined && meaningOfPrepareFailure(failure).vote === 'no';
  return isNo ? { kind: 'no', error } : { kind: 'unknown', error, evidence };
}

/** Another transaction than the branch's was asked: what it answers is no vote of this one, least of all a yes. */
export function voteOfAnother(prepare: OwnStep, circumstances: Circumstances): Vote {
  const vote = voteOf(prepare, circumstances);
  if (vote.kind !== 'yes') return vote;
  return { kind: 'unknown', error: anotherBegan(), evidence: circumstances.evidence };
}

function anotherBegan(): Error {
  return new Error('the session had begun another transaction than that of the branch');
}

export function onePhaseReplyOf(commit: OwnStep, circumstances: Circumstances): OnePhaseReply {
  const { failure, firstError, lost, evidence } = circumstances;
  const tag = commit.command;
  if (tag === 'COMMIT') {
    const error = doubtOf('COMMIT', commit);
    return error === undefined ? { kind: 'committed' } : { kind: 'unknown', error, evidence };
  }
  if (tag !== undefined) {
    const error = firstError ?? new Error(`the server answered COMMIT with ${tag}`);
    return { kind: 'rolled-back', error };
  }
  const error = causeOf(circumstances) ?? new Error('no answer to COMMIT');
  return isConnectionLoss(failure) || lost !== undefined
    ? { kind: 'unknown', error, evidence }
    : { kind: 'rolled-back', error };
}

/** As voteOfAnother. */
export function onePhaseReplyOfAnother(
  commit: OwnStep,
  circumstances: Circumstances,
): OnePhaseReply {
  const reply = onePhaseReplyOf(commit, circumstances);
  if (reply.kind !== 'committed') return reply;
  return { kind: 'unknown', error: anotherBegan(), evidence: circumstances.evidence };
}

/** Why the tag alone is no proof. */
function doubtOf(command: string, { notices }: OwnStep): Error | undefined {
  if (isUnconfirmed(notices)) {
    return new Error(`${command} was not confirmed by the synchronous standby`);
  }
  if (notices.includes(NO_TRANSACTION)) {
    return new Error(`${command} found no transaction: that of the branch had ended before`);
  }
  return undefined;
}

/** In a failed transaction, what failed it says more than "is aborted". */
function causeOf({ failure, firstError }: Circumstances): Error | undefined {
  return sqlstateOf(failure) === IN_FAILED_TRANSACTION ? (firstError ?? failure) : failure;
}
