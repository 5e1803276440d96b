import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { OutcomeUnknownError, type TransactionScope } from '../../src/index.ts';
import { checkMarkers } from '../support/atomicity.ts';
import { createBank, type Bank } from '../support/bank.ts';
import { FaultProxy } from '../support/proxy.ts';
import { waitFor } from '../support/wait.ts';

/**
 * Two writers; a vote is no, or the deadline passes behind the votes. A coordinator that rolled its branches back
 * without a row would race with an operator who forces commit: whatever it had checked before it fell asleep.
 */
describe('a transaction that its coordinator abandons behind the votes', () => {
  let bank: Bank;
  let log: FaultProxy;
  let id = '';
  let called: string[];

  beforeEach(async () => {
    called = [];
    bank = await createBank();
    log = await FaultProxy.inFrontOf(bank.log.connectionString);
  });
  afterEach(async () => {
    await bank.close();
    await log.close();
  });

  const both = async (tx: TransactionScope): Promise<void> => {
    ({ id } = tx);
    tx.onCommitted(() => void called.push('committed'));
    tx.onRolledBack(() => void called.push('rolled-back'));
    for (const name of ['orders', 'billing']) {
      await tx.on(name).query('insert into marker values ($1)', [tx.id]);
    }
  };
  /** Billing's vote is no: a deferred constraint is violated. */
  const dissent = async (tx: TransactionScope): Promise<void> => {
    await both(tx);
    await tx.on('billing').query('insert into child values (1, 4711)');
  };
  const decisionRow = (): Promise<unknown[]> =>
    bank.log.query('select outcome, decided_by from pgxa.decision where transaction_id = $1', [id]);
  const operatorCommits = (transactionId: string): Promise<unknown> =>
    bank.log.query(
      `insert into pgxa.decision (transaction_id, epoch, outcome, decided_by)
       select $1, epoch, 'commit', 'operator' from pgxa.coordinator`,
      [transactionId],
    );
  const heuristics = (): Promise<unknown[]> =>
    bank.log.query('select participant, kind, decision from pgxa.heuristic');
  /** Longer than the deadline of the transaction that waits. */
  const DEADLINE_MS = 300;
  const untilDeadline = async (): Promise<void> => {
    const since = performance.now();
    await waitFor('the deadline to pass', () => performance.now() - since > DEADLINE_MS + 50);
  };

  it('a vote is no: abort stands in the register before the other branch is rolled back', async () => {
    let seen: unknown;
    const tm = await bank.manager(
      {},
      {
        faultHook: async (at) => {
          if (at !== 'before-rollback-prepared') return;
          seen = [
            await decisionRow(),
            (await bank.inDoubt()).map(({ participant }) => participant),
          ];
        },
      },
    );
    await expect(tm.run(dissent)).rejects.toMatchObject({
      name: 'RolledBackError',
      code: 'PGXA_VOTE_NO',
    });
    expect(seen).toEqual([[{ outcome: 'abort', decided_by: 'coordinator' }], ['orders']]);
    expect(await bank.inDoubt()).toEqual([]);
    expect(called).toEqual(['rolled-back']);
  });

  it('a vote is no and the log is away: unknown; rolled back when it is there again', async () => {
    let away = 0;
    const tm = await bank.manager(
      { decisionLog: { connectionString: log.through(bank.log.connectionString) } },
      {
        faultHook: (at) => {
          if (at !== 'after-votes') return;
          log.goAway();
          away += 1;
        },
      },
    );
    const error: unknown = await tm.run(dissent).catch((thrown: unknown) => thrown);
    expect(away).toBe(1);
    expect(error).toBeInstanceOf(OutcomeUnknownError);
    expect(called).toEqual([]);
    expect(await decisionRow()).toEqual([]);
    expect(await bank.inDoubt()).toMatchObject([{ participant: 'orders' }]);
    log.comeBack();
    await waitFor('it to be settled', async () => (await bank.inDoubt()).length === 0);
    expect(await tm.outcomeOf(id)).toBe('aborted');
    expect(await decisionRow()).toMatchObject([{ outcome: 'abort' }]);
    expect(await checkMarkers(bank, 2)).toEqual({ whole: new Set(), torn: [] });
  });

  it('a vote is no, and an operator has decided commit: heuristic, never "rolled back", and recorded', async () => {
    const tm = await bank.manager(
      {},
      {
        faultHook: async (at, transactionId) => {
          if (at === 'after-votes') await operatorCommits(transactionId);
        },
      },
    );
    await expect(tm.run(dissent)).rejects.toMatchObject({
      name: 'HeuristicOutcomeError',
      kind: 'mixed',
    });
    expect(called).toEqual([]);
    expect(await decisionRow()).toEqual([{ outcome: 'commit', decided_by: 'operator' }]);
    expect(await heuristics()).toEqual([
      { participant: 'billing', kind: 'rollback', decision: 'commit' },
    ]);
    expect(await bank.inDoubt()).toEqual([]);
  });

  it('a serializable reader is lost before its vote, and an operator has decided commit: committed, and no branch is recorded', async () => {
    const three = await createBank({ participants: ['orders', 'billing', 'stock'] });
    let backend: unknown;
    const tm = await three.manager(
      {},
      {
        faultHook: async (at, transactionId) => {
          if (at === 'before-vote') {
            await three.log.query('select pg_terminate_backend($1, 5000)', [backend]);
          }
          if (at !== 'after-votes') return;
          await three.log.query(
            `insert into pgxa.decision (transaction_id, epoch, outcome, decided_by)
             select $1, epoch, 'commit', 'operator' from pgxa.coordinator`,
            [transactionId],
          );
        },
      },
    );
    await tm.run({ isolationLevel: 'serializable' }, async (tx) => {
      const { rows } = await tx.on('stock').query('select pg_backend_pid() as pid from account');
      ({ pid: backend } = rows[0] as { pid: number });
      await both(tx);
    });
    expect(await three.inDoubt()).toEqual([]);
    for (const name of ['orders', 'billing']) {
      expect(await three.participant(name).query('select from marker')).toHaveLength(1);
    }
    expect(await three.log.query('select from pgxa.heuristic')).toEqual([]);
    await three.close();
  });

  it('the deadline passes behind the votes, and an operator has decided commit: committed', async () => {
    const tm = await bank.manager(
      {},
      {
        faultHook: async (at, transactionId) => {
          if (at !== 'after-votes') return;
          await operatorCommits(transactionId);
          await untilDeadline();
        },
      },
    );
    await tm.run({ timeoutMs: DEADLINE_MS, idempotencyKey: 'once' }, both);
    expect(called).toEqual(['committed']);
    expect(await checkMarkers(bank, 2)).toEqual({ whole: new Set([id]), torn: [] });
    expect(await bank.inDoubt()).toEqual([]);
    expect(await heuristics()).toEqual([]);
    // The operator did not know the key; the coordinator has kept it.
    const again = tm.run({ idempotencyKey: 'once' }, both);
    await expect(again).rejects.toMatchObject({ code: 'PGXA_ALREADY_DONE' });
  });

  it('an operator forces commit by what was true before the abort; the coordinator sleeps before its ROLLBACK PREPARED: the force loses', async () => {
    const gate = (): { readonly open: Promise<void>; readonly let: () => void } => {
      let letThrough = (): void => undefined;
      const open = new Promise<void>((resolve) => (letThrough = resolve));
      return { open, let: letThrough };
    };
    const [votes, rollback] = [gate(), gate()];
    let at = '';
    const tm = await bank.manager(
      {},
      {
        faultHook: async (point) => {
          at = point;
          if (point === 'after-votes') await Promise.all([votes.open, untilDeadline()]);
          if (point === 'before-rollback-prepared') await rollback.open;
        },
      },
    );
    const outcome = tm.run({ timeoutMs: DEADLINE_MS }, both).catch((thrown: unknown) => thrown);
    await waitFor('the votes', () => at === 'after-votes');
    const triage = bank.operator();
    const found = await triage.find(id);
    const { transaction } = found;
    if (transaction === undefined) throw new Error('the transaction is not found');
    const assessment = triage.assess(found, 'commit');
    votes.let();
    await waitFor('the tombstone', () => at === 'before-rollback-prepared');

    const forced = await triage.force({
      transaction,
      decision: 'commit',
      assessment,
      reason: 'test',
      override: true,
    });
    rollback.let();
    expect(forced).toMatchObject({ kind: 'lost' });
    expect(await outcome).toMatchObject({ name: 'RolledBackError' });
    await triage.close();
    expect(await decisionRow()).toEqual([{ outcome: 'abort', decided_by: 'coordinator' }]);
    expect(await bank.inDoubt()).toEqual([]);
    expect(await checkMarkers(bank, 2)).toEqual({ whole: new Set(), torn: [] });
    expect(await heuristics()).toEqual([]);
  });
});
