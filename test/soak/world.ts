/** The servers of a soak: three participants and a log, each a server of its own that may be hurt. */
import pg from 'pg';

import { migrateDecisionLog } from '../../src/index.ts';
import { startControlledServer, type TestServer } from '../support/servers.ts';
import { ACCOUNTS, START_BALANCE } from './history.ts';
import { giveSmallDisk, type SmallDisk } from './small-disk.ts';

export interface SoakDatabase {
  readonly name: string;
  readonly database: string;
  /** The server that stands behind the name; a failover puts another one there. */
  server: TestServer;
  /** A disk of its own for its WAL, that can be filled. */
  wal: SmallDisk | undefined;
  readonly url: () => string;
}

export interface World {
  readonly log: SoakDatabase;
  readonly participants: readonly SoakDatabase[];
  readonly installation: string;
  participant(name: string): SoakDatabase;
  close(): Promise<void>;
}

const SCHEMA = `
  create table account (
    id int primary key, balance bigint not null check (balance >= 0), version bigint not null);
  insert into account select id, ${START_BALANCE}, 0 from generate_series(1, ${ACCOUNTS}) id;
  create table marker (
    transaction_id uuid, account int, version bigint not null, amount bigint not null,
    writers text[] not null, key text, primary key (transaction_id, account));
  create table parent (id int primary key);
  create table child (
    id uuid primary key, parent_id int references parent deferrable initially deferred);`;

/** A slot for everything that may be prepared at once, and some for what is in doubt. */
const SETTINGS = {
  max_prepared_transactions: '120',
  max_connections: '150',
  // The nemesis cannot wait five minutes for a checkpoint to matter.
  checkpoint_timeout: '30s',
  // Small disks have to be filled in reasonable time.
  max_wal_size: '64MB',
  min_wal_size: '32MB',
};

export async function makeWorld(): Promise<World> {
  const servers = await Promise.all(
    ['log', 'orders', 'billing', 'stock'].map((name) =>
      startControlledServer({ name, settings: SETTINGS }),
    ),
  );
  try {
    const databases = await Promise.all(servers.map(makeDatabase));
    const [log, ...participants] = databases as [SoakDatabase, ...SoakDatabase[]];
    await migrateDecisionLog({ connectionString: log.url() });
    for (const one of participants) await runScript(one, SCHEMA);
    const last = participants.at(-1);
    if (last !== undefined) last.wal = await giveSmallDisk(last.server);
    const [row] = await log.server.query(log.database, 'select id from pgxa.installation');
    return {
      log,
      participants,
      installation: String(row?.['id']),
      participant: (name) => {
        const found = participants.find((one) => one.name === name);
        if (found === undefined) throw new Error(`no participant ${name} in this world`);
        return found;
      },
      close: async () => {
        await Promise.all(databases.map(({ server }) => server.destroy()));
        for (const { wal } of databases) await wal?.remove();
      },
    };
  } catch (error) {
    await Promise.all(servers.map((server) => server.destroy()));
    throw error;
  }
}

async function makeDatabase(server: TestServer): Promise<SoakDatabase> {
  const database = await server.createDatabase(server.name);
  const one: SoakDatabase = {
    name: server.name,
    database,
    server,
    wal: undefined,
    url: () => one.server.connectionString(database),
  };
  return one;
}

async function runScript(one: SoakDatabase, text: string): Promise<void> {
  const client = new pg.Client({ connectionString: one.url() });
  await client.connect();
  await client.query(text);
  await client.end();
}

/** Prepared transactions of others, which nobody may touch (invariant 9): near misses of our names. */
export async function plantForeign(world: World, one: SoakDatabase): Promise<string[]> {
  const id = world.installation;
  const other = id === 'ffffffffffff' ? '000000000000' : 'ffffffffffff';
  const rest = 'aaaaaaaaaaaaaaaa_0190000000007000800000000000beef_1';
  const gids = [
    'foreign',
    `pgxa_${other}_${rest}`,
    `pgxaX${id}_${rest}`,
    `PGXA_${id}_${rest}`,
    `pgxa_${id}_${rest}_1`,
    ` pgxa_${id}_${rest}`,
    `pgxa_${id}_${rest.replace(/_1$/, '_01')}`,
  ];
  const client = new pg.Client({ connectionString: one.url() });
  await client.connect();
  for (const gid of gids) {
    await client.query('begin');
    await client.query('select pg_current_xact_id()');
    await client.query(`prepare transaction ${pg.escapeLiteral(gid)}`);
  }
  await client.end();
  return gids;
}
