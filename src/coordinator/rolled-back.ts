import { OutcomeUnknownError, PgxaError, RolledBackError, type PgxaErrorCode } from '../errors.ts';
import type { Branch } from '../participant/participant.ts';
import { isConnectionLoss, isRetryable, meaningOfPrepareFailure } from '../participant/sqlstate.ts';
import type { DecidedBy } from '../states.ts';
import type { ProtocolTransaction } from './protocol-context.ts';

/**
 * The error for a transaction that is surely not done because of `cause`. An error of pgxa says more
 * than any wrapper could and is passed on as it is.
 */
export function rolledBackBy(
  code: PgxaErrorCode,
  transactionId: string,
  participant: string | undefined,
  cause: Error | undefined,
): PgxaError {
  if (cause instanceof PgxaError) return cause;
  const where = participant === undefined ? '' : ` by participant "${participant}"`;
  const hint = code === 'PGXA_VOTE_NO' ? meaningOfPrepareFailure(cause).hint : undefined;
  const why = cause === undefined ? '' : `: ${cause.message}`;
  return new RolledBackError(
    code,
    `the transaction is rolled back${where}${why}${hint === undefined ? '' : ` (${hint})`}`,
    { transactionId, participant, cause, retryable: canHelpToRetry(code, cause) },
  );
}

/** A server went away before there was any decision, or the transaction lost against others. */
function canHelpToRetry(code: PgxaErrorCode, cause: Error | undefined): boolean {
  switch (code) {
    case 'PGXA_CONNECTION_LOST':
    case 'PGXA_VOTE_UNKNOWN':
      return true;
    case 'PGXA_PARTICIPANT_UNAVAILABLE':
      // A wrong password comes from a server that is there.
      return isConnectionLoss(cause) || isRetryable(cause);
    default:
      return isRetryable(cause);
  }
}

/** What to call the failure of a branch: its session never came, was lost, or a statement failed. */
export function codeOfBranchFailure(branch: Branch): PgxaErrorCode {
  if (!branch.connected) return 'PGXA_PARTICIPANT_UNAVAILABLE';
  return branch.sessionEnded ? 'PGXA_CONNECTION_LOST' : 'PGXA_BRANCH_FAILED';
}

/** The error for a transaction whose register says abort. */
export function decidedAbort(
  transaction: Pick<ProtocolTransaction, 'id' | 'idempotencyKey'>,
  by: DecidedBy,
  duplicateOf: string | undefined,
  cause: Error | undefined,
): RolledBackError {
  if (duplicateOf !== undefined) return alreadyDone(transaction, duplicateOf);
  const why =
    by === 'coordinator' ? 'the log does not have its commit decision' : `${by} decided abort`;
  return new RolledBackError('PGXA_DECIDED_ABORT', `the transaction is rolled back: ${why}`, {
    transactionId: transaction.id,
    cause,
    retryable: by !== 'operator',
  });
}

/** The error for a decision that the log cannot hold. */
export function logRefused(
  { id: transactionId }: Pick<ProtocolTransaction, 'id'>,
  cause: Error,
): RolledBackError {
  return new RolledBackError(
    'PGXA_LOG_REFUSED',
    `the transaction is rolled back: the decision log cannot hold its decision: ${cause.message}`,
    { transactionId, cause, retryable: false },
  );
}

export function alreadyDone(
  { id, idempotencyKey }: { readonly id: string; readonly idempotencyKey: string | undefined },
  existingTransactionId: string,
): RolledBackError {
  return new RolledBackError(
    'PGXA_ALREADY_DONE',
    `idempotency key "${idempotencyKey ?? ''}" was used by transaction ${existingTransactionId}, ` +
      'which is committed; this run is rolled back',
    { transactionId: id, retryable: false, existingTransactionId },
  );
}

/** The error for a branch that refused, or whose session was lost before its vote. */
export function votedNo(
  transaction: Pick<ProtocolTransaction, 'id'>,
  branch: Branch | undefined,
  error: Error | undefined,
): Error {
  const code = branch?.lost === undefined ? 'PGXA_VOTE_NO' : codeOfBranchFailure(branch);
  return rolledBackBy(code, transaction.id, branch?.participant, error);
}

export function outcomeUnknown(
  transaction: Pick<ProtocolTransaction, 'id'>,
  cause: Error,
): OutcomeUnknownError {
  return new OutcomeUnknownError(
    'the decision log cannot tell whether the transaction is committed; ask outcomeOf() later, ' +
      'do not run it again',
    { transactionId: transaction.id, cause },
  );
}
