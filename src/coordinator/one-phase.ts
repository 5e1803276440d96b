import { retryUntil } from '../backoff.ts';
import type { BranchEvidence } from '../states.ts';
import type { ProtocolContext } from './protocol-context.ts';
import { within } from '../patience.ts';

const BACKOFF = { firstMs: 20, maxMs: 500 };

/**
 * The reply to the only writer's COMMIT is lost. Its backend is ended, so that it can commit no more
 * later, and then the server is asked for the fate of the xid that was taken before COMMIT was sent.
 */
export async function settleOnePhase(
  transactionId: string,
  context: ProtocolContext,
  evidence: BranchEvidence,
  patienceMs: number,
): Promise<'committed' | 'rolled-back' | 'unknown'> {
  const untilMs = context.runtime.now() + patienceMs;
  const outcome = await within(context.runtime, patienceMs, () =>
    retryUntil(context.runtime, BACKOFF, untilMs, () => askOnePhase(context, evidence)),
  );
  if (outcome === undefined) context.noteUnsettled(transactionId, evidence);
  return outcome ?? 'unknown';
}

/** One attempt; undefined when the participant cannot tell (yet). */
export async function askOnePhase(
  context: Pick<ProtocolContext, 'participants'>,
  evidence: BranchEvidence,
): Promise<'committed' | 'rolled-back' | undefined> {
  const participant = context.participants.get(evidence.participant);
  if (participant === undefined || !(await participant.fence(evidence.backend))) return undefined;
  try {
    switch (await participant.xactStatus(evidence)) {
      case 'committed':
        return 'committed';
      case 'aborted':
        return 'rolled-back';
      case 'in progress':
      case 'no-information':
        return undefined;
    }
  } catch {
    return undefined;
  }
}
