/**
 * Errors are classed by what the caller now knows of the outcome. Branch on the class and on
 * `code`, never on the message.
 */

/** Stable codes. A code never changes its meaning; new ones may come with a minor version. */
export type PgxaErrorCode =
  // RolledBackError
  | 'PGXA_ROLLED_BACK'
  | 'PGXA_VOTE_NO'
  | 'PGXA_VOTE_UNKNOWN'
  | 'PGXA_BRANCH_FAILED'
  | 'PGXA_CONNECTION_LOST'
  | 'PGXA_PARTICIPANT_UNAVAILABLE'
  | 'PGXA_TIMEOUT'
  | 'PGXA_CANCELLED'
  | 'PGXA_DECIDED_ABORT'
  | 'PGXA_ALREADY_DONE'
  | 'PGXA_LOG_UNAVAILABLE'
  | 'PGXA_LOG_REFUSED'
  // OutcomeUnknownError
  | 'PGXA_OUTCOME_UNKNOWN'
  // HeuristicOutcomeError
  | 'PGXA_HEURISTIC_OUTCOME'
  // ConfigError
  | 'PGXA_CONFIG_INVALID'
  | 'PGXA_LOG_UNREACHABLE'
  | 'PGXA_LOG_NOT_MIGRATED'
  | 'PGXA_LOG_TOO_NEW'
  | 'PGXA_LOG_NOT_USABLE'
  | 'PGXA_PARTICIPANT_NOT_USABLE'
  | 'PGXA_PARTICIPANT_IDENTITY'
  | 'PGXA_PARTICIPANTS_NOT_DISTINCT'
  // MisuseError
  | 'PGXA_UNKNOWN_PARTICIPANT'
  | 'PGXA_TRANSACTION_ENDED'
  | 'PGXA_TRANSACTION_CONTROL'
  | 'PGXA_UNSUPPORTED_QUERY'
  | 'PGXA_CLOSED'
  | 'PGXA_INVALID_ARGUMENT';

export interface PgxaErrorFields {
  readonly cause?: unknown;
  readonly transactionId?: string | undefined;
  readonly participant?: string | undefined;
}

/** Base of every error that pgxa throws. */
export abstract class PgxaError extends Error {
  readonly code: PgxaErrorCode;
  /** UUIDv7 of the transaction, where there was one. */
  readonly transactionId: string | undefined;
  /** Name of the participant that is to blame, where there is one. */
  readonly participant: string | undefined;

  constructor(code: PgxaErrorCode, message: string, fields: PgxaErrorFields = {}) {
    super(message, fields.cause === undefined ? undefined : { cause: fields.cause });
    this.name = new.target.name;
    this.code = code;
    this.transactionId = fields.transactionId;
    this.participant = fields.participant;
  }
}

/**
 * The transaction is surely not done: no branch of it is or will be committed.
 * `cause` says why; `retryable` says whether running the function again can help.
 */
export class RolledBackError extends PgxaError {
  readonly retryable: boolean;
  /** With PGXA_ALREADY_DONE: the committed transaction that carries the same idempotency key. */
  readonly existingTransactionId: string | undefined;

  constructor(
    code: PgxaErrorCode,
    message: string,
    fields: PgxaErrorFields & {
      readonly retryable: boolean;
      readonly existingTransactionId?: string;
    },
  ) {
    super(code, message, fields);
    this.retryable = fields.retryable;
    this.existingTransactionId = fields.existingTransactionId;
  }
}

/**
 * The caller cannot know yet whether the transaction is done. Never run it again on this error:
 * ask `outcomeOf(transactionId)` until it answers, or let recovery finish it.
 */
export class OutcomeUnknownError extends PgxaError {
  declare readonly transactionId: string;

  constructor(message: string, fields: PgxaErrorFields & { readonly transactionId: string }) {
    super('PGXA_OUTCOME_UNKNOWN', message, fields);
  }
}

/**
 * A branch ended against, or ahead of, the decision: somebody finished it by hand, or a failover
 * lost it. Atomicity may be broken; an operator has to look. It is recorded in `pgxa.heuristic`.
 */
export class HeuristicOutcomeError extends PgxaError {
  /** How the branch ended: `hazard` means that nobody can tell. */
  readonly kind: 'commit' | 'rollback' | 'mixed' | 'hazard';

  constructor(
    message: string,
    fields: PgxaErrorFields & { readonly kind: 'commit' | 'rollback' | 'mixed' | 'hazard' },
  ) {
    super('PGXA_HEURISTIC_OUTCOME', message, fields);
    this.kind = fields.kind;
  }
}

/** The configuration, the decision log or a participant cannot be used as it is. */
export class ConfigError extends PgxaError {}

/** The program used the library in a way that can never work. An open transaction is rolled back. */
export class MisuseError extends PgxaError {}

/** The value as an Error: whatever a function threw, nothing of it is lost. */
export function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown), { cause: thrown });
}
