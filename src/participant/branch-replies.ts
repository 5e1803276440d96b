/** What the server's answers to PREPARE and COMMIT prove (invariant 3). Pure. */
import type { UnitStep } from '../postgres/sync-unit.ts';
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

/** The command tag is the vote, and a replication warning takes it back. */
export function voteOf(prepare: UnitStep, circumstances: Circumstances): Vote {
  const { failure, firstError, lost, evidence } = circumstances;
  const tag = prepare.result?.command;
  if (tag === 'PREPARE') {
    if (isProvenDurable(prepare)) return { kind: 'yes', evidence };
    const error = new Error('PREPARE was not confirmed by the synchronous standby');
    return { kind: 'unknown', error, evidence };
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

export function onePhaseReplyOf(commit: UnitStep, circumstances: Circumstances): OnePhaseReply {
  const { failure, firstError, lost, evidence } = circumstances;
  const tag = commit.result?.command;
  if (tag === 'COMMIT') {
    if (isProvenDurable(commit)) return { kind: 'committed' };
    const error = new Error('COMMIT was not confirmed by the synchronous standby');
    return { kind: 'unknown', error, evidence };
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

function isProvenDurable({ notices }: UnitStep): boolean {
  return !isUnconfirmed(notices);
}

/** In a failed transaction, what failed it says more than "is aborted". */
function causeOf({ failure, firstError }: Circumstances): Error | undefined {
  return sqlstateOf(failure) === IN_FAILED_TRANSACTION ? (firstError ?? failure) : failure;
}
