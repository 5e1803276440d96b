import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import {
  createTransactionManager,
  migrateDecisionLog,
  type TransactionManager,
  type TransactionScope,
} from '../../src/index.ts';
import type { ManagerInternals } from '../../src/transaction-manager.ts';
import { startControlledServer, type TestServer } from '../support/servers.ts';

/** What SQL, LIKE, URLs, terminals and spreadsheets could trip over; 25 bytes at most, since names have 63. */
const HOSTILE = [
  `we"ird'; drop--`,
  `back\\slash\\' \\x27`,
  'two\nlines\ttab\r',
  '%_$1 $$ {} ?:x',
  'ümläut😀 ﷽',
  '=1+1@A1 <b>&amp;',
  `\u001b[31m red \u0007`,
  ' ',
] as const;

/**
 * S1, S2: one server whose databases, roles and tables have names made to break out of a statement, and whose
 * databases read backslashes in strings as escapes. Two participants each; the coordinator dies behind its
 * decision. Expected: every statement means what it says, and recovery, as another role, finishes both branches.
 */
describe('hostile names', () => {
  let server: TestServer;
  let log: string;
  const managers: TransactionManager[] = [];

  beforeAll(async () => {
    server = await startControlledServer({ settings: { max_connections: '300' } });
    log = await server.createDatabase(`log ${HOSTILE[0]}`);
    await migrateDecisionLog(place(log));
  });
  afterAll(async () => {
    for (const one of managers) await one.close({ timeoutMs: 1_000 });
    await server.destroy();
  });

  /** As settings: in a URL, node-postgres does not read all of these back. */
  function place(
    database: string,
    user = 'postgres',
  ): { host: string; port: number; user: string; database: string } {
    const { hostname, port } = new URL(server.connectionString());
    return { host: hostname, port: Number(port), user, database };
  }

  async function query(database: string, text: string, values?: unknown[]): Promise<unknown[]> {
    const client = new pg.Client(place(database));
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(text, values)).rows;
    } finally {
      await client.end();
    }
  }

  async function makeDatabase(name: string, role: string): Promise<string> {
    const database = await server.createDatabase(name);
    const [ofDatabase, ofRole, table] = [database, role, name].map((one) =>
      pg.escapeIdentifier(one),
    );
    await query(
      database,
      `create table ${String(table)} (id uuid, note text);
       grant all on ${String(table)} to ${String(ofRole)};
       alter database ${String(ofDatabase)} set standard_conforming_strings = off;
       alter database ${String(ofDatabase)} set backslash_quote = on;
       alter database ${String(ofDatabase)} set escape_string_warning = off;`,
    );
    return database;
  }

  async function manager(
    databases: readonly string[],
    user: string,
    internals: ManagerInternals = {},
  ): Promise<TransactionManager> {
    const [one = '', other = ''] = databases;
    const made = await createTransactionManager(
      {
        coordinator: `c ${HOSTILE.join()}`.slice(0, 200),
        decisionLog: place(log),
        participants: {
          one: place(one, user),
          other: place(other, user),
        },
      },
      internals,
    );
    managers.push(made);
    return made;
  }

  it.each(HOSTILE)('database, role, table, label and key %j', { timeout: 60_000 }, async (name) => {
    const role = `role ${name}`;
    await server.query('postgres', `create role ${pg.escapeIdentifier(role)} login`);
    const databases = [await makeDatabase(name, role), await makeDatabase(name, role)];
    const table = pg.escapeIdentifier(name);
    let fired = 0;
    // It never gets to phase two: its answer is lost with it.
    const dying = await manager(databases, role, {
      faultHook: (point) => {
        if (point !== 'after-decide') return;
        fired += 1;
        throw new Error('the coordinator dies');
      },
    });
    let id = '';
    const work = async (tx: TransactionScope): Promise<void> => {
      ({ id } = tx);
      for (const on of ['one', 'other']) {
        await tx.on(on).query(`insert into ${table} values ($1, $2)`, [tx.id, name]);
      }
    };
    const label = `label ${name}`;
    const idempotencyKey = `key ${name}`;
    await expect(dying.run({ label, idempotencyKey }, work)).rejects.toMatchObject({
      code: 'PGXA_OUTCOME_UNKNOWN',
    });
    expect(fired).toBe(1);
    await dying.close();

    // As the superuser, hence another role than the owner of the branches.
    const recovery = await manager(databases, 'postgres');
    const report = await recovery.recover();
    expect(report).toMatchObject({ complete: true, committed: 2, heuristics: 0 });
    for (const database of databases) {
      const rows = await query(database, `select id::text as id, note from ${table}`);
      expect(rows).toEqual([{ id, note: name }]);
    }
    const again = recovery.run({ idempotencyKey }, work);
    await expect(again).rejects.toMatchObject({
      code: 'PGXA_ALREADY_DONE',
      existingTransactionId: id,
    });
    const decided = await query(
      log,
      `select label, key from pgxa.decision join pgxa.idempotency using (transaction_id)
        where transaction_id = $1`,
      [id],
    );
    expect(decided).toEqual([{ label, key: idempotencyKey }]);
  });
});
