import { INCARNATION_SQL } from '../../src/participant/server-facts.ts';
import type { TestServer } from './servers.ts';
import { waitFor } from './wait.ts';

const WALWRITER = `(select pid from pg_stat_activity where backend_type = 'walwriter')`;
const STARTED = 'pg_postmaster_start_time()::text';

export async function askOne(server: TestServer, expression: string): Promise<unknown> {
  const [row] = await server.query('postgres', `select ${expression} as answer`);
  return row?.['answer'];
}

/**
 * One of its processes dies: the postmaster stays, everything else begins anew, and what was not flushed is lost. Resolves
 * when it has recovered.
 */
export async function crashUnderPostmaster(server: TestServer): Promise<void> {
  const [before, started] = [await askOne(server, INCARNATION_SQL), await askOne(server, STARTED)];
  server.signalBackend(Number(await askOne(server, WALWRITER)), 'SIGKILL');
  await waitFor('crash recovery', async () => (await askOne(server, INCARNATION_SQL)) !== before);
  if ((await askOne(server, STARTED)) !== started) throw new Error('the postmaster is another one');
}
