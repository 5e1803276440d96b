/** Notices that take a confirmation back: a wait for a synchronous standby was cancelled or terminated. */
const NOT_PROVEN_DURABLE = ['01000', '57P01'];

/** Done on the server that answers, and not proven durable anywhere else (invariant 3). */
export function isUnconfirmed(notices: readonly string[]): boolean {
  return notices.some((code) => NOT_PROVEN_DURABLE.includes(code));
}
