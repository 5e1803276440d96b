import { toError } from '../errors.ts';
import type { CommandReply } from './dedicated-connection.ts';

/** Notices that take a confirmation back: a wait for a synchronous standby was cancelled or terminated. */
const NOT_PROVEN_DURABLE = ['01000', '57P01'];

/** Done on the server that answers, and not proven durable anywhere else (invariant 3). */
export function isUnconfirmed(notices: readonly string[]): boolean {
  return notices.some((code) => NOT_PROVEN_DURABLE.includes(code));
}

/** Throws unless the barrier behind what was read is confirmed: what was read is then on the standby too. */
export function assertReplicated(
  proof: PromiseSettledResult<CommandReply<unknown>> | undefined,
): void {
  if (proof?.status !== 'fulfilled') throw toError(proof?.reason);
  if (isUnconfirmed(proof.value.notices)) {
    throw new Error('the synchronous standby has not confirmed it');
  }
}
