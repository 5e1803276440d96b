/** For tests of a primary whose synchronous standby is away: its commits wait until somebody cancels the wait. */
import type { TestServer } from './test-server.ts';
import { waitFor } from './wait.ts';

const PROBE = `select pg_logical_emit_message(true, 'pgxa test', 'does a commit wait?')`;

/** From now on no commit is confirmed. Sessions that only read go on. */
export async function loseStandby(server: TestServer): Promise<void> {
  await server.query('postgres', `alter system set synchronous_standby_names = 'nobody'`);
  await server.query('postgres', 'select pg_reload_conf()');
  // The checkpointer tells the others; until then a commit does not wait.
  await waitFor('commits to wait', async () => {
    let done = false;
    const probe = server.query('postgres', PROBE).finally(() => (done = true));
    const cancelled = await waitFor('the probe to wait, or not', async () => {
      if (done) return 'not';
      return (await cancelWaits(server)).includes(PROBE) && 'waited';
    });
    await probe;
    return cancelled === 'waited';
  });
}

export async function regainStandby(server: TestServer): Promise<void> {
  await server.query('postgres', 'alter system reset synchronous_standby_names');
  await server.query('postgres', 'select pg_reload_conf()');
  await waitFor('no commit to wait', async () => {
    const rows = await server.query(
      'postgres',
      `select 1 from pg_stat_activity where wait_event = 'SyncRep'`,
    );
    return rows.length === 0;
  });
}

/** What an impatient operator does: cancels every wait. Returns the statements that waited. */
export async function cancelWaits(server: TestServer): Promise<string[]> {
  const rows = await server.query<{ query: string }>(
    'postgres',
    `select query, pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'`,
  );
  return rows.map(({ query }) => query);
}

export async function statementsThatWait(server: TestServer): Promise<string[]> {
  const rows = await server.query<{ query: string }>(
    'postgres',
    `select query from pg_stat_activity where wait_event = 'SyncRep'`,
  );
  return rows.map(({ query }) => query);
}
