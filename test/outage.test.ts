import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';

import {
  createTransactionManager,
  OutcomeUnknownError,
  RolledBackError,
  type PgxaError,
  type TransactionManager,
  type TransactionScope,
} from '../src/index.ts';
import { checkMarkers } from './support/atomicity.ts';
import { createBank, type Bank } from './support/bank.ts';
import { expectNothingLeft, refusal, SOON_MS } from './support/refusal.ts';
import { startControlledServer, type TestServer } from './support/servers.ts';
import { waitFor } from './support/wait.ts';

// The bounds below are what counts, and the machine may be busy.
vi.setConfig({ testTimeout: 90_000 });

const mark = async (tx: TransactionScope): Promise<string> => {
  await tx.on('orders').query('insert into marker values ($1)', [tx.id]);
  await tx.on('billing').query('insert into marker values ($1)', [tx.id]);
  return tx.id;
};

/** Log and each participant on a server of its own. */
describe('a server goes away', () => {
  let logServer: TestServer;
  let ordersServer: TestServer;
  let billingServer: TestServer;
  let bank: Bank;
  let tm: TransactionManager | undefined;
  beforeAll(async () => {
    [logServer, ordersServer, billingServer] = (await Promise.all(
      [1, 2, 3].map(() => startControlledServer()),
    )) as [TestServer, TestServer, TestServer];
    bank = await createBank({ servers: [ordersServer, billingServer], logServer });
  });
  afterEach(async () => {
    await tm?.close();
    await expectNothingLeft(bank);
  });
  afterAll(() =>
    Promise.all([logServer, ordersServer, billingServer].map((server) => server.destroy())),
  );

  it('a participant that is down at start: its transactions fail retryably, and work once it is up', async () => {
    await billingServer.stop('fast');
    const since = performance.now();
    tm = await bank.manager();
    expect(performance.now() - since).toBeLessThan(SOON_MS);
    const manager = tm;
    const error = await refusal(() => manager.run(mark));
    expect(error).toBeInstanceOf(RolledBackError);
    expect(error).toMatchObject({
      code: 'PGXA_PARTICIPANT_UNAVAILABLE',
      participant: 'billing',
      retryable: true,
    });
    await manager.run((tx) => tx.on('orders').query('insert into marker values ($1)', [tx.id]));
    await bank.participant('orders').query('truncate marker');
    await billingServer.start();
    const id = await manager.run(mark);
    expect((await checkMarkers(bank, 2)).whole).toContain(id);
    expect(
      await bank.log.query(`select 1 from pgxa.participant where name = 'billing'`),
    ).toHaveLength(1);
  });

  it('the log is down: one writer needs none; a key is refused before any work; two writers are unknown', async () => {
    tm = await bank.manager();
    const manager = tm;
    await logServer.stop('immediate');
    await manager.run((tx) => tx.on('orders').query('select 1 from marker'));
    await manager.run((tx) =>
      tx.on('orders').query('update account set balance = balance where id = 1'),
    );
    let called = false;
    const keyed = await refusal(() =>
      manager.run({ idempotencyKey: 'k' }, () => {
        called = true;
      }),
    );
    expect(keyed).toMatchObject({ code: 'PGXA_LOG_UNAVAILABLE', retryable: true });
    expect(called).toBe(false);
    const unknown = await refusal(() => manager.run(mark));
    await logServer.start();
    await expectAgreement(manager, unknown);
  });

  it.each(['before-vote', 'after-votes', 'before-decide'] as const)(
    'the log goes down at %s: unknown; after its restart outcomeOf, recovery and the data agree',
    async (point) => {
      let fired = 0;
      tm = await bank.manager(
        {},
        {
          faultHook: async (at) => {
            if (at !== point) return;
            fired += 1;
            await logServer.stop('immediate');
          },
        },
      );
      const manager = tm;
      const error = await refusal(() => manager.run(mark));
      expect(fired).toBe(1);
      expect(await bank.inDoubt()).toHaveLength(2);
      await logServer.start();
      await expectAgreement(manager, error);
    },
  );

  it('the log goes down right after the decision: committed, without the log', async () => {
    let fired = 0;
    tm = await bank.manager(
      {},
      {
        faultHook: async (at) => {
          if (at !== 'after-decide') return;
          fired += 1;
          await logServer.stop('immediate');
        },
      },
    );
    const id = await tm.run(mark);
    expect(fired).toBe(1);
    expect(await bank.inDoubt()).toEqual([]);
    expect((await checkMarkers(bank, 2)).whole).toContain(id);
    await logServer.start();
    expect(await tm.outcomeOf(id)).toBe('committed');
  });

  it('the log is down at start: PGXA_LOG_UNREACHABLE; a manager closes in seconds without it', async () => {
    tm = await bank.manager();
    await logServer.stop('fast');
    const error = await refusal(() =>
      createTransactionManager({
        coordinator: 'late',
        decisionLog: { connectionString: bank.log.connectionString },
        participants: { orders: { connectionString: bank.participant('orders').connectionString } },
      }),
    );
    expect(error).toMatchObject({ code: 'PGXA_LOG_UNREACHABLE' });
    const since = performance.now();
    await tm.close();
    expect(performance.now() - since).toBeLessThan(SOON_MS);
    await logServer.start();
  });

  /** The caller was told "unknown"; whatever becomes of it, everybody says the same. */
  async function expectAgreement(manager: TransactionManager, error: PgxaError): Promise<void> {
    expect(error).toBeInstanceOf(OutcomeUnknownError);
    const id = String(error.transactionId);
    const outcome = await waitFor('the outcome', async () => {
      const answer = await manager.outcomeOf(id);
      return answer !== 'undecided' && answer;
    });
    await waitFor('nothing to be in doubt', async () => {
      await manager.recover();
      return (await bank.inDoubt()).length === 0;
    });
    const { whole, torn } = await checkMarkers(bank, 2);
    expect(torn).toEqual([]);
    expect(whole.has(id)).toBe(outcome === 'committed');
    expect(
      await bank.log.query('select outcome from pgxa.decision where transaction_id = $1', [id]),
    ).toEqual([{ outcome: outcome === 'committed' ? 'commit' : 'abort' }]);
  }
});
