import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { TransactionManager, TransactionScope } from '../../src/index.ts';
import { checkMarkers } from '../support/atomicity.ts';
import { createBank, type Bank } from '../support/bank.ts';
import { FaultProxy } from '../support/proxy.ts';
import { waitFor } from '../support/wait.ts';

/**
 * Two participants; billing, or the log, is reached through a proxy that loses one message. Expected in
 * every case: the answer of run() is what the participants show, and nothing is left in doubt.
 */
describe('a message is lost', () => {
  let bank: Bank;
  let billing: FaultProxy;
  let log: FaultProxy;
  let tm: TransactionManager;
  let id = '';

  beforeEach(async () => {
    bank = await createBank();
    const orders = bank.participant('orders');
    const target = bank.participant('billing');
    billing = await FaultProxy.inFrontOf(target.connectionString);
    log = await FaultProxy.inFrontOf(bank.log.connectionString);
    tm = await bank.manager({
      decisionLog: { connectionString: log.through(bank.log.connectionString) },
      participants: {
        orders: { connectionString: orders.connectionString },
        billing: { connectionString: billing.through(target.connectionString) },
      },
    });
  });
  afterEach(async () => {
    await bank.close();
    await billing.close();
    await log.close();
  });

  const mark = async (tx: TransactionScope, ...names: string[]): Promise<void> => {
    ({ id } = tx);
    for (const name of names) await tx.on(name).query('insert into marker values ($1)', [tx.id]);
  };
  const both = (tx: TransactionScope): Promise<void> => mark(tx, 'orders', 'billing');

  async function expectMarkers(outcome: 'all' | 'none'): Promise<void> {
    const { whole, torn } = await checkMarkers(bank, 2);
    expect(torn).toEqual([]);
    expect([...whole]).toEqual(outcome === 'all' ? [id] : []);
    expect(await bank.inDoubt()).toEqual([]);
    expect(await bank.log.query('select * from pgxa.heuristic')).toEqual([]);
  }

  /** Whoever writes a marker on billing waits for an advisory lock when its deferred triggers fire, until `free`. */
  async function holdDeferredTriggers(): Promise<{
    readonly waits: () => Promise<unknown>;
    readonly free: () => Promise<void>;
  }> {
    const target = bank.participant('billing');
    await target.query(`
      create function wait() returns trigger language plpgsql as
        $$ begin perform pg_advisory_xact_lock(4711); return null; end $$`);
    await target.query(`
      create constraint trigger wait after insert on marker deferrable initially deferred
        for each row execute function wait()`);
    const lock = (granted: boolean): Promise<unknown> =>
      waitFor(granted ? 'the lock' : 'somebody to wait for the lock', async () => {
        const rows = await target.query(
          `select 1 from pg_locks where locktype = 'advisory' and granted = $1 and objid = 4711`,
          [granted],
        );
        return rows.length > 0;
      });
    const holder = await bank.manager({ coordinator: 'holder' });
    let end = (): void => undefined;
    const held = holder.run(async (tx) => {
      await tx.on('billing').query('select pg_advisory_xact_lock(4711)');
      await new Promise<void>((resolve) => {
        end = resolve;
      });
    });
    await lock(true);
    return {
      waits: () => lock(false),
      free: async () => {
        end();
        await held;
      },
    };
  }

  it('the reply to PREPARE: unknown is not yes; rolled back, and the prepared branch too', async () => {
    const rule = billing.arm(/prepare transaction/, 'lose-reply');
    await expect(tm.run(both)).rejects.toMatchObject({
      code: 'PGXA_VOTE_UNKNOWN',
      retryable: true,
    });
    expect(rule.fired).toBe(1);
    await expectMarkers('none');
    expect(await tm.outcomeOf(id)).toBe('aborted');
  });

  it('PREPARE itself: rolled back', async () => {
    const rule = billing.arm(/prepare transaction/, 'lose-request');
    await expect(tm.run(both)).rejects.toMatchObject({
      code: 'PGXA_VOTE_UNKNOWN',
      retryable: true,
    });
    expect(rule.fired).toBe(1);
    await expectMarkers('none');
  });

  it('PREPARE is answered by silence: rolled back at the deadline', async () => {
    const rule = billing.arm(/prepare transaction/, 'silence');
    await expect(tm.run({ timeoutMs: 1_000 }, both)).rejects.toMatchObject({
      code: 'PGXA_TIMEOUT',
    });
    expect(rule.fired).toBe(1);
    await expectMarkers('none');
  });

  it('the reply to the decision: the register says what stands, and run() agrees with it', async () => {
    const rule = log.arm(/pgxa_decide/, 'lose-reply');
    const answer = await tm.run(both).then(
      () => 'all' as const,
      (error: unknown) => {
        expect(error).toMatchObject({ code: 'PGXA_DECIDED_ABORT', retryable: true });
        return 'none' as const;
      },
    );
    expect(rule.fired).toBe(1);
    await expectMarkers(answer);
    expect(await tm.outcomeOf(id)).toBe(answer === 'all' ? 'committed' : 'aborted');
  });

  it('the decision itself: abort wins in the register', async () => {
    const rule = log.arm(/pgxa_decide/, 'lose-request');
    await expect(tm.run(both)).rejects.toMatchObject({
      code: 'PGXA_DECIDED_ABORT',
      retryable: true,
    });
    expect(rule.fired).toBe(1);
    await expectMarkers('none');
    expect(await tm.outcomeOf(id)).toBe('aborted');
  });

  it('the log goes away with the decision: unknown; when it is back, one answer that stands', async () => {
    const rule = log.arm(/pgxa_decide/, 'vanish');
    await expect(tm.run(both)).rejects.toMatchObject({
      name: 'OutcomeUnknownError',
      code: 'PGXA_OUTCOME_UNKNOWN',
      transactionId: expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
    });
    expect(rule.fired).toBe(1);
    log.comeBack();
    const outcome = await waitFor('an outcome', async () => {
      const answer = await tm.outcomeOf(id).catch(() => 'undecided');
      return answer === 'undecided' ? undefined : answer;
    });
    await waitFor('nothing in doubt', async () => (await bank.inDoubt()).length === 0);
    await expectMarkers(outcome === 'committed' ? 'all' : 'none');
    expect(await tm.outcomeOf(id)).toBe(outcome);
  });

  it('the reply to COMMIT PREPARED: committed, proven by the xid of the branch', async () => {
    const rule = billing.arm(/commit prepared/, 'lose-reply');
    await tm.run(both);
    expect(rule.fired).toBe(1);
    await expectMarkers('all');
  });

  it('COMMIT PREPARED itself: sent again', async () => {
    const rule = billing.arm(/commit prepared/, 'lose-request');
    await tm.run(both);
    expect(rule.fired).toBe(1);
    await expectMarkers('all');
  });

  it('the reply to the only COMMIT: committed, proven by its xid', async () => {
    const rule = billing.arm(/commit/, 'lose-reply');
    await tm.run((tx) => mark(tx, 'billing'));
    expect(rule.fired).toBe(1);
    expect(await bank.participant('billing').query('select 1 from marker')).toHaveLength(1);
    expect(await tm.outcomeOf(id)).toBe('committed');
  });

  it('the only COMMIT itself: rolled back, and running again can help', async () => {
    const rule = billing.arm(/commit/, 'lose-request');
    await expect(tm.run((tx) => mark(tx, 'billing'))).rejects.toMatchObject({
      code: 'PGXA_CONNECTION_LOST',
      retryable: true,
    });
    expect(rule.fired).toBe(1);
    expect(await bank.participant('billing').query('select 1 from marker')).toHaveLength(0);
  });

  it('the only COMMIT, and the server keeps the session: it is ended, and then surely rolled back', async () => {
    const rule = billing.arm(/commit/, 'half-open');
    const running = tm.run((tx) => mark(tx, 'billing'));
    await expect(running).rejects.toMatchObject({ name: 'RolledBackError' });
    expect(rule.fired).toBe(1);
    expect(await bank.participant('billing').query('select 1 from marker')).toHaveLength(0);
    expect(await tm.outcomeOf(id)).toBe('aborted');
  });

  it('the participant goes away with the only COMMIT: unknown; when it is back, outcomeOf tells', async () => {
    const rule = billing.arm(/commit/, 'vanish');
    await expect(tm.run((tx) => mark(tx, 'billing'))).rejects.toMatchObject({
      code: 'PGXA_OUTCOME_UNKNOWN',
      transactionId: expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
    });
    expect(rule.fired).toBe(1);
    expect(await tm.outcomeOf(id)).toBe('undecided');
    billing.comeBack();
    expect(
      await waitFor('an outcome', async () => {
        const answer = await tm.outcomeOf(id);
        return answer === 'undecided' ? undefined : answer;
      }),
    ).toBe('committed');
  });

  it('a statement: rolled back, and retry runs the function again', async () => {
    const rule = billing.arm(/lost/, 'lose-reply');
    let runs = 0;
    await tm.run({ retry: { attempts: 3 } }, async (tx) => {
      runs += 1;
      await both(tx);
      await tx.on('billing').query(`update marker set note = 'lost'`);
    });
    expect(rule.fired).toBe(1);
    expect(runs).toBe(2);
    await expectMarkers('all');
  });

  it('a PREPARE that takes effect after its client is gone: its backend is ended first', async () => {
    // Billing's deferred trigger waits for an advisory lock inside of the vote; the deadline passes; then
    // the lock becomes free. Expected: rolled back, and no branch appears late.
    const { waits, free } = await holdDeferredTriggers();
    const failure = tm.run({ timeoutMs: 1_500 }, both);
    failure.catch(() => undefined);
    await waits();
    await expect(failure).rejects.toMatchObject({
      code: expect.stringMatching(/TIMEOUT|VOTE_NO/) as string,
    });
    await free();
    await waitFor('no session of ours at work', async () => {
      const rows = await bank.participant('billing').query(
        `select 1 from pg_stat_activity where datname = current_database() and state = 'active'
            and pid <> pg_backend_pid()`,
      );
      return rows.length === 0;
    });
    await expectMarkers('none');
  });
});
