/** Servers on a disk, one database on each, and what must hold after every run. */
import { closeSync, fdatasyncSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import pg from 'pg';

import { migrateDecisionLog } from '../../src/index.ts';
import { startControlledServer, type TestServer } from '../../test/support/servers.ts';
import type { Place } from './contenders/contender.ts';
import { HAND_LOG_SCHEMA } from './contenders/hand-written.ts';
import { DelayingProxy } from './delaying-proxy.ts';
import { ACCOUNTS } from './workload.ts';

/** The controlled servers are the embedded ones, which know their pid. */
export type BenchServer = TestServer & { readonly pid: number };

export interface Database extends Place {
  readonly server: BenchServer;
  readonly database: string;
}

export interface Setting {
  readonly log: Database;
  readonly participants: readonly Database[];
  readonly settings: Readonly<Record<string, string>>;
  readonly postgres: string;
  /** Median of one write and fdatasync where the servers' data is. */
  readonly flushMs: number;
  close(): Promise<void>;
}

/** Room for twice the branches, and three pools of that many sessions beside them. */
export function settingsFor(concurrencyMax: number): Record<string, string> {
  return {
    fsync: 'on',
    synchronous_commit: 'on',
    max_connections: String(concurrencyMax * 6 + 60),
    max_prepared_transactions: String(concurrencyMax * 3 + 60),
    shared_buffers: '256MB',
    // No checkpoint in the middle of one contender's run: that would be luck.
    max_wal_size: '8GB',
    checkpoint_timeout: '1h',
  };
}

export async function openSetting(participants: number, concurrencyMax: number): Promise<Setting> {
  const flushMs = await assertRealDisk();
  const settings = settingsFor(concurrencyMax);
  const started = await Promise.allSettled(
    Array.from({ length: participants + 1 }, () =>
      startControlledServer({ settings, onDisk: true }),
    ),
  );
  const servers = started.flatMap((one) =>
    one.status === 'fulfilled' ? [one.value as BenchServer] : [],
  );
  const close = async (): Promise<void> => {
    await Promise.all(servers.map((server) => server.destroy()));
  };
  try {
    const failed = started.find((one) => one.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    const [logServer, ...others] = servers as [BenchServer, ...BenchServer[]];
    const log = await createDatabase('log', logServer, HAND_LOG_SCHEMA);
    await migrateDecisionLog({ connectionString: log.connectionString });
    const databases = await Promise.all(
      others.map((server, index) => createDatabase(`p${index + 1}`, server, BANK_SCHEMA)),
    );
    const [version] = await logServer.query('postgres', 'show server_version');
    return {
      log,
      participants: databases,
      settings,
      postgres: String(version?.['server_version']),
      flushMs,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

const BANK_SCHEMA = `
  create table account (id int primary key, balance bigint not null) with (fillfactor = 50);
  insert into account select id, 1000000 from generate_series(1, ${ACCOUNTS}) id;`;

async function createDatabase(
  name: string,
  server: BenchServer,
  schema: string,
): Promise<Database> {
  const database = await server.createDatabase(name);
  const connectionString = server.connectionString(database);
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    await client.query(schema);
    await client.query('vacuum analyze');
    await client.query('checkpoint');
  } finally {
    await client.end();
  }
  return { name, server, database, connectionString };
}

/** The same places behind longer links. */
export async function delayed(
  setting: Setting,
  latencyMs: number,
  logLatencyMs: number,
): Promise<{ log: Place; participants: Place[]; close: () => Promise<void> }> {
  const proxies: DelayingProxy[] = [];
  const behind = async ({ name, connectionString }: Place, delayMs: number): Promise<Place> => {
    if (delayMs === 0) return { name, connectionString };
    const proxy = await DelayingProxy.inFrontOf(connectionString, delayMs);
    proxies.push(proxy);
    return { name, connectionString: proxy.through(connectionString) };
  };
  return {
    log: await behind(setting.log, logLatencyMs),
    participants: await Promise.all(setting.participants.map((place) => behind(place, latencyMs))),
    close: async () => {
      await Promise.all(proxies.map((proxy) => proxy.close()));
    },
  };
}

export async function sumsOf(setting: Setting): Promise<number[]> {
  return Promise.all(
    setting.participants.map(async ({ server, database }) => {
      const [row] = await server.query(database, 'select sum(balance) as sum from account');
      return Number(row?.['sum']);
    }),
  );
}

export async function inDoubtIn(setting: Setting): Promise<number> {
  const counts = await Promise.all(
    setting.participants.map(async ({ server }) => {
      const [row] = await server.query(
        'postgres',
        'select count(*)::int as count from pg_prepared_xacts',
      );
      return Number(row?.['count']);
    }),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

const TMPFS = 0x01021994;
const RAMFS = 0x858458f6;
const PROBES = 50;

/** fsync costs nothing in memory, and what it costs is what is measured here. */
async function assertRealDisk(): Promise<number> {
  const { type } = await statfs(tmpdir());
  if (type === TMPFS || type === RAMFS) {
    throw new Error(
      `the servers' data would be in memory: ${tmpdir()} is no disk; ` +
        'set TMPDIR to a folder on a disk that everybody may enter',
    );
  }
  const file = join(tmpdir(), `pgxa-flush-${process.pid}`);
  const descriptor = openSync(file, 'w');
  try {
    const block = Buffer.alloc(8_192, 1);
    const took = Array.from({ length: PROBES }, () => {
      writeSync(descriptor, block, 0, block.length, 0);
      const began = performance.now();
      fdatasyncSync(descriptor);
      return performance.now() - began;
    }).sort((a, b) => a - b);
    return took[PROBES / 2] ?? Number.NaN;
  } finally {
    closeSync(descriptor);
    unlinkSync(file);
  }
}
