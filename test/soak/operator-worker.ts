/**
 * An operator of the soak, in a process of its own: looks at pg_prepared_xacts, asks what became of the
 * transactions that it finds there and of those that somebody asks about (a line with an id on standard
 * input), and runs a recovery pass. The public surface only.
 */
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

import pg from 'pg';

import { ConfigError, subscribe, type TransactionManager } from '../../src/index.ts';
import { createTransactionManager } from '../../src/transaction-manager.ts';
import { askedToEnd, describe, managerConfig, readPlan, say } from './worker-plan.ts';

const plan = readPlan();
const end = askedToEnd();
const asked = new Set<string>();

subscribe('heuristic:found', ({ transactionId, participant, kind, evidence }) => {
  say({ kind: 'heuristic-found', id: transactionId, participant, heuristic: kind, why: evidence });
});

const input = createInterface({ input: process.stdin });
input.on('line', (id) => asked.add(id));

async function start(): Promise<TransactionManager> {
  for (;;) {
    try {
      return await createTransactionManager(managerConfig(plan));
    } catch (error) {
      if (!(error instanceof ConfigError) || end.asked()) throw error;
      await sleep(200);
    }
  }
}

/** Ids of the transactions that are in doubt on one participant; none where it does not answer. */
async function lookAt(connectionString: string): Promise<string[]> {
  const client = new pg.Client({
    connectionString,
    connectionTimeoutMillis: 2_000,
    query_timeout: 2_000,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    const { rows } = await client.query<{ gid: string }>(
      `select gid from pg_prepared_xacts
        where database = current_database() and prepared < now() - interval '1 second'`,
    );
    return rows.flatMap(({ gid }) => {
      const hex = /^pgxa_[0-9a-f]{12}_[0-9a-f]{16}_([0-9a-f]{32})_\d+$/.exec(gid)?.[1];
      return hex === undefined
        ? []
        : [hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')];
    });
  } catch {
    return [];
  } finally {
    // A link that has gone silent would keep a polite end waiting.
    await Promise.race([client.end().catch(() => undefined), sleep(1_000)]);
  }
}

async function askAll(tm: TransactionManager): Promise<void> {
  for (const id of [...asked]) {
    try {
      const outcome = await tm.outcomeOf(id);
      if (outcome === 'undecided') continue;
      asked.delete(id);
      say({ kind: 'outcome', id, outcome });
    } catch {
      // The log is away: asked again.
      return;
    }
  }
}

const tm = await start();
say({ kind: 'ready', pid: process.pid });
while (!end.asked()) {
  const inDoubt = await Promise.all(Object.values(plan.participants).map(lookAt));
  for (const id of inDoubt.flat()) asked.add(id);
  await askAll(tm);
  try {
    const { committed, rolledBack, heuristics } = await tm.recover({
      wait: inDoubt.flat().length > 20,
    });
    say({ kind: 'passes', passes: 1, committed, rolledBack, heuristics });
  } catch (error) {
    say({ kind: 'unexpected', id: '', where: 'recover', why: describe(error) });
  }
  await Promise.race([sleep(plan.intervalMs), end.done]);
}
await askAll(tm);
input.close();
process.stdin.destroy();
await tm.close();
say({ kind: 'closed' });
