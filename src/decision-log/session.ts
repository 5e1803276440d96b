import { ConnectionLostError } from '../postgres/connection-lost.ts';
import type { RunCommand } from '../postgres/dedicated-connection.ts';
import { SAFE_PATH_SQL } from '../postgres/safe-path.ts';

/** Longest wait for one reply of the log; then the fate of the statement is unknown. */
export const REPLY_TIMEOUT_MS = 5_000;
const STATEMENT_TIMEOUT_MS = 4_500;

/**
 * Whatever the defaults of the role and the database are. A decision that a crash of the log could lose
 * would be none, so synchronous_commit = off is overruled; and a statement that has waited for another
 * one's row has to see that row.
 */
export async function setUpSession(run: RunCommand): Promise<void> {
  await run({ text: SAFE_PATH_SQL });
  const { rows } = await run<{ standby: boolean }>({
    text: `select set_config('default_transaction_isolation', 'read committed', false),
                  -- Nobody waits longer; what is given up must not pile up there.
                  set_config('statement_timeout', '${STATEMENT_TIMEOUT_MS}', false),
                  set_config('lock_timeout', '${STATEMENT_TIMEOUT_MS}', false),
                  -- "not replicated" is a warning: hidden, it would be a promise.
                  set_config('client_min_messages', 'warning', false),
                  case when current_setting('synchronous_commit') = 'off'
                       then set_config('synchronous_commit', 'on', false) end,
                  pg_is_in_recovery() as standby`,
  });
  // It would show an old state of the log, for as long as the session lives.
  if (rows[0]?.standby === true) throw new ConnectionLostError('the decision log is a standby');
}
