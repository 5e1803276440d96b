import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { OutcomeUnknownError, RolledBackError, type TransactionScope } from '../../src/index.ts';
import type { FaultPoint } from '../../src/coordinator/protocol-context.ts';
import { checkMarkers } from '../support/atomicity.ts';
import { createBank, type Bank } from '../support/bank.ts';
import { FaultProxy } from '../support/proxy.ts';

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
});
