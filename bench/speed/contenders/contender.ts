/** What every contender is given, and what it has to do. */
import pg from 'pg';

export interface Place {
  readonly name: string;
  readonly connectionString: string;
}

export interface ContenderSetting {
  readonly participants: readonly Place[];
  readonly log: Place;
  /** Transactions at a time at most, and so clients in each pool. */
  readonly concurrency: number;
}

/** `[account, change of its balance]`: one statement each. */
export type Update = readonly [account: number, change: number];

/** One transaction: the updates of each participant, in the order of the participants. */
export interface Work {
  readonly updates: readonly (readonly Update[])[];
  /** Rows are fought for: only one global order of locking keeps the transactions from deadlocks. */
  readonly inOrder: boolean;
}

export interface Contender {
  /** Carries the work out; resolves once it is as durable as this contender ever makes it. */
  transact(work: Work): Promise<void>;
  close(): Promise<void>;
}

export type OpenContender = (setting: ContenderSetting) => Promise<Contender>;

/** The application's statement, the same for all. */
export const UPDATE_SQL = 'update account set balance = balance + $2 where id = $1';

export async function openPools(
  places: readonly Place[],
  concurrency: number,
): Promise<{ pools: pg.Pool[]; close: () => Promise<void> }> {
  const pools = places.map(({ connectionString }) => {
    const pool = new pg.Pool({ connectionString, max: concurrency });
    pool.on('error', () => undefined);
    return pool;
  });
  return {
    pools,
    close: async () => {
      await Promise.all(pools.map((pool) => pool.end()));
    },
  };
}

interface CanQuery {
  query(text: string, values: unknown[]): Promise<{ rowCount: number | null }>;
}

export async function update(client: CanQuery, [account, change]: Update): Promise<void> {
  const { rowCount } = await client.query(UPDATE_SQL, [account, change]);
  if (rowCount !== 1) throw new Error(`account ${account} is not there`);
}

export async function updateAll(client: CanQuery, updates: readonly Update[]): Promise<void> {
  for (const one of updates) await update(client, one);
}

/** On all participants at once, or one after the other where rows are fought for. */
export async function onEach<T>(
  work: Work,
  act: (updates: readonly Update[], participant: number) => Promise<T>,
): Promise<T[]> {
  if (!work.inOrder) return allOrFirstError(work.updates.map(act));
  const results: T[] = [];
  for (const [participant, updates] of work.updates.entries()) {
    results.push(await act(updates, participant));
  }
  return results;
}

/** All of them, also when one fails: no connection is left while another one is still at work. */
export async function allOrFirstError<T>(work: readonly Promise<T>[]): Promise<T[]> {
  const results = await Promise.allSettled(work);
  return results.map((result) => {
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  });
}
