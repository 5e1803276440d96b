import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import pg from 'pg';

import type { FinishRequest } from '../../src/participant/participant.ts';
import type { PostgresParticipant } from '../../src/participant/postgres-participant.ts';
import { loneParticipant } from '../support/lone-participant.ts';
import { FaultProxy } from '../support/proxy.ts';
import { startControlledServer, type TestServer } from '../support/servers.ts';
import { waitFor } from '../support/wait.ts';

/**
 * Seed 3140209 of the simulation. The name of the orders leads to another server, which has never issued the xid that it is
 * asked for; that session is lost, and by the next one the name leads home again. Expected: nobody takes the
 * error of the other server for one of the right one, which knows the xid very well.
 */
describe('an xid that was never issued where a name led astray', () => {
  const GID = 'pgxa_c0ffee123456_0123456789abcdef_01890a5dac96774bbcceb302099a8057_1';
  let orders: TestServer;
  let stock: TestServer;
  let address: FaultProxy;
  let pool: pg.Pool;
  let participant: PostgresParticipant;
  let request: FinishRequest;

  beforeEach(async () => {
    [orders, stock] = await Promise.all([
      startControlledServer({ name: 'orders' }),
      startControlledServer({ name: 'stock' }),
    ]);
    // Servers of the tests are copies of one: the oid tells their databases apart.
    await orders.query('postgres', 'create database filler');
    for (const server of [orders, stock]) await server.query('postgres', 'create database app');
    // The other server is far behind.
    await orders.query(
      'app',
      `do $$ begin for at in 1..500 loop perform pg_current_xact_id(); commit; end loop; end $$`,
    );
    address = await FaultProxy.inFrontOf(orders.connectionString('app'));
    const settings = { connectionString: address.through(orders.connectionString('app')) };
    pool = new pg.Pool(settings);
    participant = loneParticipant(pool, settings.connectionString);
    request = {
      gid: GID,
      decision: 'commit',
      evidence: { server: await participant.verify(), xid: await committedBranch() },
    };
  });
  afterEach(async () => {
    await participant.close();
    await pool.end();
    await address.close();
    await Promise.all([orders.destroy(), stock.destroy()]);
  });

  /** A branch that somebody else has finished already; returns its xid. */
  async function committedBranch(): Promise<string> {
    const client = new pg.Client({ connectionString: orders.connectionString('app') });
    await client.connect();
    await client.query('begin');
    const { rows } = await client.query<{ xid: string }>(
      'select pg_current_xact_id()::text as xid',
    );
    await client.query(`prepare transaction '${GID}'`);
    await client.query(`commit prepared '${GID}'`);
    await client.end();
    return rows[0]?.xid ?? '';
  }

  function redirect(server: TestServer): void {
    const { hostname: host, port } = new URL(server.connectionString('app'));
    address.redirect({ host, port: Number(port) });
  }

  /** Asks while the name leads astray, and lets it lead home as soon as the other server has refused the xid. */
  async function whileAstray<T>(ask: () => Promise<T>): Promise<PromiseSettledResult<T>> {
    redirect(stock);
    await waitFor('the name leads astray', async () => {
      const { kind } = await participant.listInDoubt();
      return kind === 'other-server';
    });
    const refused = address.arm(/pg_xact_status/, 'silence-after-error');
    const settled = Promise.allSettled([ask()]);
    await waitFor('the xid is asked for', () => refused.fired === 1);
    await waitFor('it is refused', async () => {
      const [row] = await stock.query(
        'postgres',
        `select 1 from pg_stat_activity
          where datname = 'app' and state like 'idle%' and query like '%pg_xact_status%'`,
      );
      return row !== undefined;
    });
    redirect(orders);
    const [result] = await settled;
    return result;
  }

  it('a finish stays pending, and the next one finds the branch committed', async () => {
    expect(await whileAstray(() => participant.finish(request))).toMatchObject({
      status: 'fulfilled',
      value: { kind: 'pending' },
    });
    expect(await participant.finish(request)).toEqual({ kind: 'done' });
  });
});
