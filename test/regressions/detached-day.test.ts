import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { createBank, type Bank } from '../support/bank.ts';

/** The table of today is detached by hand. Expected: an error that names it and the mend, and the mend works. */
describe('a day that was detached by hand', () => {
  let bank: Bank;
  beforeEach(async () => {
    bank = await createBank();
  });
  afterEach(() => bank.close());

  it('is named in the error, with the command that attaches it again', async () => {
    const id = uuidv7();
    const owner = new pg.Client({ connectionString: bank.log.connectionString });
    await owner.connect();
    try {
      const { rows } = await owner.query<{ name: string }>(
        `select 'pgxa.decision_' || to_char(pgxa.moment_of($1) at time zone 'UTC', 'YYYYMMDD') as name`,
        [id],
      );
      const name = rows[0]?.name ?? '';
      await owner.query(`alter table pgxa.decision detach partition ${name}`);
      const refused: unknown = await owner
        .query('select pgxa.make_partition(pgxa.moment_of($1))', [id])
        .catch((error: unknown) => error);
      expect(refused).toMatchObject({
        code: 'PX002',
        message: expect.stringContaining(`table ${name} exists and is no partition`) as string,
      });
      const { hint } = refused as { hint: string };
      const mend = /(alter table .*?\))\. Days/.exec(hint)?.[1] ?? '';
      await owner.query(mend);
    } finally {
      await owner.end();
    }
    const tm = await bank.manager();
    await tm.run(async (tx) => {
      for (const { name } of bank.participants) {
        await tx.on(name).query('insert into marker values ($1)', [tx.id]);
      }
    });
    expect(await bank.log.query('select outcome from pgxa.decision')).toEqual([
      { outcome: 'commit' },
    ]);
  });
});
