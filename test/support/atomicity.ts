/** Checks atomicity from the participants' own data, never from the log. */
import type { Bank } from './bank.ts';
import { ids } from './bank.ts';

export interface AtomicityReport {
  /** Transactions whose marker stands on every writing participant. */
  readonly whole: ReadonlySet<string>;
  /** Transactions whose marker stands on some, but not on all: violations. */
  readonly torn: readonly string[];
}

export async function checkMarkers(bank: Bank, writers: number): Promise<AtomicityReport> {
  const lists = await Promise.all(
    bank.participants
      .slice(0, writers)
      .map(async (one) => new Set(ids(await one.query('select transaction_id from marker')))),
  );
  const all = new Set(lists.flatMap((list) => [...list]));
  const whole = new Set([...all].filter((id) => lists.every((list) => list.has(id))));
  return { whole, torn: [...all].filter((id) => !whole.has(id)) };
}

/** The sum of all balances over all participants. */
export async function totalBalance(bank: Bank): Promise<number> {
  const sums = await Promise.all(
    bank.participants.map(async (one) => {
      const [row] = await one.query('select sum(balance)::text as sum from account');
      return Number(row?.['sum']);
    }),
  );
  return sums.reduce((total, sum) => total + sum, 0);
}
