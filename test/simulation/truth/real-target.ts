import pg from 'pg';

import { migrateDecisionLog } from '../../../src/decision-log/migrate.ts';
import { endClient } from '../../../src/postgres/end.ts';
import { EmbeddedServer } from '../../support/embedded-server.ts';
import { hearNotices, send, type Target, type TruthClient } from './target.ts';

/** A real server of the version that PGXA_TEST_POSTGRES_MAJOR names, with the schema of the log and two tables. */
export async function createRealTarget(maxPrepared: number): Promise<Target> {
  const server = await EmbeddedServer.start({
    name: 'truth',
    settings: { max_prepared_transactions: String(maxPrepared) },
  });
  const database = await server.createDatabase('truth');
  const connectionString = server.connectionString(database);
  await migrateDecisionLog({ connectionString });
  await server.query(database, 'select pgxa.make_partitions(1)');
  await server.query(database, 'create table marker (id text not null)');
  await server.query(
    database,
    'create table account (id int primary key, touched int not null default 0)',
  );
  await server.query(database, 'insert into account select generate_series(0, 9)');
  const clients = new Map<number, TruthClient>();
  const connect = async (): Promise<TruthClient> => {
    const client = new pg.Client({ connectionString });
    const truthClient = hearNotices(client);
    await client.connect();
    return truthClient;
  };
  let onlooker = await connect();
  return {
    name: `PostgreSQL ${server.major}`,
    open: async (session) => {
      const old = clients.get(session)?.client;
      // Its server may have been killed: what was never told of that would be waited for without end.
      if (old !== undefined) await endClient(old);
      clients.set(session, await connect());
    },
    run: (session, request) => {
      const client = clients.get(session);
      if (client === undefined) throw new Error(`session ${session} is not open`);
      return send(client, request);
    },
    prepared: async () => {
      const { rows } = await onlooker.client.query<{ gid: string }>(
        'select gid from pg_prepared_xacts',
      );
      return rows.map(({ gid }) => gid).sort();
    },
    crash: async () => {
      await server.kill9();
      await server.start();
      onlooker = await connect();
    },
    close: async () => {
      await Promise.all([onlooker, ...clients.values()].map(({ client }) => endClient(client)));
      await server.destroy();
    },
  };
}
