/** Forcing an outcome, where something changes between what the operator was shown and what is done. */
import { v7 as uuidv7 } from 'uuid';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { openTriage, type Decision, type Triage } from '../../src/index.ts';
import { rollbackAll } from '../support/planted.ts';
import { createTriageBank, type TriageBank } from '../support/triage-bank.ts';

describe('force', () => {
  let bank: TriageBank;
  let triage: Triage;
  beforeEach(async () => {
    bank = await createTriageBank();
    triage = operator('alice');
  });
  afterEach(async () => {
    await triage.close();
    await bank.close();
  });

  const operator = (actor: string): Triage =>
    openTriage({
      name: 'cli',
      actor,
      purpose: 'operator',
      decisionLog: { connectionString: bank.log.connectionString },
      participants: Object.fromEntries(
        bank.participants.map(({ name, connectionString }) => [name, { connectionString }]),
      ),
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
});
