/** What a dead coordinator leaves behind: one transaction that is decided, one that is not. */
import { randomBytes } from 'node:crypto';

import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';

import { formatGid } from '../../src/participant/gid.ts';
import type { Bank, BankDatabase } from '../support/bank.ts';

export interface Leftovers {
  readonly committed: string;
  readonly undecided: string;
}

interface Prepared {
  readonly participant: string;
  readonly branch: number;
  readonly xid: string;
  readonly system: string;
  readonly timeline: string;
}

export async function plantLeftovers(bank: Bank): Promise<Leftovers> {
  const [row] = await bank.log.query('select id from pgxa.installation');
  const installation = String(row?.['id']);
  const epoch = randomBytes(8).toString('hex');
  await bank.log.query(
    `insert into pgxa.coordinator (epoch, name, host, pid, version, heartbeat_at)
     values ($1, 'dead', 'nowhere', 1, '0', clock_timestamp() - interval '1 hour')`,
    [epoch],
  );
  const plant = async (): Promise<{ transactionId: string; branches: Prepared[] }> => {
    const transactionId = uuidv7();
    const branches = await Promise.all(
      bank.participants.map((one, index) =>
        prepare(one, transactionId, index + 1, (branch) =>
          formatGid({ installation, epoch, transactionId, branch }),
        ),
      ),
    );
    return { transactionId, branches };
  };
  const committed = await plant();
  const undecided = await plant();
  await bank.log.query(
    `insert into pgxa.decision (transaction_id, epoch, outcome, decided_by, branches)
     values ($1, $2, 'commit', 'coordinator', $3)`,
    [committed.transactionId, epoch, JSON.stringify(committed.branches)],
  );
  return { committed: committed.transactionId, undecided: undecided.transactionId };
}

async function prepare(
  one: BankDatabase,
  transactionId: string,
  branch: number,
  gidOf: (branch: number) => string,
): Promise<Prepared> {
  const client = new pg.Client({ connectionString: one.connectionString });
  await client.connect();
  try {
    await client.query('begin');
    await client.query('insert into marker values ($1)', [transactionId]);
    const { rows } = await client.query<{ xid: string; system: string; timeline: string }>(
      `select pg_current_xact_id()::text as xid,
              (select system_identifier::text from pg_control_system()) as system,
              left(pg_walfile_name(pg_current_wal_lsn()), 8) as timeline`,
    );
    const [evidence] = rows;
    if (evidence === undefined) throw new Error('unreachable: the query always answers one row');
    await client.query(`prepare transaction ${pg.escapeLiteral(gidOf(branch))}`);
    return { participant: one.name, branch, ...evidence };
  } finally {
    await client.end();
  }
}
