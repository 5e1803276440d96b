import { retryUntil } from '../backoff.ts';
import { Cancellation, type Cancelled } from '../cancellation.ts';
import { HeuristicOutcomeError, toError } from '../errors.ts';
import type { BranchEvidence, Decision, FinishResult, HeuristicKind } from '../states.ts';
import type { ProtocolContext, ProtocolTransaction } from './protocol-context.ts';
import { within } from '../patience.ts';

/** A branch that is prepared, or may be. */
export interface BranchToFinish {
  readonly participant: string;
  readonly gid: string;
  readonly evidence: BranchEvidence;
  /** Its vote is unknown: end its backend before believing that it is not there (invariant 7). */
  readonly fenceFirst: boolean;
}

/** How long the caller waits for phase two before a branch counts as pending. */
const PATIENCE_MS = 2_000;
/** How long the coordinator itself goes on; then the branch is left to recovery. */
const RETRY_MS = 60_000;
const BACKOFF = { firstMs: 20, maxMs: 2_000 };

type Settled = Exclude<FinishResult, { kind: 'pending' }>;

/**
 * Phase two: finishes all branches in parallel, according to a decision that is durable. Returns the
 * participants whose branch is still pending; those are retried in the background and then left to recovery.
 *
 * @throws HeuristicOutcomeError if a branch ended against the decision. It is recorded by then.
 */
export async function finishAll(
  transaction: ProtocolTransaction,
  context: ProtocolContext,
  decision: Decision,
  branches: readonly BranchToFinish[],
): Promise<string[]> {
  const results = await Promise.all(
    branches.map((branch) => finishPatiently(transaction, context, decision, branch)),
  );
  const contrary = results.find((result) => isContrary(decision, result));
  if (contrary?.kind === 'heuristic')
    throw heuristicError(transaction, decision, contrary, results);
  return branches.flatMap(({ participant }, index) =>
    results[index] === undefined ? [participant] : [],
  );
}

async function finishPatiently(
  transaction: ProtocolTransaction,
  context: ProtocolContext,
  decision: Decision,
  branch: BranchToFinish,
): Promise<Settled | undefined> {
  const closing = new Cancellation();
  const loop = finishUntilSettled(transaction, context, decision, branch, closing);
  const settled = await within(context.runtime, PATIENCE_MS, () => loop);
  if (settled !== undefined) return settled;
  context.background(async (signal) => {
    const onAbort = (): void => {
      closing.abort(signal.reason);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    try {
      await context.log.requestRecovery(branch.participant).catch(() => undefined);
      await loop;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  });
  return undefined;
}

async function finishUntilSettled(
  transaction: ProtocolTransaction,
  context: ProtocolContext,
  decision: Decision,
  branch: BranchToFinish,
  signal: Cancelled,
): Promise<Settled | undefined> {
  const untilMs = context.runtime.now() + RETRY_MS;
  let fenced = false;
  const { participant } = branch;
  const transactionId = transaction.id;
  const attempt = async (): Promise<Settled | undefined> => {
    await context.faultHook?.('before-finish-branch', transactionId);
    fenced ||= branch.fenceFirst && (await fence(context, branch));
    const result =
      branch.fenceFirst && !fenced
        ? pending('the backend that ran the branch could not be ended yet')
        : await finishOnce(context, decision, branch, fenced);
    if (result.kind === 'pending') {
      const { error } = result;
      context.publish('branch:pending', { transactionId, participant, decision, error });
      return undefined;
    }
    if (result.kind === 'heuristic') {
      const { heuristic, evidence } = result;
      await recordHeuristic(transaction, context, decision, branch, heuristic, evidence);
    } else context.publish('branch:finished', { transactionId, participant, decision });
    await context.faultHook?.('after-finish-branch', transactionId);
    return result;
  };
  return retryUntil(context.runtime, BACKOFF, untilMs, attempt, signal);
}

function finishOnce(
  context: ProtocolContext,
  decision: Decision,
  { participant, gid, evidence }: BranchToFinish,
  fenced: boolean,
): Promise<FinishResult> {
  const server = context.participants.get(participant);
  if (server === undefined) throw new Error(`no participant "${participant}"`);
  return server.finish({ gid, decision, evidence, absentMeansAborted: fenced });
}

async function fence(context: ProtocolContext, branch: BranchToFinish): Promise<boolean> {
  const server = context.participants.get(branch.participant);
  return (await server?.fence(branch.evidence.backend)) ?? false;
}

function pending(message: string): FinishResult {
  return { kind: 'pending', error: new Error(message) };
}

/** Against the decision: worth an error. A hazard on an abort changes nothing that was promised. */
function isContrary(decision: Decision, result: Settled | undefined): boolean {
  if (result?.kind !== 'heuristic') return false;
  return decision === 'commit' || result.heuristic === 'commit';
}

function heuristicError(
  transaction: ProtocolTransaction,
  decision: Decision,
  contrary: Extract<Settled, { kind: 'heuristic' }>,
  results: readonly (Settled | undefined)[],
): HeuristicOutcomeError {
  const asDecided = results.some((result) => result?.kind === 'done');
  const kind: HeuristicKind =
    contrary.heuristic === 'hazard' ? 'hazard' : asDecided ? 'mixed' : contrary.heuristic;
  return new HeuristicOutcomeError(
    `the decision is ${decision}, but a branch ended otherwise: ${contrary.evidence}`,
    { transactionId: transaction.id, kind },
  );
}

export async function recordHeuristic(
  transaction: ProtocolTransaction,
  context: ProtocolContext,
  decision: Decision,
  { participant, gid }: Pick<BranchToFinish, 'participant' | 'gid'>,
  kind: HeuristicKind,
  evidence: string,
): Promise<void> {
  const transactionId = transaction.id;
  context.publish('heuristic:found', { transactionId, participant, gid, kind, evidence });
  const entry = { transactionId, gid, participant, decision, kind, evidence };
  try {
    await context.log.recordHeuristic({ ...entry, foundBy: 'coordinator' });
  } catch (error) {
    // The event has told it; the log will be tried again by whoever looks at the branch next.
    context.publish('branch:pending', {
      transactionId,
      participant,
      decision,
      error: toError(error),
    });
  }
}
