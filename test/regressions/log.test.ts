import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { migrateDecisionLog, subscribe, type TransactionScope } from '../../src/index.ts';
import { checkMarkers } from '../support/atomicity.ts';
import { createBank, type Bank } from '../support/bank.ts';
import { loseStandby, regainStandby } from '../support/lonely.ts';
import { FaultProxy } from '../support/proxy.ts';
import { startControlledServer } from '../support/servers.ts';
import { sharedServer } from '../support/shared-server.ts';
import { waitFor } from '../support/wait.ts';

const both = async (tx: TransactionScope): Promise<string> => {
  for (const name of ['orders', 'billing']) {
    await tx.on(name).query('insert into marker values ($1)', [tx.id]);
  }
  return tx.id;
};

describe('texts that the log cannot store', () => {
  let bank: Bank;
  beforeEach(async () => {
    bank = await createBank();
  });
  afterEach(() => bank.close());

  it.each(['label', 'idempotencyKey'])(
    '%s with a NUL character: PGXA_INVALID_ARGUMENT before anything is done',
    async (option) => {
      const tm = await bank.manager();
      let called = false;
      const options = { [option]: 'a\0b' };
      await expect(tm.run(options, () => void (called = true))).rejects.toMatchObject({
        name: 'MisuseError',
        code: 'PGXA_INVALID_ARGUMENT',
      });
      await expect(tm.begin(options)).rejects.toMatchObject({ code: 'PGXA_INVALID_ARGUMENT' });
      expect(called).toBe(false);
    },
  );

  it('a coordinator with a NUL character in its name: PGXA_CONFIG_INVALID', async () => {
    await expect(bank.manager({ coordinator: 'a\0b' })).rejects.toMatchObject({
      code: 'PGXA_CONFIG_INVALID',
    });
  });

  it.each([
    ['LATIN1', 'that one is rolled back, its neighbours commit', 'refused'],
    ['SQL_ASCII', 'all commit', 'stored'],
  ])(
    'a snowman as label in a batch, the log is a database with encoding %s: %s',
    async (encoding, _, expected) => {
      const server = await sharedServer();
      const database = `log_${encoding.toLowerCase()}_${bank.log.database}`;
      await server.query(
        'postgres',
        `create database ${database} template template0 encoding '${encoding}' locale 'C'`,
      );
      const connectionString = server.connectionString(database);
      await migrateDecisionLog({ connectionString });
      const proxy = await FaultProxy.inFrontOf(connectionString);
      // Holds them until all have voted, so that they are decided in one statement.
      const labels = ['first neighbour', 'snow ☃', 'last neighbour'];
      let arrived = 0;
      let goOn = (): void => undefined;
      const gate = new Promise<void>((resolve) => (goOn = resolve));
      const tm = await bank.manager(
        { decisionLog: { connectionString: proxy.through(connectionString) } },
        {
          faultHook: async (at) => {
            if (at !== 'before-decide') return;
            arrived += 1;
            if (arrived === labels.length) goOn();
            await gate;
          },
        },
      );
      const snow = Buffer.from('☃').toString('latin1');
      const batch = proxy.arm(new RegExp(`neighbour[^]*${snow}|${snow}[^]*neighbour`), 'pass');
      const answers = await Promise.allSettled(labels.map((label) => tm.run({ label }, both)));
      expect(batch.fired).toBe(1);
      const committed = answers.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
      if (expected === 'stored') expect(committed).toHaveLength(3);
      else {
        expect(answers).toMatchObject([
          { status: 'fulfilled' },
          { reason: { name: 'RolledBackError', code: 'PGXA_LOG_REFUSED', retryable: false } },
          { status: 'fulfilled' },
        ]);
      }
      const { whole, torn } = await checkMarkers(bank, 2);
      expect(torn).toEqual([]);
      expect([...whole].sort()).toEqual(committed.sort());
      expect(await bank.inDoubt()).toEqual([]);
      await tm.close();
      await proxy.close();
    },
  );
});

it('the standby of the log is away for long: statements that nobody awaits any more do not pile up there', async () => {
  // Expected: never more of them than there are connections, and one heartbeat at most.
  const server = await startControlledServer();
  try {
    const bank = await createBank({ logServer: server });
    const tm = await bank.manager({ heartbeatLimitMs: 1_000 });
    await tm.run(both);
    let failures = 0;
    const unsubscribe = subscribe('coordinator:heartbeat-failed', () => (failures += 1));
    await loseStandby(server);
    const runs = Promise.allSettled([tm.run(both), tm.run(both)]);
    await waitFor('two heartbeats to be given up', () => failures >= 2, { timeoutMs: 15_000 });
    unsubscribe();
    const atWork = (text: string): Promise<unknown[]> =>
      server.query(
        'postgres',
        `select query from pg_stat_activity
          where datname = $1 and state = 'active' and strpos(query, $2) > 0`,
        [bank.log.database, text],
      );
    await waitFor('at most one heartbeat', async () => (await atWork('heartbeat_at')).length <= 1, {
      timeoutMs: 2_000,
    });
    await waitFor('at most one decision', async () => (await atWork('for key share')).length <= 1, {
      timeoutMs: 2_000,
    });
    await waitFor('at most six statements', async () => (await atWork('')).length <= 6, {
      timeoutMs: 2_000,
    });
    expect(await runs).toMatchObject([
      { reason: { name: 'OutcomeUnknownError' } },
      { reason: { name: 'OutcomeUnknownError' } },
    ]);
    await regainStandby(server);
    await waitFor('nothing in doubt', async () => (await bank.inDoubt()).length === 0);
    expect((await checkMarkers(bank, 2)).torn).toEqual([]);
    await bank.close();
  } finally {
    await server.destroy();
  }
});
