import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import {
  OutcomeUnknownError,
  RolledBackError,
  subscribe,
  type TransactionScope,
} from '../../src/index.ts';
import type { FaultPoint } from '../../src/coordinator/protocol-context.ts';
import { checkMarkers } from '../support/atomicity.ts';
import { createBank, type Bank } from '../support/bank.ts';
import { FaultProxy } from '../support/proxy.ts';
import { waitFor } from '../support/wait.ts';

describe('what may be said of a transaction whose commit was broken off', () => {
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

  const mark = async (tx: TransactionScope, ...names: string[]): Promise<void> => {
    ({ id } = tx);
    tx.onCommitted(() => void called.push('committed'));
    tx.onRolledBack(() => void called.push('rolled-back'));
    for (const name of names) await tx.on(name).query('insert into marker values ($1)', [tx.id]);
  };
  const both = (tx: TransactionScope): Promise<void> => mark(tx, 'orders', 'billing');
  /** Billing's vote is no: a deferred constraint is violated. */
  const dissent = async (tx: TransactionScope): Promise<void> => {
    await both(tx);
    await tx.on('billing').query('insert into child values (1, 4711)');
  };
  const decisionRow = (): Promise<unknown[]> =>
    bank.log.query('select outcome from pgxa.decision where transaction_id = $1', [id]);

  it.each<FaultPoint>([
    'after-decide',
    'before-finish-branch',
    'after-finish-branch',
    'after-finish',
  ])('a bug at %s: never "rolled back"; the decision is carried out', async (point) => {
    let fired = 0;
    const tm = await bank.manager(
      {},
      {
        faultHook: (at) => {
          if (at !== point) return;
          fired += 1;
          throw new Error('a bug behind the decision');
        },
      },
    );
    const error: unknown = await tm.run(both).catch((thrown: unknown) => thrown);
    expect(fired).toBeGreaterThan(0);
    expect(error).not.toBeInstanceOf(RolledBackError);
    expect(error).toBeInstanceOf(OutcomeUnknownError);
    expect(called).toEqual([]);
    expect(await decisionRow()).toEqual([{ outcome: 'commit' }]);
    expect(await tm.outcomeOf(id)).toBe('committed');
    await tm.close();
    const other = await bank.manager();
    await other.recover();
    expect([...(await checkMarkers(bank, 2)).whole]).toEqual([id]);
    expect(await bank.inDoubt()).toEqual([]);
  });

  it('a bug right behind the only COMMIT: never "rolled back"', async () => {
    let fired = 0;
    const tm = await bank.manager(
      {},
      {
        faultHook: (at) => {
          if (at !== 'after-one-phase-commit') return;
          fired += 1;
          throw new Error('a bug behind the commit');
        },
      },
    );
    const error: unknown = await tm
      .run((tx) => mark(tx, 'billing'))
      .catch((thrown: unknown) => thrown);
    expect(fired).toBe(1);
    expect(error).toBeInstanceOf(OutcomeUnknownError);
    expect(called).toEqual([]);
    expect(await bank.participant('billing').query('select 1 from marker')).toHaveLength(1);
  });

  it('a vote is no, the epoch may be retired and the log is away: unknown; settled when it is back', async () => {
    // Meanwhile recovery, or an operator, may decide: this coordinator cannot presume abort.
    let failures = 0;
    let away = 0;
    const unsubscribe = subscribe('coordinator:heartbeat-failed', () => (failures += 1));
    const tm = await bank.manager(
      {
        heartbeatLimitMs: 1_000,
        decisionLog: { connectionString: log.through(bank.log.connectionString) },
      },
      {
        faultHook: async (at) => {
          if (at !== 'after-votes') return;
          log.goAway();
          away = performance.now();
          await waitFor(
            'the epoch to be silent beyond its limit',
            () => failures > 0 && performance.now() - away > 1_100,
          );
        },
      },
    );
    const error: unknown = await tm.run(dissent).catch((thrown: unknown) => thrown);
    unsubscribe();
    expect(away).toBeGreaterThan(0);
    expect(error).toBeInstanceOf(OutcomeUnknownError);
    expect(called).toEqual([]);
    expect(await decisionRow()).toEqual([]);
    expect(await bank.inDoubt()).toMatchObject([{ participant: 'orders' }]);
    log.comeBack();
    await waitFor('it to be settled', async () => (await bank.inDoubt()).length === 0);
    expect(await tm.outcomeOf(id)).toBe('aborted');
    expect(await decisionRow()).toEqual([{ outcome: 'abort' }]);
    expect(await checkMarkers(bank, 2)).toEqual({ whole: new Set(), torn: [] });
  });

  it.each([
    ['nobody has decided: RolledBackError, and the abort is in the register', undefined],
    ['an operator has decided commit: HeuristicOutcomeError, never "rolled back"', 'commit'],
  ] as const)(
    'a vote is no, the session of the epoch may count as gone; %s',
    async (_, decided) => {
      let silentSince = 0;
      let fired = 0;
      const tm = await bank.manager(
        {
          decisionLog: { connectionString: log.through(bank.log.connectionString) },
        },
        {
          faultHook: async (at, transactionId) => {
            if (at !== 'after-votes') return;
            const rule = log.arm(/set heartbeat_at/, 'lose-request', Number.POSITIVE_INFINITY);
            silentSince = performance.now();
            await waitFor(
              'its session to count as gone',
              () => rule.fired > 0 && performance.now() - silentSince > 2_100,
            );
            ({ fired } = rule);
            if (decided === undefined) return;
            await bank.log.query(
              `insert into pgxa.decision (transaction_id, epoch, outcome, decided_by)
             select $1, epoch, $2, 'operator' from pgxa.coordinator`,
              [transactionId, decided],
            );
          },
        },
      );
      await expect(tm.run(dissent)).rejects.toMatchObject(
        decided === undefined
          ? { name: 'RolledBackError', code: 'PGXA_VOTE_NO' }
          : { name: 'HeuristicOutcomeError' },
      );
      expect(fired).toBeGreaterThan(0);
      expect(called).toEqual(decided === undefined ? ['rolled-back'] : []);
      expect(await decisionRow()).toEqual([{ outcome: decided ?? 'abort' }]);
      expect(await bank.inDoubt()).toEqual([]);
    },
  );
});
