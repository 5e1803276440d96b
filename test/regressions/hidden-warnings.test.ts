import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { subscribe, type TransactionManager, type TransactionScope } from '../../src/index.ts';
import { checkMarkers } from '../support/atomicity.ts';
import { createBank, type Bank, type BankDatabase } from '../support/bank.ts';
import { cancelWaits, loseStandby, regainStandby, statementsThatWait } from '../support/lonely.ts';
import { startControlledServer, type TestServer } from '../support/servers.ts';
import { waitFor } from '../support/wait.ts';

/**
 * The synchronous standby of a server is away, and an operator cancels every commit that waits for it: the
 * server says WARNING, and COMMIT. client_min_messages hides that warning. Expected: what no standby has
 * confirmed is never reported as committed, and is settled once the standby is back.
 */
describe('client_min_messages = error, and commits that no standby confirms', () => {
  let lonely: TestServer;
  let bank: Bank;
  let tm: TransactionManager;
  let called: string[] = [];

  beforeAll(async () => {
    lonely = await startControlledServer();
  });
  afterEach(async () => {
    await regainStandby(lonely);
    await waitFor('nothing in doubt', async () => (await bank.inDoubt()).length === 0);
    await bank.close();
    called = [];
  });
  afterAll(() => lonely.destroy());

  const hideWarnings = (where: BankDatabase): Promise<unknown> =>
    where.query(`alter role postgres in database ${where.database}
                   set client_min_messages = error`);
  const mark = async (tx: TransactionScope, ...names: string[]): Promise<string> => {
    tx.onCommitted(() => void called.push('committed'));
    for (const name of names) await tx.on(name).query('insert into marker values ($1)', [tx.id]);
    return tx.id;
  };
  /**
   * Waits for all of these, and cancels the wait of every commit meanwhile: first when as many wait as are
   * expected, because the answer to one makes the coordinator end the others.
   */
  async function whileCancelling<T>(
    text: RegExp,
    expected: number,
    runs: readonly Promise<T>[],
  ): Promise<{ answers: PromiseSettledResult<T>[]; cancelled: number }> {
    const settled = Promise.allSettled(runs);
    let answers: PromiseSettledResult<T>[] | undefined;
    void settled.then((all) => (answers = all));
    await waitFor(`${expected} sessions to wait in ${String(text)}`, async () => {
      const waiting = await statementsThatWait(lonely);
      return waiting.filter((query) => text.test(query)).length >= expected;
    });
    let cancelled = 0;
    await waitFor(
      'the answers',
      async () => {
        cancelled += (await cancelWaits(lonely)).filter((query) => text.test(query)).length;
        return answers;
      },
      { timeoutMs: 20_000 },
    );
    return { answers: await settled, cancelled };
  }
  const hasOutcome = (id: string, outcome: string): Promise<unknown> =>
    waitFor(
      `${id} to be ${outcome}`,
      async () => (await tm.outcomeOf(id).catch(() => 'not told')) === outcome,
    );

  it('on the role of the log: a decision that was not confirmed is unknown; committed once the standby is back', async () => {
    bank = await createBank({ logServer: lonely });
    await hideWarnings(bank.log);
    tm = await bank.manager();
    await tm.run((tx) => mark(tx, 'orders', 'billing'));
    called = [];
    let id = '';
    await loseStandby(lonely);
    const { answers, cancelled } = await whileCancelling(/insert into pgxa.decision/, 1, [
      tm.run(async (tx) => {
        id = await mark(tx, 'orders', 'billing');
      }),
    ]);
    expect(cancelled).toBeGreaterThan(0);
    expect(answers).toMatchObject([{ reason: { name: 'OutcomeUnknownError' } }]);
    expect(called).toEqual([]);
    expect(await bank.inDoubt()).toHaveLength(2);
    await regainStandby(lonely);
    await hasOutcome(id, 'committed');
    await waitFor('phase two', async () => (await checkMarkers(bank, 2)).whole.has(id));
  });

  it('on the role of a participant, and set by the application: an only COMMIT that was not confirmed is unknown', async () => {
    bank = await createBank({ servers: [lonely] });
    await hideWarnings(bank.participant('orders'));
    tm = await bank.manager();
    await tm.run((tx) => mark(tx, 'orders'));
    await tm.run((tx) => mark(tx, 'billing'));
    called = [];
    await loseStandby(lonely);
    const ids: string[] = [];
    const { answers, cancelled } = await whileCancelling(/(^|; )commit(;|$)/i, 2, [
      tm.run(async (tx) => {
        ids.push(await mark(tx, 'orders'));
      }),
      tm.run(async (tx) => {
        ids.push(await mark(tx, 'billing'));
        await tx.on('billing').query('set local client_min_messages = error');
      }),
    ]);
    expect(cancelled).toBe(2);
    expect(answers).toMatchObject([
      { reason: { name: 'OutcomeUnknownError' } },
      { reason: { name: 'OutcomeUnknownError' } },
    ]);
    expect(called).toEqual([]);
    await regainStandby(lonely);
    for (const id of ids) await hasOutcome(id, 'committed');
  });

  it('on the role of a participant, and set by the application: a PREPARE that was not confirmed is no yes', async () => {
    bank = await createBank({ servers: [lonely] });
    await hideWarnings(bank.participant('orders'));
    tm = await bank.manager();
    await tm.run((tx) => mark(tx, 'orders', 'billing'));
    called = [];
    await loseStandby(lonely);
    let id = '';
    const { answers, cancelled } = await whileCancelling(/prepare transaction/, 2, [
      tm.run(async (tx) => {
        id = await mark(tx, 'orders', 'billing');
        await tx.on('billing').query('set local client_min_messages = error');
      }),
    ]);
    expect(cancelled).toBe(2);
    expect(answers).toMatchObject([
      { reason: { name: 'RolledBackError', code: 'PGXA_VOTE_UNKNOWN' } },
    ]);
    await regainStandby(lonely);
    await waitFor('nothing in doubt', async () => (await bank.inDoubt()).length === 0);
    expect((await checkMarkers(bank, 2)).whole.has(id)).toBe(false);
    expect((await checkMarkers(bank, 2)).torn).toEqual([]);
    expect(called).toEqual([]);
  });

  it('on the role of a participant: a COMMIT PREPARED that was not confirmed is pending, not finished', async () => {
    bank = await createBank({ servers: [lonely] });
    await hideWarnings(bank.participant('orders'));
    let armed = false;
    tm = await bank.manager(
      {},
      {
        faultHook: async (at) => {
          if (at === 'after-decide' && armed) await loseStandby(lonely);
        },
      },
    );
    await tm.run((tx) => mark(tx, 'orders', 'billing'));
    armed = true;
    const finished: string[] = [];
    const unsubscribe = subscribe('branch:finished', ({ participant }) =>
      finished.push(participant),
    );
    const tx = await tm.begin();
    await mark(tx, 'orders', 'billing');
    const { answers, cancelled } = await whileCancelling(/^commit prepared/, 2, [tx.commit()]);
    expect(cancelled).toBeGreaterThanOrEqual(2);
    expect(answers).toMatchObject([{ value: { pending: ['orders', 'billing'] } }]);
    expect(finished).toEqual([]);
    await regainStandby(lonely);
    await waitFor('both to be finished', () => finished.length === 2);
    unsubscribe();
    expect((await checkMarkers(bank, 2)).whole.has(tx.id)).toBe(true);
  });
});
