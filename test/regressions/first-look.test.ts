import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import pg from 'pg';

import type { PostgresParticipant } from '../../src/participant/postgres-participant.ts';
import { loneParticipant } from '../support/lone-participant.ts';
import { FaultProxy } from '../support/proxy.ts';
import { startControlledServer, type TestServer } from '../support/servers.ts';
import { waitFor } from '../support/wait.ts';

/**
 * Two sessions are the first of a participant at once, and between them its name is led elsewhere: while the server of the
 * one is being registered, the other one answers from another server. Expected: the other one is not believed because it waited
 * for that registration (invariant 9).
 */
describe('two first looks at once, and a name that is led elsewhere in between', () => {
  let orders: TestServer;
  let stock: TestServer;
  let address: FaultProxy;
  let pool: pg.Pool;
  let participant: PostgresParticipant;
  let isRegistering: boolean;
  let register: () => void;

  beforeEach(async () => {
    [orders, stock] = await Promise.all([
      startControlledServer({ name: 'orders' }),
      startControlledServer({ name: 'stock' }),
    ]);
    // Servers of the tests are copies of one: the oid tells their databases apart.
    await orders.query('postgres', 'create database filler');
    for (const server of [orders, stock]) await server.query('postgres', 'create database app');
    address = await FaultProxy.inFrontOf(orders.connectionString('app'));
    const settings = { connectionString: address.through(orders.connectionString('app')) };
    pool = new pg.Pool(settings);
    isRegistering = false;
    const registered = new Promise<void>((resolve) => {
      register = resolve;
    });
    participant = loneParticipant(pool, settings.connectionString, () => {
      isRegistering = true;
      return registered;
    });
  });
  afterEach(async () => {
    await participant.close();
    await pool.end();
    await address.close();
    await Promise.all([orders.destroy(), stock.destroy()]);
  });

  it('the one from elsewhere is refused', async () => {
    const first = participant.verify();
    await waitFor('the first one is being registered', () => isRegistering);
    const { hostname: host, port } = new URL(stock.connectionString('app'));
    address.redirectNew({ host, port: Number(port) });
    const second = participant.acquire(new AbortController().signal).then(
      ({ client, facts }) => {
        client.release();
        return facts.server;
      },
      (error: unknown) => error,
    );
    await waitFor('the second one has told who it is', async () => {
      const [row] = await stock.query(
        'postgres',
        `select 1 from pg_stat_activity
          where datname = 'app' and state = 'idle' and query like '%pg_postmaster_start_time%'`,
      );
      return row !== undefined;
    });
    register();
    expect(await second).toMatchObject({ code: 'PGXA_PARTICIPANT_IDENTITY' });
    const { databaseOid } = await first;
    expect([{ oid: databaseOid }]).toEqual(
      await orders.query('app', `select oid::text from pg_database where datname = 'app'`),
    );
  });
});
