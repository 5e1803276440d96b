/** Behind a pooler nothing is left in a session, and the evidence is that of the session that ran the branch. */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { formatGid } from '../../src/participant/gid.ts';
import type { QueryResult } from '../../src/postgres/client.ts';
import { createBank, type Bank } from '../support/bank.ts';
import { loneParticipant } from '../support/lone-participant.ts';
import { Pooler } from '../support/pooler.ts';

const MARK = 'insert into marker values ($1)';
const LEFT = `select count(*)::int as count from pg_prepared_statements where name like 'pgxa%'`;

let bank: Bank;
beforeAll(async () => {
  bank = await createBank();
});
afterAll(() => bank.close());
const urlOf = (name: string): string => bank.participant(name).connectionString;

describe.each(['session', 'transaction'] as const)(
  'own pools behind poolers in %s mode',
  (mode) => {
    it('one writer, two writers, readers, in turn: all commit, and no session is set up', async () => {
      await using orders = await Pooler.inFrontOf(urlOf('orders'), mode);
      await using billing = await Pooler.inFrontOf(urlOf('billing'), mode);
      const behind = (pooler: Pooler, name: string): object => ({
        connectionString: pooler.through(urlOf(name)),
        max: 1,
      });
      const tm = await bank.manager({
        participants: { orders: behind(orders, 'orders'), billing: behind(billing, 'billing') },
      });
      for (let round = 0; round < 4; round += 1) {
        await tm.run(async (tx) => {
          for (const name of ['orders', 'billing']) await tx.on(name).query(MARK, [tx.id]);
        });
        await tm.run((tx) => tx.on('orders').query(MARK, [tx.id]));
        const { rows } = await tm.run((tx) => tx.on('orders').query(LEFT));
        expect(rows).toEqual([{ count: 0 }]);
      }
      await tm.close();
      expect(await bank.inDoubt()).toEqual([]);
    });
  },
);

describe('a branch behind a pooler in transaction mode', () => {
  it('that begins with several statements: the evidence names the backend that ran it', async () => {
    await using pooler = await Pooler.inFrontOf(urlOf('orders'), 'transaction');
    const pool = new pg.Pool({ connectionString: pooler.through(urlOf('orders')), max: 1 });
    const participant = loneParticipant(pool, urlOf('orders'));
    for (let round = 1; round <= 4; round += 1) {
      const transactionId = `01890a5d-ac96-774b-bcce-b3020990000${round}`;
      const branch = participant.branch({
        transactionId,
        branch: 1,
        isolationLevel: undefined,
        readOnly: false,
        remainingMs: () => 10_000,
        signal: new AbortController().signal,
      });
      const results = (await branch.execute(
        { text: `insert into parent values (${round}); select pg_backend_pid() as pid` },
        { statements: 2, leavesSessionState: false, notifies: false },
      )) as QueryResult[];
      await branch.inspect();
      const gid = formatGid({
        installation: 'abcdefabcdef',
        epoch: '0123456789abcdef',
        transactionId,
        branch: 1,
      });
      const vote = await branch.prepare(gid);
      if (vote.kind !== 'yes') throw new Error(`the vote is ${vote.kind}`);
      const { evidence } = vote;
      expect(evidence.backend.pid).toBe(results[1]?.rows[0]?.['pid']);
      await participant.finish({ gid, decision: 'abort', evidence });
    }
    await participant.close();
    await pool.end();
  });
});
