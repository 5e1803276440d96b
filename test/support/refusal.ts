/** For tests of what must fail: with a typed error, within seconds, telling no password, leaving nothing. */
import { inspect } from 'node:util';
import { expect } from 'vitest';

import { PgxaError } from '../../src/index.ts';
import type { Bank } from './bank.ts';
import { waitFor } from './wait.ts';

/** Planted wherever a password goes; no error may contain it. */
export const SECRET = 'hunter2-canary';
/** Less than the 30 s of close() and the 60 s between two retries: whoever waits for one of them is found. */
export const SOON_MS = 25_000;

/** The error of a call that fails within seconds and tells no password. */
export async function refusal(call: () => Promise<unknown>): Promise<PgxaError> {
  const since = performance.now();
  const error: unknown = await call().then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(performance.now() - since).toBeLessThan(SOON_MS);
  expect(error).toBeInstanceOf(PgxaError);
  expect(inspect(error, { depth: 9, showHidden: true })).not.toContain(SECRET);
  return error as PgxaError;
}

/** Sessions of pgxa in the databases of the bank; those that are ending are waited for. */
export async function expectNothingLeft(bank: Bank): Promise<void> {
  for (const { server, database } of [bank.log, ...bank.participants]) {
    const left = (): Promise<unknown[]> =>
      server.query(
        database,
        `select application_name, state, query from pg_stat_activity
          where datname = current_database() and backend_type = 'client backend'
            and application_name <> 'pgxa test support'`,
      );
    await waitFor(`all sessions in ${database} to end`, async () => (await left()).length === 0);
  }
  expect(await bank.inDoubt()).toEqual([]);
}
