/** Rows that tell which work of a transaction was committed, and which was not. */
import { expect } from 'vitest';

import type { TransactionManager, TransactionScope } from '../../src/index.ts';
import type { Bank } from '../support/bank.ts';

/** The notes of the rows that transaction `id` left at `orders`, and how many at `billing`. */
export async function left(bank: Bank, id: string): Promise<{ orders: string[]; billing: number }> {
  const of = (name: string): Promise<Record<string, unknown>[]> =>
    bank
      .participant(name)
      .query('select note from marker where note like $1 order by note', [`${id} %`]);
  const [orders, billing] = await Promise.all([of('orders'), of('billing')]);
  return {
    orders: orders.map((row) => String(row['note']).slice(id.length + 1)),
    billing: billing.length,
  };
}

/** Leaves a row with this note. */
export async function note(tx: TransactionScope, participant: string, text: string): Promise<void> {
  await tx
    .on(participant)
    .query('insert into marker values (gen_random_uuid(), $1)', [`${tx.id} ${text}`]);
}

/** Runs `work` in a transaction over both participants, between two rows of its own at `orders`. */
export async function runBetween(
  bank: Bank,
  tm: TransactionManager,
  work: (tx: TransactionScope) => Promise<unknown>,
): Promise<{ id: string; error: unknown }> {
  let id = '';
  const error: unknown = await tm
    .run(async (tx) => {
      id = tx.id;
      await note(tx, 'billing', 'x');
      await note(tx, 'orders', 'before');
      await work(tx);
      await note(tx, 'orders', 'behind');
    })
    .then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
  expect(await bank.inDoubt()).toEqual([]);
  return { id, error };
}
