/** The last look at everything, written to the history: what the checkers judge. */
import { setTimeout as sleep } from 'node:timers/promises';

import type { Survey } from '../../src/index.ts';
import type { HistoryWriter, MarkerRow } from './history.ts';
import { runVerb } from './verbs.ts';
import type { Worker } from './workers.ts';
import type { SoakDatabase, World } from './world.ts';

/** Two heartbeat limits, some passes, and the time that a stopped machine needs to catch up. */
const QUIET_MS = 45_000;

/** Nothing of ours is prepared anywhere (I5); says how long that took. */
export async function waitUntilQuiet(world: World, history: HistoryWriter): Promise<void> {
  const startedMs = performance.now();
  let left: string[] = [];
  while (performance.now() - startedMs < QUIET_MS) {
    left = await oursInDoubt(world).catch((error: unknown) => [String(error)]);
    if (left.length === 0) {
      const afterMs = Math.round(performance.now() - startedMs);
      history.write('harness', { kind: 'quiet', afterMs });
      return;
    }
    await sleep(100);
  }
  history.write('harness', { kind: 'not-quiet', left });
}

async function oursInDoubt(world: World): Promise<string[]> {
  const lists = await Promise.all(
    world.participants.map(async (one) => {
      const rows = await one.server.query<{ gid: string }>(
        one.database,
        `select gid from pg_prepared_xacts
          where database = current_database() and gid ~ $1`,
        [`^pgxa_${world.installation}_[0-9a-f]{16}_[0-9a-f]{32}_[1-9][0-9]{0,3}$`],
      );
      // The planted near miss of a name parses as far as the transaction; nobody began that one.
      return rows.map(({ gid }) => `${one.name}: ${gid}`);
    }),
  );
  return lists.flat();
}

export async function readAll(world: World, history: HistoryWriter): Promise<void> {
  for (const one of world.participants) await readParticipant(one, history);
  for (const one of world.participants) await readHandedOutAgain(world, one, history);
  const { log } = world;
  const decisions = await log.server.query<{ id: string; outcome: string; by: string }>(
    log.database,
    `select transaction_id::text as id, outcome, decided_by as by from pgxa.decision`,
  );
  for (const row of decisions) history.write('harness', { kind: 'final-decision', ...row });
  const heuristics = await log.server.query<{
    transaction_id: string;
    kind: string;
    participant: string;
  }>(
    log.database,
    'select h.*, d.outcome, d.decided_by, d.decided_at, d.branches from pgxa.heuristic h left join pgxa.decision d using (transaction_id)',
  );
  for (const row of heuristics) {
    history.write('harness', { kind: 'final-heuristic', id: row.transaction_id, row });
  }
  const forces = await log.server.query<{
    id: string;
    action: string;
    decided: string | null;
    pending: string[];
  }>(
    log.database,
    `select transaction_id::text as id, action, before #>> '{decision,decision}' as decided,
            array(select b ->> 'participant' from jsonb_array_elements(after -> 'branches') b
                   where b ->> 'result' = 'pending') as pending
       from pgxa.audit where action like 'force %' order by audit.id`,
  );
  for (const row of forces) history.write('harness', { kind: 'final-force', ...row });
}

/** Branches that are missing, and whose xid is another transaction's by now: nobody can find them by it. */
async function readHandedOutAgain(
  { log }: World,
  { name: participant, server, database }: SoakDatabase,
  history: HistoryWriter,
): Promise<void> {
  const branches = await log.server.query<{ id: string; xid: string }>(
    log.database,
    `select transaction_id::text as id, b ->> 'xid' as xid
       from pgxa.decision, jsonb_array_elements(branches) b
      where outcome = 'commit' and b ->> 'participant' = $1 and b ->> 'xid' is not null`,
    [participant],
  );
  const found = await server.query<{ id: string }>(
    database,
    `select id::text as id from unnest($1::uuid[], $2::xid8[]) as t (id, xid)
      where not exists (select from marker where transaction_id = id)
        and case when xid < pg_snapshot_xmax(pg_current_snapshot())
                 then pg_xact_status(xid) = 'committed' end`,
    [branches.map(({ id }) => id), branches.map(({ xid }) => xid)],
  );
  const ids = found.map(({ id }) => id);
  if (ids.length > 0) history.write('harness', { kind: 'handed-out-again', participant, ids });
}

/** By what the log holds, and by what an operator is shown (I24). */
export async function readList(
  { log }: World,
  workers: readonly Worker[],
  history: HistoryWriter,
): Promise<void> {
  const [daemon] = workers.filter(({ role }) => role === 'daemon');
  if (daemon === undefined) return;
  const { code, stdout, stderr } = await runVerb(daemon.pgxa, 'list', '-o', 'json');
  if (stdout === '') throw new Error(`pgxa list: exit code ${String(code)}: ${stderr}`);
  const { transactions } = JSON.parse(stdout) as Pick<Survey, 'transactions'>;
  const open = await log.server.query<{ id: string }>(
    log.database,
    'select distinct transaction_id::text as id from pgxa.heuristic where acknowledged_at is null',
  );
  history.write('harness', {
    kind: 'final-list',
    open: open.map(({ id }) => id),
    shown: transactions.map(({ transactionId }) => transactionId),
  });
}

/** They are given time: one may have to wait for the lease that another one lets go. */
const READY_MS = 20_000;

export async function readDaemons(
  workers: readonly Worker[],
  history: HistoryWriter,
): Promise<void> {
  for (const worker of workers.filter(({ role }) => role === 'daemon')) {
    const untilMs = performance.now() + READY_MS;
    let isReady = false;
    while (!isReady && performance.now() < untilMs) {
      isReady = (await runVerb(worker.pgxa, 'daemon', 'health', '--ready')).code === 0;
    }
    const metrics = await fetch(`${worker.url}/metrics`).then((response) => response.text());
    const counted = sumOf(metrics, 'pgxa_heuristic_total');
    history.write('harness', {
      kind: 'final-daemon',
      who: worker.name,
      isReady,
      inDoubt: sumOf(metrics, 'pgxa_in_doubt'),
      heuristics: { counted, told: worker.told('heuristic-found') },
    });
  }
}

function sumOf(metrics: string, name: string): number {
  return metrics
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}

async function readParticipant(one: SoakDatabase, history: HistoryWriter): Promise<void> {
  const participant = one.name;
  const markers = await one.server.query<MarkerRow & Record<string, unknown>>(
    one.database,
    `select transaction_id::text as id, account, version::int, amount::int, writers, key from marker`,
  );
  for (const row of markers) history.write('harness', { kind: 'final-marker', participant, row });
  const children = await one.server.query(one.database, 'select 1 from child');
  history.write('harness', { kind: 'final-children', participant, count: children.length });
  const foreign = await one.server.query<{ gid: string }>(
    one.database,
    'select gid from pg_prepared_xacts where database = current_database()',
  );
  history.write('harness', {
    kind: 'final-foreign',
    participant,
    gids: foreign.map(({ gid }) => gid),
  });
  const accounts = await one.server.query<{ id: number; balance: number; version: number }>(
    one.database,
    'select id, balance::int, version::int from account order by id',
  );
  history.write('harness', { kind: 'final-accounts', participant, accounts });
}

/** After every process of pgxa has ended: no session, no lock, no branch is left (I25). */
export async function lookForLeaks(world: World, history: HistoryWriter): Promise<void> {
  for (const one of [world.log, ...world.participants]) {
    let left: string[] = [];
    // A server needs a moment to notice that a client has gone.
    for (let tries = 0; tries < 100; tries += 1) {
      left = await sessionsOf(one);
      if (left.length === 0) break;
      await sleep(100);
    }
    for (const what of left)
      history.write('harness', { kind: 'final-leak', where: one.name, what });
  }
}

async function sessionsOf(one: SoakDatabase): Promise<string[]> {
  const rows = await one.server.query<{ what: string }>(
    one.database,
    `select format('%s session "%s": %s', state, application_name, left(query, 80)) as what
       from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid()
        and backend_type = 'client backend'
     union all
     select format('%s lock of %s', mode, locktype) from pg_locks
      where locktype = 'advisory' and database =
            (select oid from pg_database where datname = current_database())`,
  );
  return rows.map(({ what }) => what);
}
