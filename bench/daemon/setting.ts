/** Servers, a daemon in a process of its own, and branches in doubt for the measurements of the daemon. */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { v7 as uuidv7 } from 'uuid';

import type { RecoveryDaemonConfig } from '../../src/index.ts';
import type { Bank, BankDatabase } from '../../test/support/bank.ts';
import { plantMany } from '../../test/support/planted.ts';
import { startControlledServer, type TestServer } from '../../test/support/servers.ts';

export function startServers(count: number, slots: number): Promise<TestServer[]> {
  const settings = { max_prepared_transactions: String(slots), max_connections: '400' };
  return Promise.all(
    Array.from({ length: count }, () => startControlledServer({ settings, onDisk: true })),
  );
}

export interface DaemonProcess {
  readonly process: ChildProcess;
  readonly lines: readonly Record<string, unknown>[];
  stop(): Promise<void>;
}

/** A daemon as it is installed: compiled (npm run bench:daemon builds it), in a process of its own. */
export async function startDaemonProcess(
  bank: Bank,
  more: Partial<RecoveryDaemonConfig> = {},
): Promise<DaemonProcess> {
  const config: RecoveryDaemonConfig = {
    name: 'bench',
    decisionLog: { connectionString: bank.log.connectionString },
    participants: Object.fromEntries(
      bank.participants.map(({ name, connectionString }) => [name, { connectionString }]),
    ),
    ...more,
  };
  const script = fileURLToPath(new URL('daemon-process.mjs', import.meta.url));
  const child = spawn(process.execPath, ['--expose-gc', script, JSON.stringify(config)], {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  const lines: Record<string, unknown>[] = [];
  createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) =>
    lines.push(JSON.parse(line) as Record<string, unknown>),
  );
  await once(child, 'message');
  return {
    process: child,
    lines,
    stop: async () => {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
    },
  };
}

export interface Usage {
  readonly cpuMs: number;
  readonly rssMb: number;
  readonly heapMb: number;
}

export async function usageOf({ process: child }: DaemonProcess): Promise<Usage> {
  const answer = once(child, 'message');
  child.send('usage');
  const [usage] = (await answer) as [Usage];
  return usage;
}

/** Branches of one transaction each on all participants, decided to commit; returns the gids of each. */
export async function plantDecided(bank: Bank, transactions: number): Promise<string[][]> {
  const epoch = randomBytes(8).toString('hex');
  const [installation] = await bank.log.query('select id from pgxa.installation');
  const ids = Array.from({ length: transactions }, () => uuidv7());
  const gids = bank.participants.map((_, index) =>
    ids.map(
      (id) =>
        `pgxa_${String(installation?.['id'])}_${epoch}_${id.replaceAll('-', '')}_${index + 1}`,
    ),
  );
  await bank.log.query(
    `insert into pgxa.decision (transaction_id, epoch, outcome, decided_by)
     select id, $2, 'commit', 'coordinator' from unnest($1::uuid[]) id`,
    [ids, epoch],
  );
  await Promise.all(bank.participants.map((one, index) => plantMany(one, gids[index] ?? [])));
  return gids;
}

export async function inDoubt(where: BankDatabase): Promise<number> {
  const [row] = await where.query(
    'select count(*)::int as count from pg_prepared_xacts where database = current_database()',
  );
  return Number(row?.['count']);
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

export const rounded = (value: number, digits = 2): number => Number(value.toFixed(digits));

/** Somebody else holds the leases for an hour. */
export async function holdLeases(bank: Bank): Promise<void> {
  await bank.log.query(
    `insert into pgxa.lease (name, holder, holder_id, term, expires_at)
     select name, 'bench', 'bench', 1, clock_timestamp() + interval '1 hour'
       from unnest($1::text[]) name
         on conflict (name) do update
        set holder_id = 'bench', term = lease.term + 1, expires_at = excluded.expires_at`,
    [['housekeeping', ...bank.participants.map(({ name }) => `participant ${name}`)]],
  );
}

export async function freeLeases(bank: Bank): Promise<void> {
  await bank.log.query(`update pgxa.lease set expires_at = clock_timestamp()`);
  await bank.log.query(`select pg_notify('pgxa_recovery', 'lease')`);
}
