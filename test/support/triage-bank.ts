/** A bank with a pgxa.yaml for it, and transactions in every state that a coordinator can leave behind. */
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';

import { formatGid } from '../../src/participant/gid.ts';
import { createBank, type Bank, type BankDatabase, type BankOptions } from './bank.ts';
import { runBuilt, runOnTerminal, type CliEnd } from './built-cli.ts';
import { temporaryFolder, type Folder } from './cli.ts';
import { plant, rollbackAll } from './planted.ts';
import { waitFor } from './wait.ts';

export interface PlantedTransaction {
  readonly id: string;
  readonly epoch: string;
  readonly gids: readonly string[];
}

export type Coordinator = 'live' | 'silent' | 'retired' | 'unregistered';

export interface TriageBank extends Bank {
  readonly folder: Folder;
  readonly config: string;
  readonly installation: string;
  writeConfig(
    name: string,
    places: Readonly<Record<string, string>>,
    log?: string,
  ): Promise<string>;
  /** Prepares a branch on each of these participants; default all of them. */
  plant(options: {
    readonly coordinator: Coordinator;
    readonly decision?: 'commit' | 'abort';
    readonly on?: readonly string[];
    readonly id?: string;
    readonly label?: string;
  }): Promise<PlantedTransaction>;
  /**
   * A branch on orders that holds row 1 of table item, and who waits for it: an update of that row, another
   * one behind that, and an ALTER TABLE. In this order.
   */
  plantBlocking(): Promise<PlantedTransaction & { readonly waiters: readonly number[] }>;
  pgxa(...args: readonly string[]): Promise<CliEnd>;
  /** The JSON of a verb. */
  json<T extends object>(
    ...args: readonly string[]
  ): Promise<{ readonly code: CliEnd['code']; readonly data: Printed<T> }>;
  onTerminal(
    args: readonly string[],
    answers?: Parameters<typeof runOnTerminal>[1],
  ): ReturnType<typeof runOnTerminal>;
  /** Outcome and author in the register. */
  decisionOf(id: string): Promise<Record<string, unknown> | undefined>;
  /** How many markers are committed, by participant. */
  markers(): Promise<Record<string, number>>;
}

/** As it comes out of JSON. */
export type Plain<T> = T extends Date | Error
  ? string
  : T extends readonly (infer Item)[]
    ? Plain<Item>[]
    : T extends object
      ? { [Key in keyof T]: Plain<T[Key]> }
      : T;

export type Printed<T> = Plain<T> & { readonly schema: string };

export async function createTriageBank(options: BankOptions = {}): Promise<TriageBank> {
  const bank = await createBank(options);
  const folder = await temporaryFolder();
  const [row] = await bank.log.query('select id from pgxa.installation');
  const installation = String(row?.['id']);
  const writeConfig: TriageBank['writeConfig'] = (name, places, log = bank.log.connectionString) =>
    folder.write(
      name,
      JSON.stringify({
        decisionLog: { connectionString: log },
        participants: Object.fromEntries(
          Object.entries(places).map(([key, connectionString]) => [key, { connectionString }]),
        ),
      }),
    );
  const config = await writeConfig(
    'pgxa.yaml',
    Object.fromEntries(bank.participants.map((one) => [one.name, one.connectionString])),
  );
  const clients: pg.Client[] = [];
  const pgxa = (...args: readonly string[]): Promise<CliEnd> =>
    runBuilt(args, { PGXA_CONFIG: config });
  return {
    ...bank,
    folder,
    config,
    installation,
    writeConfig,
    pgxa,
    plant: (wanted) => plantTransaction(bank, installation, wanted),
    async plantBlocking() {
      const blocking = await plantBlocking(bank, installation);
      clients.push(...blocking.clients);
      return blocking;
    },
    async json<T extends object>(...args: readonly string[]) {
      const { code, stdout, stderr } = await pgxa(...args, '-o', 'json');
      try {
        return { code, data: JSON.parse(stdout) as Printed<T> };
      } catch (error) {
        throw new Error(`no JSON (exit code ${String(code)}): ${stdout}${stderr}`, {
          cause: error,
        });
      }
    },
    onTerminal: (args, answers) => runOnTerminal(args, answers, { PGXA_CONFIG: config }),
    async decisionOf(id) {
      const rows = await bank.log.query(
        'select outcome, decided_by, label, branches from pgxa.decision where transaction_id = $1',
        [id],
      );
      return rows[0];
    },
    async markers() {
      const counts = await Promise.all(
        bank.participants.map(async (one) => {
          const [count] = await one.query('select count(*)::int as n from marker');
          return [one.name, Number(count?.['n'])] as const;
        }),
      );
      return Object.fromEntries(counts);
    },
    async close() {
      for (const participant of bank.participants) await rollbackAll(participant);
      await Promise.all(clients.map((client) => client.end()));
      await bank.close();
      await folder.remove();
    },
  };
}

async function plantTransaction(
  bank: Bank,
  installation: string,
  { coordinator, decision, on, id = uuidv7(), label }: Parameters<TriageBank['plant']>[0],
): Promise<PlantedTransaction> {
  const epoch = randomBytes(8).toString('hex');
  if (coordinator !== 'unregistered') await registerEpoch(bank.log, epoch, coordinator);
  const participants = bank.participants.filter(({ name }) => on?.includes(name) ?? true);
  const gids: string[] = [];
  for (const [index, participant] of participants.entries()) {
    const gid = formatGid({ installation, epoch, transactionId: id, branch: index + 1 });
    await plant(participant, gid);
    gids.push(gid);
  }
  if (decision !== undefined) {
    const branches = await Promise.all(
      participants.map(async (participant, index) => ({
        participant: participant.name,
        branch: index + 1,
        ...(await evidenceOf(participant, String(gids[index]))),
      })),
    );
    await bank.log.query(
      `insert into pgxa.decision (transaction_id, epoch, outcome, decided_by, label, branches)
       values ($1, $2, $3, 'coordinator', $4, $5)`,
      [id, epoch, decision, label ?? null, JSON.stringify(decision === 'commit' ? branches : [])],
    );
  }
  return { id, epoch, gids };
}

async function plantBlocking(
  bank: Bank,
  installation: string,
): Promise<PlantedTransaction & { waiters: number[]; clients: pg.Client[] }> {
  const orders = bank.participant('orders');
  const epoch = randomBytes(8).toString('hex');
  await registerEpoch(bank.log, epoch, 'live');
  await orders.query('create table item (id int primary key, n int)');
  await orders.query('insert into item values (1, 0)');
  const clients = await Promise.all(
    [0, 1, 2, 3].map(async () => {
      const client = new pg.Client({ connectionString: orders.connectionString });
      // What waits is cut off at the end of the test.
      client.on('error', () => undefined);
      await client.connect();
      return client;
    }),
  );
  const id = uuidv7();
  const gid = formatGid({ installation, epoch, transactionId: id, branch: 1 });
  await clients[0]?.query(
    `begin; update item set n = 1 where id = 1; prepare transaction '${gid}'`,
  );
  const statements = [
    'update item set n = 2 where id = 1',
    'update item set n = 3 where id = 1',
    'alter table item add column x int',
  ];
  const waiters: number[] = [];
  for (const [index, statement] of statements.entries()) {
    const client = clients[index + 1];
    const { rows } = (await client?.query('select pg_backend_pid() as pid')) ?? { rows: [] };
    const { pid } = rows[0] as { pid: number };
    waiters.push(pid);
    client?.query(statement).catch(() => undefined);
    await waitFor(`session ${pid} to wait`, async () => {
      const held = await orders.query('select 1 from pg_locks where pid = $1 and not granted', [
        pid,
      ]);
      return held.length > 0;
    });
  }
  return { id, epoch, gids: [gid], waiters, clients };
}

async function registerEpoch(
  log: BankDatabase,
  epoch: string,
  state: Exclude<Coordinator, 'unregistered'>,
): Promise<void> {
  await log.query(
    `insert into pgxa.coordinator (epoch, name, host, pid, version, heartbeat_at, retired_at, retired_by)
     values ($1, 'checkout', 'app1', 4711, '0',
             clock_timestamp() + case $2 when 'live' then interval '1 hour' else interval '-1 hour' end,
             case $2 when 'retired' then now() end, case $2 when 'retired' then 'recovery' end)`,
    [epoch, state],
  );
}

async function evidenceOf(where: BankDatabase, gid: string): Promise<Record<string, unknown>> {
  const [row] = await where.query(
    `select transaction::text as xid,
            (select system_identifier::text from pg_control_system()) as system,
            left(pg_walfile_name(pg_current_wal_lsn()), 8) as timeline
       from pg_prepared_xacts where gid = $1`,
    [gid],
  );
  return row ?? {};
}
