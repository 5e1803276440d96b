/**
 * The fixture of most tests: a migrated decision log and some participant databases, each with
 * accounts and with markers that tell which branches were committed there.
 */
import pg from 'pg';

import {
  createTransactionManager,
  migrateDecisionLog,
  openTriage,
  type TransactionManager,
  type TransactionManagerConfig,
  type Triage,
} from '../../src/index.ts';
import type { ManagerInternals } from '../../src/transaction-manager.ts';
import { sharedServer } from './shared-server.ts';
import type { TestServer } from './test-server.ts';

export interface BankDatabase {
  readonly name: string;
  readonly server: TestServer;
  readonly database: string;
  readonly connectionString: string;
  query<T extends Record<string, unknown> = Record<string, unknown>>(
    text: string,
    values?: readonly unknown[],
  ): Promise<T[]>;
}

export interface Bank {
  readonly log: BankDatabase;
  readonly participants: readonly BankDatabase[];
  /** A manager over all participants, closed by `close()`. */
  manager(
    config?: Partial<TransactionManagerConfig>,
    internals?: ManagerInternals,
  ): Promise<TransactionManager>;
  /** An operator who sees all participants, to be closed by whoever asks for one. */
  operator(options?: {
    readonly actor?: string;
    /** `options` of each connection to a participant. */
    readonly participantOptions?: string;
  }): Triage;
  participant(name: string): BankDatabase;
  /** Prepared transactions in the participants' databases, by participant. */
  inDoubt(): Promise<{ participant: string; gid: string }[]>;
  close(): Promise<void>;
}

export interface BankOptions {
  readonly participants?: readonly string[];
  /** Servers for the participants, in turn; default is the shared one. */
  readonly servers?: readonly TestServer[];
  readonly logServer?: TestServer;
}

const SCHEMA = `
  create table account (id int primary key, balance bigint not null check (balance >= 0));
  insert into account select id, 1000 from generate_series(1, 100) id;
  create table marker (transaction_id uuid primary key, note text);
  create table parent (id int primary key);
  create table child (id int primary key,
    parent_id int references parent deferrable initially deferred);`;

export async function createBank(options: BankOptions = {}): Promise<Bank> {
  const shared =
    options.servers === undefined || options.logServer === undefined
      ? await sharedServer()
      : undefined;
  const log = await createDatabase('log', options.logServer ?? (shared as TestServer), '');
  await migrateDecisionLog({ connectionString: log.connectionString });
  const servers = options.servers ?? [shared as TestServer];
  const names = options.participants ?? ['orders', 'billing'];
  const participants = await Promise.all(
    names.map((name, index) =>
      createDatabase(name, servers[index % servers.length] as TestServer, SCHEMA),
    ),
  );
  const managers: TransactionManager[] = [];
  const participant = (name: string): BankDatabase => {
    const found = participants.find((one) => one.name === name);
    if (found === undefined) throw new Error(`no participant ${name} in this bank`);
    return found;
  };
  const placesOf = (query = ''): Record<string, { connectionString: string }> =>
    Object.fromEntries(
      participants.map((one) => [
        one.name,
        { connectionString: `${one.connectionString}${query}` },
      ]),
    );
  return {
    log,
    participants,
    participant,
    async manager(config = {}, internals = {}) {
      const manager = await createTransactionManager(
        {
          coordinator: 'test',
          decisionLog: { connectionString: log.connectionString },
          participants: placesOf(),
          ...config,
        },
        internals,
      );
      managers.push(manager);
      return manager;
    },
    operator({ actor = 'alice', participantOptions: options } = {}) {
      return openTriage({
        name: 'cli',
        actor,
        purpose: 'operator',
        decisionLog: { connectionString: log.connectionString },
        participants: placesOf(
          options === undefined ? '' : `?options=${encodeURIComponent(options)}`,
        ),
      });
    },
    async inDoubt() {
      const lists = await Promise.all(
        participants.map(async (one) =>
          (
            await one.query<{ gid: string }>(
              'select gid from pg_prepared_xacts where database = current_database() order by gid',
            )
          ).map(({ gid }) => ({ participant: one.name, gid })),
        ),
      );
      return lists.flat();
    },
    async close() {
      await Promise.all(managers.map((manager) => manager.close({ timeoutMs: 1_000 })));
    },
  };
}

async function createDatabase(
  name: string,
  server: TestServer,
  schema: string,
): Promise<BankDatabase> {
  const database = await server.createDatabase(name);
  const connectionString = server.connectionString(database);
  const one: BankDatabase = {
    name,
    server,
    database,
    connectionString,
    query: (text, values) => server.query(database, text, values),
  };
  if (schema !== '') {
    const client = new pg.Client({ connectionString });
    await client.connect();
    await client.query(schema);
    await client.end();
  }
  return one;
}

export function ids(rows: readonly Record<string, unknown>[]): string[] {
  return rows.map((row) => String(row['transaction_id'])).sort();
}
