import { retryUntil, type BackoffLimits } from '../backoff.ts';
import type { RecordedBranch } from '../decision-log/decision-log.ts';
import { toError } from '../errors.ts';
import type { DecidedBy, Decision } from '../states.ts';
import { finishAll, type BranchToFinish } from './finish.ts';
import { within } from '../patience.ts';
import type { ProtocolContext, ProtocolTransaction } from './protocol-context.ts';

/** How long the caller waits for a lost decision before it is told "unknown". */
export const SETTLE_PATIENCE_MS = 5_000;
const FOREGROUND: BackoffLimits = { firstMs: 20, maxMs: 500 };
const BACKGROUND: BackoffLimits = { firstMs: 250, maxMs: 5_000 };

export type Settled =
  | {
      readonly kind: 'settled';
      readonly decision: Decision;
      readonly decidedBy: DecidedBy;
      /** What a commit that stands has recorded of its branches. */
      readonly branches: readonly RecordedBranch[];
    }
  | { readonly kind: 'unknown'; readonly error: Error };

/** The register is shut for the day of this transaction: nobody can decide it any more, so nobody can commit it. */
const FORGOTTEN = { decision: 'abort', decidedBy: 'coordinator', branches: [] } as const;

/**
 * Invariant 4: the fate of a decision is open, so write abort; if that wins the transaction is
 * aborted, and if it conflicts then what stands is obeyed. `unknown` when the log did not answer.
 */
export function settleByRegister(
  transaction: ProtocolTransaction,
  context: ProtocolContext,
): Promise<Settled> {
  const untilMs = context.runtime.now() + SETTLE_PATIENCE_MS;
  return settleUntil(transaction, context, untilMs, FOREGROUND);
}

/** The caller was told "unknown"; the transaction is brought to its end all the same. */
export function settleInBackground(
  transaction: ProtocolTransaction,
  context: ProtocolContext,
  toFinish: readonly BranchToFinish[],
): void {
  context.background(async (signal) => {
    const forEver = Number.POSITIVE_INFINITY;
    const settled = await settleUntil(transaction, context, forEver, BACKGROUND, signal);
    // Closed before the log answered: recovery settles it.
    if (settled.kind === 'unknown') return;
    const { decision, decidedBy, branches } = settled;
    context.publish('transaction:decided', { transactionId: transaction.id, decision, decidedBy });
    transaction.setState(decision === 'commit' ? 'committing' : 'rolling-back');
    try {
      const recorded = decision === 'commit' ? branches : [];
      const known = toFinish.map((branch) => asRecorded(branch, recorded));
      await finishAll(transaction, context, decision, known);
    } finally {
      transaction.setState(decision === 'commit' ? 'committed' : 'rolled-back');
    }
  });
}

/**
 * Whoever wrote a commit had proof that its branches were prepared, and recorded their xids. That is a yes, also where
 * this coordinator's own vote was lost: nothing of the branch is on its way any more, and its xid is flushed, so a crash of
 * the server since then makes it no weaker. A branch that the commit does not name keeps what is known of it here.
 */
export function asRecorded(
  branch: BranchToFinish,
  recorded: readonly RecordedBranch[],
): BranchToFinish {
  const { participant, evidence } = branch;
  const proof = recorded.find(
    (one) =>
      one.participant === participant &&
      one.branch === evidence.branch &&
      one.systemIdentifier === evidence.server.systemIdentifier,
  );
  if (proof?.xid === undefined) return branch;
  const { xid, timeline } = proof;
  const server = { ...evidence.server, timeline };
  return { ...branch, evidence: { ...evidence, xid, server }, fenceFirst: false };
}

async function settleUntil(
  transaction: ProtocolTransaction,
  context: ProtocolContext,
  untilMs: number,
  backoff: BackoffLimits,
  signal?: AbortSignal,
): Promise<Settled> {
  const { id: transactionId, epoch, idempotencyKey } = transaction;
  let lastError = new Error('the decision log did not answer');
  const ask = async (): Promise<Settled | undefined> => {
    try {
      const found = await context.log.settle(
        [{ transactionId, epoch, idempotencyKey }],
        'coordinator',
      );
      return { kind: 'settled', ...(found.get(transactionId) ?? FORGOTTEN) };
    } catch (error) {
      lastError = toError(error);
      return undefined;
    }
  };
  // A statement may hang longer than the caller should wait: it goes on, its answer is not awaited.
  const patience = untilMs - context.runtime.now();
  const settled = await within(context.runtime, patience, () =>
    retryUntil(context.runtime, backoff, untilMs, ask, signal),
  );
  return settled ?? { kind: 'unknown', error: lastError };
}
