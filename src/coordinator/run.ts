import { backoffDelayMs } from '../backoff.ts';
import { MisuseError, PgxaError, RolledBackError, toError } from '../errors.ts';
import { untilAborted } from '../patience.ts';
import type { Runtime } from '../runtime.ts';
import { codeOfBranchFailure, rolledBackBy } from './rolled-back.ts';
import type { GlobalTransaction } from './transaction.ts';

export interface RunRequest<T> {
  readonly runtime: Runtime;
  /** How often the function may run in all. */
  readonly attempts: number;
  readonly begin: () => Promise<GlobalTransaction>;
  readonly fn: (transaction: GlobalTransaction) => Promise<T> | T;
}

const BACKOFF = { firstMs: 10, maxMs: 1_000 };

/** Runs the function in a transaction, again where that can help, never after "unknown". */
export async function run<T>(request: RunRequest<T>): Promise<T> {
  const { runtime, attempts } = request;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await runOnce(request);
    } catch (error) {
      const again = error instanceof RolledBackError && error.retryable && attempt < attempts;
      if (!again) throw error;
      await runtime.sleep(backoffDelayMs(attempt, BACKOFF, runtime.random));
    }
  }
}

async function runOnce<T>({ begin, fn }: RunRequest<T>): Promise<T> {
  const transaction = await begin();
  let value: T;
  try {
    // The function cannot be stopped; at the deadline it is no longer waited for.
    value = await untilAborted(transaction.signal, (async () => fn(transaction))());
  } catch (thrown) {
    const error = toError(thrown);
    await (transaction.ending ? transaction.whenEnded() : transaction.rollback());
    throw reasonOf(transaction, error);
  }
  await transaction.commit();
  return value;
}

function reasonOf(transaction: GlobalTransaction, error: Error): Error {
  if (transaction.signal.aborted) return toError(transaction.signal.reason);
  // Wrong use says so; everything else that the function threw is the cause of the rollback.
  if (error instanceof MisuseError) return error;
  if (error instanceof PgxaError && error.transactionId === transaction.id) return error;
  return thrownByFunction(transaction, error);
}

function thrownByFunction(transaction: GlobalTransaction, error: Error): Error {
  // An error of another transaction says nothing about the outcome of this one.
  if (error instanceof PgxaError) {
    return new RolledBackError(
      'PGXA_ROLLED_BACK',
      `the transaction is rolled back: its function threw ${error.message}`,
      { transactionId: transaction.id, cause: error, retryable: false },
    );
  }
  const failed = transaction.branches.find(
    ({ lost }) => lost !== undefined && isCause(lost, error),
  );
  return failed === undefined
    ? rolledBackBy('PGXA_ROLLED_BACK', transaction.id, undefined, error)
    : rolledBackBy(codeOfBranchFailure(failed), transaction.id, failed.participant, error);
}

/** True if `error` is `cause`, or wraps it, as ORMs do. */
function isCause(cause: Error, error: unknown): boolean {
  let current = error;
  for (let depth = 0; depth < 8 && current instanceof Error; depth += 1) {
    if (current === cause) return true;
    current = current.cause;
  }
  return false;
}
