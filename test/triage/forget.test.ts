import { v7 as uuidv7 } from 'uuid';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { createBank, type Bank } from '../support/bank.ts';

describe('forget', () => {
  let bank: Bank;
  beforeEach(async () => {
    bank = await createBank();
  });
  afterEach(() => bank.close());

  it('acknowledges what was shown: what is recorded after that stays an alarm', async () => {
    const id = uuidv7();
    const record = (gid: string, kind: string) =>
      bank.log.query(
        `insert into pgxa.heuristic (gid, kind, transaction_id, participant, decision, evidence, found_by)
         values ($1, $2, $3, 'orders', 'commit', 'seen', 'daemon')`,
        [gid, kind, id],
      );
    await record('g1', 'hazard');
    await using triage = bank.operator();
    const { transaction } = await triage.find(id);
    await record('g1', 'rollback');
    await record('g2', 'hazard');
    if (transaction === undefined) throw new Error('it is there');
    expect(await triage.forget(transaction, 'compared')).toMatchObject([
      { gid: 'g1', kind: 'hazard' },
    ]);
    expect(
      await bank.log.query(
        'select gid, kind from pgxa.heuristic where acknowledged_at is null order by gid',
      ),
    ).toEqual([
      { gid: 'g1', kind: 'rollback' },
      { gid: 'g2', kind: 'hazard' },
    ]);
  });
});
