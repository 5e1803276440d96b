import type { TestServer } from './test-server.ts';
import { waitFor } from './wait.ts';

/** From here on the standby gets nothing of what its primary writes. */
export async function stopFollowing(standby: TestServer): Promise<void> {
  await standby.query('postgres', `alter system set primary_conninfo = ''`);
  await standby.query('postgres', 'select pg_reload_conf()');
  await waitFor('the standby to stop following', async () => {
    const rows = await standby.query('postgres', 'select 1 from pg_stat_wal_receiver');
    return rows.length === 0;
  });
}

/** The standby has replayed all that its primary has written. */
export async function catchUp(primary: TestServer, standby: TestServer): Promise<void> {
  const [row] = await primary.query('postgres', 'select pg_current_wal_flush_lsn()::text as lsn');
  await waitFor('the standby to catch up', async () => {
    const [replayed] = await standby.query(
      'postgres',
      'select pg_last_wal_replay_lsn() >= $1::pg_lsn as done',
      [row?.['lsn']],
    );
    return replayed?.['done'] === true;
  });
}
