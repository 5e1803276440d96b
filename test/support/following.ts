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
