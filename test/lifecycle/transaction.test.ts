import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import {
  MisuseError,
  RolledBackError,
  subscribe,
  type TransactionManager,
  type TransactionScope,
} from '../../src/index.ts';
import { createBank, type Bank } from '../support/bank.ts';
import { waitFor } from '../support/wait.ts';

/** Two participants, no faults unless a test says so: the public surface beside run(). */
describe('transactions that the program ends itself', () => {
  let bank: Bank;
  let tm: TransactionManager;
  beforeAll(async () => {
    bank = await createBank();
    tm = await bank.manager();
  });
  afterAll(() => bank.close());

  const insert = async (tx: TransactionScope): Promise<void> => {
    for (const name of ['orders', 'billing']) {
      await tx.on(name).query('insert into marker values ($1)', [tx.id]);
    }
  };
  const markers = async (id: string): Promise<number> => {
    const lists = await Promise.all(
      bank.participants.map((one) =>
        one.query('select 1 from marker where transaction_id = $1', [id]),
      ),
    );
    return lists.flat().length;
  };

  it('begin and commit: committed on both; a second commit is misuse', async () => {
    const tx = await tm.begin({ label: 'by hand' });
    await insert(tx);
    expect(await tx.commit()).toEqual({ transactionId: tx.id, pending: [] });
    expect(await markers(tx.id)).toBe(2);
    await expect(tx.commit()).rejects.toBeInstanceOf(MisuseError);
    await expect(tx.rollback()).rejects.toBeInstanceOf(MisuseError);
    await expect(tx.on('orders').query('select 1')).rejects.toMatchObject({
      code: 'PGXA_TRANSACTION_ENDED',
    });
  });

  it('begin and rollback: nothing is left', async () => {
    const tx = await tm.begin();
    await insert(tx);
    await tx.rollback();
    expect(await markers(tx.id)).toBe(0);
    expect(await tm.outcomeOf(tx.id)).toBe('aborted');
  });

  it('await using: an open transaction is rolled back at the end of its scope', async () => {
    const id = await (async () => {
      await using tx = await tm.begin();
      await insert(tx);
      return tx.id;
    })();
    expect(await markers(id)).toBe(0);
    expect(await tm.outcomeOf(id)).toBe('aborted');
  });

  it('hooks: onCommitted once the commit is durable, onRolledBack once rolled back, a throwing one is only published', async () => {
    const calls: string[] = [];
    const failures: unknown[] = [];
    const unsubscribe = subscribe('hook:failed', ({ error }) => failures.push(error.message));
    await tm.run(async (tx) => {
      tx.onCommitted(async () => {
        calls.push(`committed ${await markers(tx.id)}`);
      });
      tx.onCommitted(() => {
        throw new Error('from a hook');
      });
      tx.onRolledBack(() => {
        calls.push('rolled back');
      });
      await insert(tx);
    });
    await tm
      .run((tx) => {
        tx.onRolledBack(() => {
          calls.push('rolled back');
        });
        throw new Error('no');
      })
      .catch(() => undefined);
    unsubscribe();
    expect(calls).toEqual(['committed 2', 'rolled back']);
    expect(failures).toEqual(['from a hook']);
  });

  it('events tell a two-phase transaction in the order of the protocol', async () => {
    const told: string[] = [];
    const stops = (
      [
        'transaction:begun',
        'branch:voted',
        'transaction:decided',
        'branch:finished',
        'transaction:ended',
      ] as const
    ).map((name) =>
      subscribe(name, () => {
        told.push(name);
      }),
    );
    await tm.run(insert);
    for (const stop of stops) stop();
    expect(told).toEqual([
      'transaction:begun',
      'branch:voted',
      'branch:voted',
      'transaction:decided',
      'branch:finished',
      'branch:finished',
      'transaction:ended',
    ]);
  });

  it('isolation level and read-only hold on every branch', async () => {
    const seen = await tm.run({ isolationLevel: 'serializable', readOnly: true }, (tx) =>
      Promise.all(
        ['orders', 'billing'].map(async (name) => {
          const { rows } = await tx.on(name)
            .query(`select current_setting('transaction_isolation') as isolation,
                           current_setting('transaction_read_only') as read_only`);
          return rows[0];
        }),
      ),
    );
    expect(seen).toEqual([
      { isolation: 'serializable', read_only: 'on' },
      { isolation: 'serializable', read_only: 'on' },
    ]);
    await expect(tm.run({ readOnly: true }, insert)).rejects.toMatchObject({
      cause: { code: '25006' },
    });
  });

  it('deadline: rejects in time although the function hangs; its branches are ended', async () => {
    const started = performance.now();
    let id = '';
    await expect(
      tm.run({ timeoutMs: 300 }, async (tx) => {
        ({ id } = tx);
        await insert(tx);
        await new Promise(() => undefined);
      }),
    ).rejects.toMatchObject({
      code: 'PGXA_TIMEOUT',
      retryable: false,
      transactionId: expect.any(String) as string,
    });
    expect(performance.now() - started).toBeLessThan(5_000);
    expect(await markers(id)).toBe(0);
  });

  it('deadline in the middle of a statement: the statement is ended on the server too', async () => {
    await expect(
      tm.run({ timeoutMs: 300 }, (tx) => tx.on('orders').query(`select pg_sleep(60), 'deadline'`)),
    ).rejects.toBeInstanceOf(RolledBackError);
    await waitFor('the statement to end', async () => {
      const rows = await bank
        .participant('orders')
        .query(
          `select 1 from pg_stat_activity where query like '%60), ''deadline''%' and pid <> pg_backend_pid() and state = 'active'`,
        );
      return rows.length === 0;
    });
  });

  it('signal: aborts until the decision, and is not heard after it', async () => {
    const controller = new AbortController();
    const reason = new Error('user went away');
    const failure = tm.run({ signal: controller.signal }, async (tx) => {
      await insert(tx);
      controller.abort(reason);
      await new Promise(() => undefined);
    });
    await expect(failure).rejects.toMatchObject({ code: 'PGXA_CANCELLED', cause: reason });

    const late = new AbortController();
    const stop = subscribe('transaction:decided', () => {
      late.abort(new Error('too late'));
    });
    const id = await tm.run({ signal: late.signal }, async (tx) => {
      await insert(tx);
      return tx.id;
    });
    stop();
    expect(late.signal.aborted).toBe(true);
    expect(await markers(id)).toBe(2);
  });

  it('serialization failure: retryable, and retry runs the function again', async () => {
    // Both transactions read and write the same account under repeatable read; one must lose once.
    let runs = 0;
    const both = await Promise.all(
      [1, 2].map(() =>
        tm.run({ isolationLevel: 'repeatable read', retry: { attempts: 20 } }, async (tx) => {
          runs += 1;
          const orders = tx.on('orders');
          await orders.query('select balance from account where id = 7');
          await tx.on('billing').query('update account set balance = balance + 1 where id = 8');
          await orders.query('update account set balance = balance + 1 where id = 7');
          return 'done';
        }),
      ),
    );
    expect(both).toEqual(['done', 'done']);
    const [row] = await bank
      .participant('orders')
      .query('select balance::int from account where id = 7');
    expect(row).toEqual({ balance: 1002 });
    expect(runs).toBeGreaterThanOrEqual(2);
  });

  it('idempotency key: the second run is told which transaction did it, and its function does not run', async () => {
    const first = await tm.run({ idempotencyKey: 'order-456' }, async (tx) => {
      await insert(tx);
      return tx.id;
    });
    let ran = false;
    await expect(
      tm.run({ idempotencyKey: 'order-456' }, () => {
        ran = true;
      }),
    ).rejects.toMatchObject({
      code: 'PGXA_ALREADY_DONE',
      existingTransactionId: first,
      retryable: false,
    });
    expect(ran).toBe(false);
  });

  it('idempotency key, twenty at once with one writer each: exactly one commits', async () => {
    const results = await Promise.allSettled(
      Array.from({ length: 20 }, () =>
        tm.run({ idempotencyKey: 'only-once' }, async (tx) => {
          await tx.on('orders').query('insert into marker values ($1, $2)', [tx.id, 'only-once']);
          return tx.id;
        }),
      ),
    );
    const done = results.filter(({ status }) => status === 'fulfilled');
    expect(done).toHaveLength(1);
    for (const result of results) {
      if (result.status === 'rejected')
        expect(result.reason).toMatchObject({ code: 'PGXA_ALREADY_DONE' });
    }
    expect(
      await bank.participant('orders').query(`select 1 from marker where note = 'only-once'`),
    ).toHaveLength(1);
    expect(await bank.inDoubt()).toEqual([]);
  });

  it('more transactions than connections: they wait their turn and none is lost to a pool deadlock', async () => {
    const small = await bank.manager({
      participants: Object.fromEntries(
        bank.participants.map(({ name, connectionString }) => [name, { connectionString, max: 2 }]),
      ),
    });
    const done = await Promise.all(
      Array.from({ length: 40 }, (_, index) =>
        small.run(async (tx) => {
          const order = index % 2 === 0 ? ['orders', 'billing'] : ['billing', 'orders'];
          for (const name of order) {
            await tx.on(name).query('insert into marker values ($1)', [tx.id]);
          }
          return tx.id;
        }),
      ),
    );
    expect(new Set(done).size).toBe(40);
  });

  it('close: drains what runs, refuses what comes, leaves no session, and can be called twice', async () => {
    const closing = await bank.manager({ coordinator: 'closing' });
    let go = (): void => undefined;
    const mayGo = new Promise<void>((resolve) => {
      go = resolve;
    });
    let started = false;
    const running = closing.run(async (tx) => {
      await insert(tx);
      started = true;
      await mayGo;
      return tx.id;
    });
    await waitFor('the function to wait', () => started);
    const closed = closing.close();
    await expect(closing.run(() => 1)).rejects.toMatchObject({ code: 'PGXA_CLOSED' });
    go();
    expect(await markers(await running)).toBe(2);
    await closed;
    await closing.close();
    const [row] = await bank.log.query(
      `select retired_by from pgxa.coordinator where name = 'closing'`,
    );
    expect(row).toEqual({ retired_by: 'coordinator' });
    const sessions = await waitFor('sessions to end', async () => {
      const rows = await bank.log.query(
        `select 1 from pg_stat_activity where application_name = 'pgxa closing'`,
      );
      return rows.length === 0 ? true : undefined;
    });
    expect(sessions).toBe(true);
  });

  it('close with a time limit: a transaction that does not end is rolled back', async () => {
    const closing = await bank.manager({ coordinator: 'impatient' });
    const running = closing.run(async (tx) => {
      await insert(tx);
      await new Promise(() => undefined);
    });
    const rejected = expect(running).rejects.toMatchObject({ code: 'PGXA_CANCELLED' });
    await closing.close({ timeoutMs: 100 });
    await rejected;
  });
});
