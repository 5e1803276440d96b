/** What a server has spent: flushes of its WAL, and its CPU. */
import { readdirSync, readFileSync } from 'node:fs';

import type { BenchServer } from './setting.ts';

export interface ServerCost {
  readonly walFlushes: number;
  /** Of all its processes, those that have ended included; undefined where /proc is not Linux's. */
  readonly cpuSeconds: number | undefined;
}

/** Backends report what they did when they end, so ask while none of a contender's is left. */
export async function costOf(server: BenchServer): Promise<ServerCost> {
  await noClients(server);
  const [row] = await server.query(
    'postgres',
    // PostgreSQL 18 has moved the count from pg_stat_wal to pg_stat_io.
    server.major >= 18
      ? `select sum(fsyncs)::int8 as flushes from pg_stat_io where object = 'wal' and context = 'normal'`
      : 'select wal_sync as flushes from pg_stat_wal',
  );
  return { walFlushes: Number(row?.['flushes'] ?? 0), cpuSeconds: cpuOf(server.pid) };
}

export function difference(before: ServerCost, after: ServerCost): ServerCost {
  const cpu =
    before.cpuSeconds === undefined || after.cpuSeconds === undefined
      ? undefined
      : after.cpuSeconds - before.cpuSeconds;
  return { walFlushes: after.walFlushes - before.walFlushes, cpuSeconds: cpu };
}

async function noClients(server: BenchServer): Promise<void> {
  for (let attempt = 0; attempt < 600; attempt += 1) {
    const [row] = await server.query(
      'postgres',
      `select count(*)::int as count from pg_stat_activity
        where backend_type = 'client backend' and pid <> pg_backend_pid()`,
    );
    if (row?.['count'] === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error('a contender has left sessions behind');
}

/** Clock ticks of /proc are hundredths of a second on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

function cpuOf(postmaster: number): number | undefined {
  if (process.platform !== 'linux') return undefined;
  let ticks = 0;
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const fields = statOf(entry);
    if (fields === undefined) continue;
    const isPostmaster = Number(entry) === postmaster;
    if (!isPostmaster && Number(fields[1]) !== postmaster) continue;
    // utime and stime; the postmaster's cutime and cstime hold those of its children that have ended.
    ticks += Number(fields[11]) + Number(fields[12]);
    if (isPostmaster) ticks += Number(fields[13]) + Number(fields[14]);
  }
  return ticks / TICKS_PER_SECOND;
}

/** The fields of /proc/<pid>/stat behind the name, which may hold anything; state is the first. */
function statOf(pid: string): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined; // It has ended meanwhile.
  }
}
