/** Prepared branches made by hand, as a coordinator that is gone would have left them. */
import { randomInt } from 'node:crypto';

import pg from 'pg';

import { formatGid } from '../../src/participant/gid.ts';
import type { BankDatabase } from './bank.ts';

/** As logical replication names them. A server is shared by the test files, and a gid is there once in all its databases. */
export const SUBSCRIPTION_GID = `pg_gid_16394_${randomInt(1_000, 2 ** 31)}`;

export interface PlantOptions {
  readonly epoch: string;
  readonly transactionId: string;
  readonly branch?: number;
}

/** A gid of the installation that the log is of. */
export async function gidIn(log: BankDatabase, options: PlantOptions): Promise<string> {
  const [row] = await log.query('select id from pgxa.installation');
  return formatGid({ installation: String(row?.['id']), branch: 1, ...options });
}

/** Prepares one branch with one marker in it. */
export async function plant(
  where: BankDatabase,
  gid: string,
  connectionString: string = where.connectionString,
): Promise<void> {
  await withClient(connectionString, async (client) => {
    await client.query('begin');
    await client.query('insert into marker values (gen_random_uuid())');
    await client.query(`prepare transaction ${pg.escapeLiteral(gid)}`);
  });
}

/** Prepares many, pipelined, oldest first. */
export async function plantMany(where: BankDatabase, gids: readonly string[]): Promise<void> {
  await withClient(where.connectionString, async (client) => {
    for (let at = 0; at < gids.length; at += 500) {
      await client.query(
        gids
          .slice(at, at + 500)
          .map(
            (gid) =>
              `begin; insert into marker values (gen_random_uuid());
               prepare transaction ${pg.escapeLiteral(gid)};`,
          )
          .join('\n'),
      );
    }
  });
}

/** As an operator would, by hand. */
export async function rollbackAll(where: BankDatabase): Promise<void> {
  await withClient(where.connectionString, async (client) => {
    const { rows } = await client.query<{ gid: string }>(
      'select gid from pg_prepared_xacts where database = current_database()',
    );
    for (const { gid } of rows) await client.query(`rollback prepared ${pg.escapeLiteral(gid)}`);
  });
}

async function withClient(
  connectionString: string,
  work: (client: pg.Client) => Promise<void>,
): Promise<void> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}
