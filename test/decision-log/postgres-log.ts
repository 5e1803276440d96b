/** Decision logs in databases of their own, and the faults that belong to PostgreSQL. */
import pg from 'pg';

import type { PostgresDecisionLog } from '../../src/decision-log/postgres-decision-log.ts';
import { openDecisionLog } from '../../src/decision-log/open.ts';
import { migrateDecisionLog } from '../../src/index.ts';
import { sharedServer } from '../support/shared-server.ts';
import type { TestServer } from '../support/servers.ts';
import { waitFor } from '../support/wait.ts';
import type { LogUnderTest } from './conformance.ts';

export interface PostgresLogUnderTest extends LogUnderTest {
  readonly server: TestServer;
  readonly database: string;
  /** Its name is in the application_name of its sessions. */
  open(name?: string): Promise<PostgresDecisionLog>;
  query(text: string, values?: readonly unknown[]): Promise<Record<string, unknown>[]>;
  /** One session of the test, ended by close(). */
  session(): Promise<pg.Client>;
}

export async function postgresLog(server?: TestServer): Promise<PostgresLogUnderTest> {
  const home = server ?? (await sharedServer());
  const database = await home.createDatabase('log');
  const connectionString = home.connectionString(database);
  await migrateDecisionLog({ connectionString });
  const opened: { close(): Promise<void> }[] = [];
  return {
    server: home,
    database,
    query: (text, values) => home.query(database, text, values),
    async open(name = 'test') {
      const log = await openDecisionLog({
        settings: { connectionString },
        coordinator: name,
        connectTimeoutMs: 5_000,
      });
      opened.push(log);
      return log;
    },
    async session() {
      const client = new pg.Client({ connectionString, application_name: 'pgxa test session' });
      client.on('error', () => undefined);
      await client.connect();
      opened.push({ close: () => client.end() });
      return client;
    },
    async close() {
      await Promise.all(opened.map((one) => one.close()));
    },
  };
}

/**
 * From now on no commit on the server is acknowledged (a synchronous standby is asked for that does not
 * exist), although each is on disk: it becomes visible when the wait ends. Returns the way back.
 */
export async function holdCommits(server: TestServer): Promise<() => Promise<void>> {
  const set = async (name: string): Promise<void> => {
    await server.query('postgres', `alter system set synchronous_standby_names = '${name}'`);
    await server.query('postgres', 'select pg_reload_conf()');
  };
  await set('nobody');
  // The setting counts for a commit once the checkpointer has told so: proven by one that hangs.
  await waitFor('a commit to be held', async () => {
    const probe = new pg.Client({ connectionString: server.connectionString() });
    probe.on('error', () => undefined);
    await probe.connect();
    const [row] = (await probe.query<{ pid: number }>('select pg_backend_pid() as pid')).rows;
    let answered = false;
    const commit = probe.query(`select pg_logical_emit_message(true, 'probe', '')`).then(
      () => (answered = true),
      () => undefined,
    );
    await waitFor('the probe', async () => answered || (await isHeld(server, row?.pid ?? 0)));
    const held = !answered;
    await server.query('postgres', 'select pg_terminate_backend($1)', [row?.pid]);
    await commit;
    await probe.end().catch(() => undefined);
    return held;
  });
  return () => set('');
}

async function isHeld(server: TestServer, pid: number): Promise<boolean> {
  const rows = await server.query(
    'postgres',
    `select 1 from pg_stat_activity where pid = $1 and wait_event = 'SyncRep'`,
    [pid],
  );
  return rows.length === 1;
}

/** The backend of a pgxa session that waits for something, by the beginning of its statement. */
export function backendThatWaits(
  under: PostgresLogUnderTest,
  statement: RegExp,
  waitEvent: 'SyncRep' | 'transactionid' | 'tuple',
): Promise<number> {
  return waitFor(`a backend in ${statement.source} to wait for ${waitEvent}`, async () => {
    const rows = await under.query(
      `select pid, query from pg_stat_activity
        where datname = current_database() and wait_event = $1`,
      [waitEvent],
    );
    return rows.find((row) => statement.test(String(row['query'])))?.['pid'] as number | undefined;
  });
}
