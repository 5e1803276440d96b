/** Forcing an outcome, where something changes between what the operator was shown and what is done. */
import { v7 as uuidv7 } from 'uuid';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { Decision, Triage } from '../../src/index.ts';
import { rollbackAll } from '../support/planted.ts';
import { createTriageBank, type TriageBank } from '../support/triage-bank.ts';

describe('force', () => {
  let bank: TriageBank;
  let triage: Triage;
  beforeEach(async () => {
    bank = await createTriageBank();
    triage = bank.operator();
  });
  afterEach(async () => {
    await triage.close();
    await bank.close();
  });

  /** What an operator is asked to confirm; then `meanwhile`, and then it is forced. */
  async function force(
    id: string,
    decision: Decision,
    meanwhile: () => Promise<void> = () => Promise.resolve(),
    who: Triage = triage,
  ) {
    const found = await who.find(id);
    const assessment = who.assess(found, decision);
    await meanwhile();
    const { transaction } = found;
    if (transaction === undefined) throw new Error('it is there');
    const request = { transaction, decision, assessment, reason: 'x', override: true };
    return { assessment, result: await who.force(request) };
  }

  it('a commit that cannot be proven does not cost a live coordinator its epoch', async () => {
    const { id, epoch } = await bank.plant({ coordinator: 'live' });
    const { assessment, result } = await force(id, 'commit', () =>
      rollbackAll(bank.participant('billing')),
    );
    expect(assessment.objections.join()).toMatch(/retired, and everything it has in flight aborts/);
    expect(result).toMatchObject({ kind: 'lost', why: expect.stringMatching(/billing/) as string });
    expect(
      await bank.log.query('select retired_at from pgxa.coordinator where epoch = $1', [epoch]),
    ).toEqual([{ retired_at: null }]);
  });

  it('an id that is more than a year ahead: a hazard that says so, and force ends its branches', async () => {
    // The clock of the machine was wrong: the log makes no place for such a day, so nobody can decide it.
    const id = uuidv7({ msecs: Date.now() + 400 * 86_400_000 });
    await bank.plant({ coordinator: 'retired', id });
    const report = await triage.recover();
    expect(report.participants['orders']?.left).toMatchObject([{ row: 'K' }]);
    const { transaction } = await triage.find(id);
    expect(transaction).toMatchObject({
      verdict: 'hazard',
      reason: expect.stringMatching(/begins more than a year from now/) as string,
    });
    const { assessment, result } = await force(id, 'abort');
    expect(assessment).toMatchObject({
      way: 'branches',
      objections: [expect.stringMatching(/the log can hold no decision/) as string],
    });
    expect(result).toMatchObject({ branches: [{ result: 'forced' }, { result: 'forced' }] });
    expect(await bank.inDoubt()).toEqual([]);
  });

  it('the log fails between the effect and the record: every branch is told, and what is missing', async () => {
    const { id } = await bank.plant({ coordinator: 'retired', decision: 'commit' });
    const { result } = await force(id, 'abort', async () => {
      await bank.log.query(
        `create function pgxa.full() returns trigger language plpgsql as
           $$ begin raise exception 'disk full' using errcode = '53100'; end $$;
         create trigger full_disk before insert on pgxa.heuristic execute function pgxa.full();
         create trigger full_disk before insert on pgxa.audit for each row
           when (new.action like '%ended') execute function pgxa.full()`,
      );
    });
    expect(result).toMatchObject({
      kind: 'branches',
      branches: [
        {
          participant: 'orders',
          result: 'forced',
          detail: expect.stringMatching(NOT_KEPT) as string,
        },
        {
          participant: 'billing',
          result: 'forced',
          detail: expect.stringMatching(NOT_KEPT) as string,
        },
      ],
      unaudited: 'disk full',
    });
    expect(await bank.markers()).toEqual({ orders: 0, billing: 0 });
  });

  it('the log fails for a moment: the record is made after it', async () => {
    const { id } = await bank.plant({ coordinator: 'retired', decision: 'commit' });
    const { result } = await force(id, 'abort', async () => {
      // Each record is refused twice.
      await bank.log.query(
        `create sequence pgxa.tries;
         create function pgxa.twice() returns trigger language plpgsql as
           $$ begin if nextval('pgxa.tries') < 4 then raise exception 'not now'; end if; return new; end $$;
         create trigger twice before insert on pgxa.heuristic for each row execute function pgxa.twice()`,
      );
    });
    expect(result).toMatchObject({ branches: [{ detail: undefined }, { detail: undefined }] });
    expect(result.unaudited).toBeUndefined();
    expect(await bank.log.query('select kind from pgxa.heuristic')).toEqual([
      { kind: 'rollback' },
      { kind: 'rollback' },
    ]);
  });

  it('where the register is shut, two operators do not work on one transaction at once', async () => {
    // Commit and rollback at the same time would tear it: nothing but they themselves keeps them apart.
    const id = uuidv7({ msecs: Date.now() + 400 * 86_400_000 });
    await bank.plant({ coordinator: 'retired', id });
    const bob = bank.operator({ actor: 'bob' });
    try {
      const ends = await Promise.all([force(id, 'commit'), force(id, 'abort', undefined, bob)]);
      const kinds = ends.map(({ result }) => result.kind).sort();
      expect(kinds).toEqual(['branches', 'lost']);
      const { orders, billing } = await bank.markers();
      expect(orders).toBe(billing);
      expect(await bank.inDoubt()).toEqual([]);
    } finally {
      await bob.close();
    }
  });
});

const NOT_KEPT = /the heuristic outcome could not be recorded in the log: disk full/;
