import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import {
  ConfigError,
  createTransactionManager,
  migrateDecisionLog,
  RolledBackError,
  type TransactionManager,
} from '../../src/index.ts';
import { FaultProxy } from '../support/proxy.ts';
import { startControlledServer, type TestServer } from '../support/servers.ts';
import { createDatabases, sharedServer } from '../support/shared-server.ts';
import { waitFor } from '../support/wait.ts';

/**
 * Seed 5000790 of the simulation. The name of the stock leads to the server of the orders when the manager first looks
 * at it, so that the manager takes it for that database; then the name leads to the right server.
 */
describe('a name that has led astray at its first look', () => {
  let orders: TestServer;
  let stock: TestServer;
  let ordersAddress: FaultProxy;
  let stockAddress: FaultProxy;
  let manager: TransactionManager;

  beforeEach(async () => {
    [orders, stock] = await Promise.all([
      startControlledServer({ name: 'orders' }),
      startControlledServer({ name: 'stock' }),
    ]);
    // Servers of the tests are copies of one: the oid tells their databases apart.
    await orders.query('postgres', 'create database filler');
    for (const server of [orders, stock]) {
      await server.query('postgres', 'create database app');
      await server.query('app', 'create table marker (id text primary key)');
    }
    const [log = ''] = await createDatabases(1);
    const shared = await sharedServer();
    const decisionLog = { connectionString: shared.connectionString(log) };
    await migrateDecisionLog(decisionLog);
    ordersAddress = await FaultProxy.inFrontOf(orders.connectionString('app'));
    stockAddress = await FaultProxy.inFrontOf(stock.connectionString('app'));
    // Neither is there when the manager starts.
    ordersAddress.goAway();
    stockAddress.goAway();
    manager = await createTransactionManager({
      coordinator: 'astray',
      decisionLog,
      participants: {
        orders: { connectionString: ordersAddress.through(orders.connectionString('app')) },
        stock: { connectionString: stockAddress.through(stock.connectionString('app')) },
      },
    });
    ordersAddress.comeBack();
    stockAddress.comeBack();
  });
  afterEach(async () => {
    await manager.close();
    await Promise.all([ordersAddress.close(), stockAddress.close()]);
    await Promise.all([orders.destroy(), stock.destroy()]);
  });

  function placeOf(server: TestServer): { host: string; port: number } {
    const { hostname: host, port } = new URL(server.connectionString('app'));
    return { host, port: Number(port) };
  }

  function insertInto(...names: readonly string[]): Promise<void> {
    return manager.run(async (tx) => {
      for (const name of names) {
        await tx.on(name).query('insert into marker values ($1)', [tx.id]);
      }
    });
  }

  async function markers(server: TestServer): Promise<number> {
    const [row] = await server.query('app', 'select count(*)::int as count from marker');
    return Number(row?.['count']);
  }

  it('both are refused together while it leads there, and used as soon as it leads to its own server', async () => {
    stockAddress.redirect(placeOf(orders));
    await insertInto('stock');
    expect(await markers(orders)).toBe(1);

    const refused = await insertInto('orders', 'stock').catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(RolledBackError);
    const { cause } = refused as RolledBackError;
    expect(cause).toBeInstanceOf(ConfigError);
    expect((cause as ConfigError).code).toBe('PGXA_PARTICIPANTS_NOT_DISTINCT');

    stockAddress.redirect(placeOf(stock));
    await insertInto('orders', 'stock');
    expect(await markers(orders)).toBe(2);
    expect(await markers(stock)).toBe(1);
  });

  it('what the pool still holds from there is not used', async () => {
    stockAddress.redirect(placeOf(orders));
    await insertInto('stock');
    // The idle session stays where it is: only new ones lead elsewhere.
    stockAddress.redirectNew(placeOf(stock));
    await insertInto('orders');
    await insertInto('stock', 'orders');
    expect(await markers(orders)).toBe(3);
    expect(await markers(stock)).toBe(1);
  });

  /** How it is refused, once what is left of the connections from before the detour is gone. */
  function refusalOf(name: string): Promise<string> {
    return waitFor('an attempt that comes to a server', async () => {
      const refused = await insertInto(name).catch((error: unknown) => error);
      const { cause } = refused as RolledBackError;
      return cause instanceof ConfigError && cause.code;
    });
  }

  // Seed 30169098 of the simulation: nobody ever comes to the orders, because the stock is refused before.
  it('it is used again also where its turn is before that of the one it has led to', async () => {
    stockAddress.redirect(placeOf(orders));
    await insertInto('stock');
    stockAddress.redirect(placeOf(stock));
    await waitFor('stock, then orders', async () => {
      await insertInto('stock', 'orders');
      return true;
    });
    expect(await markers(orders)).toBe(2);
    expect(await markers(stock)).toBe(1);
  });

  it('it stays refused until the one it has led to answers: nobody else can tell which of the two was meant', async () => {
    stockAddress.redirect(placeOf(orders));
    await insertInto('stock');
    ordersAddress.goAway();
    stockAddress.redirect(placeOf(stock));
    expect(await refusalOf('stock')).toBe('PGXA_PARTICIPANT_IDENTITY');
    expect(await markers(stock)).toBe(0);
    ordersAddress.comeBack();
    await insertInto('stock');
    expect(await markers(stock)).toBe(1);
  });

  it('one that was right at its first look is not believed elsewhere, also when the other was never looked at', async () => {
    await insertInto('stock');
    stockAddress.redirect(placeOf(orders));
    expect(await refusalOf('stock')).toBe('PGXA_PARTICIPANT_IDENTITY');
    expect(await markers(orders)).toBe(0);
    await insertInto('orders');
    expect(await refusalOf('stock')).toBe('PGXA_PARTICIPANT_IDENTITY');
    stockAddress.redirect(placeOf(stock));
    await waitFor('both', async () => {
      await insertInto('stock', 'orders');
      return true;
    });
    expect(await markers(orders)).toBe(2);
    expect(await markers(stock)).toBe(2);
  });

  it('two that have been looked at are not believed when they lead to each other', async () => {
    await insertInto('stock', 'orders');
    stockAddress.redirect(placeOf(orders));
    ordersAddress.redirect(placeOf(stock));
    expect(await refusalOf('stock')).toBe('PGXA_PARTICIPANT_IDENTITY');
    expect(await refusalOf('orders')).toBe('PGXA_PARTICIPANT_IDENTITY');
    expect(await markers(orders)).toBe(1);
    expect(await markers(stock)).toBe(1);
  });
});
