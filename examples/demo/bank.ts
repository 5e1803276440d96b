/** The three servers of the demo: the decision log, and two databases with accounts. */
import { migrateDecisionLog, type TransactionManager } from '../../src/index.ts';
import { startServer, type TestServer } from '../../test/support/servers.ts';
import { waitFor } from '../../test/support/wait.ts';
import type { Cleanup } from './cleanup.ts';

export const ACCOUNTS = 100;
export const OPENING_BALANCE = 1_000;

/** A transfer leaves a row in both databases: on one of them alone it would be half a transfer. */
const SCHEMA = [
  `create table account (id int primary key, balance bigint not null
     constraint no_overdraft check (balance >= 0))`,
  `insert into account select id, ${OPENING_BALANCE} from generate_series(1, ${ACCOUNTS}) id`,
  `create table transfer (transaction_id uuid primary key, difference bigint not null)`,
];

const NAMES = ['log', 'orders', 'billing'];

/** The name under which the doomed program is known to the servers. */
const COORDINATOR = 'demo-coordinator';

export interface Server {
  readonly name: string;
  readonly address: string;
  readonly url: string;
  query<T extends Record<string, unknown>>(text: string): Promise<T[]>;
}

export interface Bank {
  readonly log: Server;
  readonly orders: Server;
  readonly billing: Server;
}

export interface InDoubt {
  readonly server: string;
  readonly gid: string;
  readonly transactionId: string;
  readonly ageMs: number;
  readonly decision: 'commit' | 'abort' | 'none';
}

export async function openBank(cleanup: Cleanup): Promise<Bank> {
  cleanup.assertOpen();
  const starting = NAMES.map((name) => startServer({ name }));
  // One that is still starting when the demo is interrupted is waited for, then removed.
  cleanup.add(async () => {
    const started = await Promise.allSettled(starting);
    await Promise.all(
      started.map(async (one) => {
        if (one.status === 'fulfilled') await one.value.destroy();
      }),
    );
  });
  const started = await Promise.all(starting);
  const [log, orders, billing] = (await Promise.all(started.map(createDatabase))) as [
    Server,
    Server,
    Server,
  ];
  await migrateDecisionLog({ connectionString: log.url });
  for (const statement of SCHEMA)
    await Promise.all([orders, billing].map((s) => s.query(statement)));
  return { log, orders, billing };
}

async function createDatabase(server: TestServer, index: number): Promise<Server> {
  const { name } = server;
  // The servers are copies of one template: same system identifier, same counter of object ids. pgxa
  // takes databases that agree in both for one and the same, hence some ids are used up first.
  for (let id = 0; id < index; id += 1) {
    await server.query('postgres', `create schema used_up_${id}`);
  }
  await server.query('postgres', `create database ${name} template template0`);
  const url = server.connectionString(name);
  return {
    name,
    address: new URL(url).host,
    url,
    query: (text) => server.query(name, text),
  };
}

/** The same database, for the program that is going to be killed. */
export function coordinatorUrl(server: Server): string {
  const url = new URL(server.url);
  url.searchParams.set('application_name', COORDINATOR);
  return url.href;
}

/** A server works on what it has received: it notices a client's death only after that. */
export async function coordinatorGone({ log, orders, billing }: Bank): Promise<void> {
  await waitFor('the end of the dead coordinator’s sessions', async () => {
    const lists = await Promise.all(
      [log, orders, billing].map((server) =>
        server.query(`select 1 from pg_stat_activity where application_name = '${COORDINATOR}'`),
      ),
    );
    return lists.every((list) => list.length === 0);
  });
}

/** All prepared branches, with what the decision log says about their transactions. */
export async function listInDoubt(
  { orders, billing }: Bank,
  tm: TransactionManager,
): Promise<InDoubt[]> {
  const lists = await Promise.all(
    [orders, billing].map(async (server) => {
      const rows = await server.query<{ gid: string; age: number }>(
        `select gid, extract(epoch from clock_timestamp() - prepared)::float8 * 1000 as age
           from pg_prepared_xacts order by prepared`,
      );
      return rows.map(({ gid, age }) => ({ server: server.name, gid, ageMs: age }));
    }),
  );
  const branches = await Promise.all(
    lists.flat().map(async (branch) => {
      const transactionId = transactionOf(branch.gid);
      const outcome = await tm.outcomeOf(transactionId);
      return { ...branch, transactionId, decision: DECISIONS[outcome] };
    }),
  );
  // The decided ones first, and both branches of a transaction one below the other.
  const key = ({ decision, transactionId }: InDoubt): string => `${decision} ${transactionId}`;
  return branches.sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0));
}

const DECISIONS = { committed: 'commit', aborted: 'abort', undecided: 'none' } as const;

/** gid: pgxa_<installation>_<epoch>_<transaction>_<branch> */
function transactionOf(gid: string): string {
  const hex = gid.split('_')[3] ?? '';
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

export async function sumOfBalances({ orders, billing }: Bank): Promise<number> {
  const sums = await Promise.all(
    [orders, billing].map((server) =>
      server.query<{ sum: string }>('select sum(balance)::text as sum from account'),
    ),
  );
  return sums.reduce((total, [row]) => total + Number(row?.sum), 0);
}

/** Transfers that stand in the databases: `whole` in both, `torn` in only one of them. */
export async function standingTransfers({ orders, billing }: Bank): Promise<{
  readonly whole: ReadonlySet<string>;
  readonly torn: readonly string[];
}> {
  const [first, second] = (await Promise.all(
    [orders, billing].map(async (server) => {
      const rows = await server.query<{ id: string }>('select transaction_id as id from transfer');
      return new Set(rows.map(({ id }) => id));
    }),
  )) as [Set<string>, Set<string>];
  return {
    whole: new Set([...first].filter((id) => second.has(id))),
    torn: [
      ...[...first].filter((id) => !second.has(id)),
      ...[...second].filter((id) => !first.has(id)),
    ],
  };
}
