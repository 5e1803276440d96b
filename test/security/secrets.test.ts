import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import {
  subscribe,
  type PgxaEventName,
  type TransactionManagerConfig,
  type TransactionScope,
} from '../../src/index.ts';
import { createBank, type Bank } from '../support/bank.ts';
import { EmbeddedServer } from '../support/embedded-server.ts';
import { startControlledServer, type TestServer } from '../support/servers.ts';
import { WireProxy } from '../support/wire-proxy.ts';

const SECRET = 'correct-horse-canary-7f3a';

/** Events that this scenario makes, and with it most of what is ever told. */
const HEARD: readonly PgxaEventName[] = [
  'coordinator:registered',
  'coordinator:heartbeat-failed',
  'participant:unavailable',
  'transaction:begun',
  'transaction:decided',
  'transaction:ended',
  'branch:voted',
  'branch:finished',
  'branch:pending',
  'recovery:pass',
  'hook:failed',
];

/**
 * S9: log and participants are reached with a password that stands nowhere else. Two participants; one vanishes
 * behind the decision, the log vanishes, the password becomes wrong. Everything that pgxa says of it is
 * collected: errors, events, reports, its own objects, the log's tables, the servers' logs and views.
 * Expected: the password is in none of it.
 */
describe('a password in a connection string', () => {
  let server: TestServer;
  let bank: Bank;
  let link: WireProxy;
  let logLink: WireProxy;
  const told: string[] = [];
  const tell = (value: unknown): void => {
    told.push(inspect(value, { depth: 12, showHidden: true, getters: true }));
  };

  beforeAll(async () => {
    server = await startControlledServer();
    bank = await createBank({ servers: [server], logServer: server });
    // The statement that sets a password holds it: what follows is logged, and not this.
    await server.query(
      'postgres',
      `create role keyed login superuser in role pgxa_needs_password password '${SECRET}'`,
    );
    await server.query('postgres', `alter system set log_statement = 'all'`);
    await server.query('postgres', 'select pg_reload_conf()');
    link = await WireProxy.inFrontOf(server.connectionString());
    logLink = await WireProxy.inFrontOf(server.connectionString());
  });
  afterAll(async () => {
    await bank.close();
    await link.close();
    await logLink.close();
    await server.destroy();
  });

  const keyed = (database: string, password = SECRET) => ({
    connectionString: server.connectionString(database, { user: 'keyed', password }),
  });
  const config = (): Partial<TransactionManagerConfig> => ({
    heartbeatLimitMs: 1_000,
    connectTimeoutMs: 1_000,
    decisionLog: {
      connectionString: logLink.through(keyed(bank.log.database).connectionString),
    },
    participants: Object.fromEntries(
      bank.participants.map(({ name, database }) => [
        name,
        { connectionString: link.through(keyed(database).connectionString) },
      ]),
    ),
  });
  const both = async (tx: TransactionScope): Promise<void> => {
    tx.onCommitted(() => {
      throw new Error('a hook that fails');
    });
    for (const { name } of bank.participants) {
      await tx.on(name).query('insert into marker values ($1)', [tx.id]);
    }
    tell(tx);
    tell(tx.on('orders'));
  };
  const failure = (promise: Promise<unknown>): Promise<void> =>
    promise.then(
      () => expect.unreachable('it had to fail'),
      (error: unknown) => {
        tell(error);
        tell((error as Error).stack);
        tell(JSON.stringify(error));
      },
    );

  it('is told by nothing', { timeout: 120_000 }, async () => {
    const heard = new Set<PgxaEventName>();
    const ends = HEARD.map((name) =>
      subscribe(name, (event) => {
        heard.add(name);
        tell(event);
      }),
    );
    let vanish = false;
    const tm = await bank.manager(config(), {
      faultHook: (point) => {
        if (vanish && point === 'after-decide') link.refuse();
      },
    });
    tell(tm);
    await tm.run(both);
    await failure(tm.run(() => Promise.reject(new Error('the function fails'))));
    await failure(tm.run((tx) => tx.on('orders').query('insert into nowhere values (1)')));
    vanish = true;
    await tm.run(both);
    await failure(tm.run(both));
    tell(await tm.recover({ wait: false }));
    // Wrong passwords, on a log and on a participant.
    const wrong = `${SECRET}-wrong`;
    await failure(bank.manager({ ...config(), decisionLog: keyed(bank.log.database, wrong) }));
    const orders = keyed(bank.participant('orders').database, wrong);
    await failure(bank.manager({ ...config(), participants: { orders } }));
    // A manager that starts while a participant is away, and loses its log.
    const late = await bank.manager(config());
    logLink.refuse();
    await failure(late.run({ idempotencyKey: 'k' }, both));
    await failure(late.outcomeOf('01890000-0000-7000-8000-000000000000'));
    await expect
      .poll(() => heard.has('coordinator:heartbeat-failed'), { timeout: 10_000 })
      .toBe(true);
    link.accept();
    logLink.accept();
    await expect
      .poll(async () => (await tm.recover({ wait: false })).complete, { timeout: 20_000 })
      .toBe(true);
    await late.close();
    await tm.close();
    for (const end of ends) end();

    await tellServers();
    expect([...heard].sort()).toEqual([...HEARD].sort());
    expect(told.length).toBeGreaterThan(50);
    const around = (text: string): string[] => {
      const at = text.indexOf(SECRET);
      return at === -1 ? [] : [text.slice(Math.max(0, at - 200), at + 100)];
    };
    expect(told.flatMap(around)).toEqual([]);
  });

  /** What others can read: every table of the log, the sessions, the servers' own logs. */
  async function tellServers(): Promise<void> {
    const tables = await bank.log.query<{ name: string }>(
      `select relname::text as name from pg_class
        where relnamespace = 'pgxa'::regnamespace and relkind in ('r', 'p', 'v')`,
    );
    expect(tables.length).toBeGreaterThan(7);
    for (const { name } of tables) tell(await bank.log.query(`select * from pgxa.${name}`));
    tell(await server.query('postgres', 'select * from pg_stat_activity'));
    if (!(server instanceof EmbeddedServer)) throw new Error('its log is read from its folder');
    const log = await readFile(join(server.directory, 'server.log'), 'utf8');
    expect(log).toContain('insert into marker');
    told.push(log);
  }
});
