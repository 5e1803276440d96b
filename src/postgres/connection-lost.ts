/**
 * The reply to a command will never come, or the session ended with it: the fate of the command is
 * unknown. Carries no SQLSTATE of its own; what the server said last is its cause.
 */
export class ConnectionLostError extends Error {
  override readonly name = 'ConnectionLostError';
}
