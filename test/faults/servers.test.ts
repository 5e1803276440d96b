import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { TransactionManager, TransactionScope } from '../../src/index.ts';
import type { FaultPoint } from '../../src/coordinator/protocol-context.ts';
import { checkMarkers } from '../support/atomicity.ts';
import { createBank, type Bank } from '../support/bank.ts';
import { startControlledServer, type TestServer } from '../support/servers.ts';
import { waitFor } from '../support/wait.ts';

/**
 * Orders and billing on two servers, the log on a third. One server is killed, hung or failed over at a
 * named point of the protocol. Expected outcomes are stated in each test.
 */
describe('a server fails', () => {
  let servers: { log: TestServer; orders: TestServer; billing: TestServer };
  let bank: Bank;

  beforeEach(async () => {
    const [log, orders, billing] = await Promise.all([
      startControlledServer({ name: 'log' }),
      startControlledServer({ name: 'orders' }),
      startControlledServer({ name: 'billing' }),
    ]);
    servers = { log, orders, billing };
    bank = await createBank({ servers: [orders, billing], logServer: log });
  });
  afterEach(async () => {
    await bank.close();
    await Promise.all(Object.values(servers).map((server) => server.destroy()));
  });

  const both = async (tx: TransactionScope): Promise<string> => {
    for (const name of ['orders', 'billing']) {
      await tx.on(name).query('insert into marker values ($1)', [tx.id]);
    }
    return tx.id;
  };

  /** A manager whose fault hook acts once, at this point. */
  async function managerWith(
    point: FaultPoint,
    act: () => Promise<void>,
  ): Promise<TransactionManager> {
    let acted = false;
    return bank.manager(
      {},
      {
        faultHook: async (at) => {
          if (at !== point || acted) return;
          acted = true;
          await act();
        },
      },
    );
  }

  async function expectAll(id: string): Promise<void> {
    await waitFor('nothing in doubt', async () => (await bank.inDoubt()).length === 0);
    const { whole, torn } = await checkMarkers(bank, 2);
    expect(torn).toEqual([]);
    expect([...whole]).toEqual([id]);
  }

  it('participant killed after its yes vote, before the decision: committed, finished when it is back', async () => {
    const tm = await managerWith('before-decide', () => servers.billing.kill9());
    const { billing } = servers;
    const started = performance.now();
    const tx = await tm.begin();
    await both(tx);
    expect(await tx.commit()).toEqual({ transactionId: tx.id, pending: ['billing'] });
    expect(performance.now() - started).toBeLessThan(10_000);
    await billing.start();
    await expectAll(tx.id);
  });

  it('participant killed before its vote: rolled back on both, and running again can help', async () => {
    const tm = await managerWith('before-vote', () => servers.billing.kill9());
    await expect(tm.run(both)).rejects.toMatchObject({
      name: 'RolledBackError',
      retryable: true,
      participant: 'billing',
    });
    await servers.billing.start();
    const { whole, torn } = await checkMarkers(bank, 2);
    expect([...whole, ...torn]).toEqual([]);
    expect(await bank.inDoubt()).toEqual([]);
    // The same manager works on as soon as the server is back.
    await expectAll(await tm.run({ retry: { attempts: 10 } }, both));
  });

  it('participant hung (SIGSTOP) after the decision: the caller has its answer in seconds', async () => {
    const tm = await managerWith('after-decide', async () => {
      servers.billing.pause();
      return Promise.resolve();
    });
    const tx = await tm.begin();
    await both(tx);
    const started = performance.now();
    expect(await tx.commit()).toEqual({ transactionId: tx.id, pending: ['billing'] });
    expect(performance.now() - started).toBeLessThan(5_000);
    servers.billing.resume();
    await expectAll(tx.id);
  });

  it('all servers killed between decision and phase two: one recovery pass commits on both', async () => {
    const tm = await managerWith('after-decide', async () => {
      await Promise.all(Object.values(servers).map((server) => server.kill9()));
    });
    const tx = await tm.begin();
    await both(tx);
    const report = await tx.commit();
    expect(report.pending).toEqual(['orders', 'billing']);
    await tm.close();
    await Promise.all(Object.values(servers).map((server) => server.start()));
    const recoverer = await bank.manager();
    expect(await recoverer.recover()).toMatchObject({ complete: true, committed: 2 });
    await expectAll(tx.id);
  });

  it('one dead participant stops only its own work: recovery finishes the other', async () => {
    const tm = await managerWith('after-decide', async () => {
      await Promise.all([servers.orders.kill9(), servers.billing.kill9()]);
    });
    const tx = await tm.begin();
    await both(tx);
    await tx.commit();
    await tm.close();
    await servers.orders.start();
    const recoverer = await bank.manager();
    const report = await recoverer.recover();
    expect(report.complete).toBe(false);
    expect(report.participants['orders']).toMatchObject({ status: 'listed', committed: 1 });
    expect(report.participants['billing']).toMatchObject({ status: 'unreachable' });
    await servers.billing.start();
    expect(await recoverer.recover()).toMatchObject({ complete: true, committed: 1 });
    await expectAll(tx.id);
  });

  it('log killed before the decision: unknown; when it is back, what outcomeOf says is what stands', async () => {
    const tm = await managerWith('before-decide', () => servers.log.kill9());
    let id = '';
    await expect(
      tm.run(async (tx) => {
        ({ id } = tx);
        await both(tx);
      }),
    ).rejects.toMatchObject({ code: 'PGXA_OUTCOME_UNKNOWN' });
    expect(await bank.inDoubt()).toHaveLength(2);
    await servers.log.start();
    await waitFor('nothing in doubt', async () => (await bank.inDoubt()).length === 0, {
      timeoutMs: 20_000,
    });
    expect(await tm.outcomeOf(id)).toBe('aborted');
    const { whole, torn } = await checkMarkers(bank, 2);
    expect([...whole, ...torn]).toEqual([]);
  });
});
