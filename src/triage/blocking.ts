/**
 * Who waits for a prepared transaction, directly or behind somebody who does. The server itself does not
 * tell: pg_blocking_pids() names a prepared holder 0, once for each, and the usual join on pg_locks blames
 * the waiters ahead in the queue instead. So holders and waiters of one lock are matched here, and kept if
 * their modes conflict.
 */

/** One session that waits for a lock. */
export interface WaitingSession {
  readonly pid: number;
  /** Those it waits for, itself or in the queue; 0 is a prepared transaction. */
  readonly blockedBy: readonly number[];
  readonly user: string | undefined;
  readonly application: string | undefined;
  readonly client: string | undefined;
  /** Undefined where the role of pgxa may not see it (it needs pg_read_all_stats). */
  readonly query: string | undefined;
  readonly waitMs: number | undefined;
  /** What it waits for, in words: `relation orders, ShareLock`. */
  readonly waitsFor: string;
}

/** A lock that a prepared transaction holds and a session waits for. */
export interface Contention {
  readonly gid: string;
  readonly pid: number;
  readonly held: string;
  readonly wanted: string;
}

export interface BlockedSession extends WaitingSession {
  /** 1: waits for the prepared transaction itself; 2: for a session that does, and so on. */
  readonly depth: number;
}

/** https://www.postgresql.org/docs/current/explicit-locking.html, table 13.2 */
const CONFLICTS: Readonly<Record<string, string>> = {
  AccessShareLock: 'AX',
  RowShareLock: 'X AX',
  RowExclusiveLock: 'S SRX X AX',
  ShareUpdateExclusiveLock: 'SUX S SRX X AX',
  ShareLock: 'RX SUX SRX X AX',
  ShareRowExclusiveLock: 'RX SUX S SRX X AX',
  ExclusiveLock: 'RS RX SUX S SRX X AX',
  AccessExclusiveLock: 'AS RS RX SUX S SRX X AX',
};

function shortOf(mode: string): string {
  return mode
    .replace('Lock', '')
    .replace(/[a-z]+/g, '')
    .replace(/^SRE$/, 'SRX')
    .replace(/^SUE$/, 'SUX')
    .replace(/^RE$/, 'RX')
    .replace(/^AE$/, 'AX')
    .replace(/^E$/, 'X');
}

/** Modes that this program does not know count as conflicting: a victim too many is better than one too few. */
export function conflicts(held: string, wanted: string): boolean {
  const against = CONFLICTS[held];
  if (against === undefined || CONFLICTS[wanted] === undefined) return true;
  return against.split(' ').includes(shortOf(wanted));
}

/** The sessions that each of the prepared transactions keeps waiting, nearest first. */
export function blockedByGid(
  contentions: readonly Contention[],
  sessions: readonly WaitingSession[],
): ReadonlyMap<string, readonly BlockedSession[]> {
  const byPid = new Map(sessions.map((session) => [session.pid, session]));
  const heads = new Map<string, Set<number>>();
  for (const { gid, pid, held, wanted } of contentions) {
    if (byPid.get(pid)?.blockedBy.includes(0) !== true || !conflicts(held, wanted)) continue;
    heads.set(gid, (heads.get(gid) ?? new Set()).add(pid));
  }
  return new Map([...heads].map(([gid, pids]) => [gid, chainBehind(pids, sessions)]));
}

function chainBehind(
  heads: ReadonlySet<number>,
  sessions: readonly WaitingSession[],
): readonly BlockedSession[] {
  const found = new Map<number, BlockedSession>();
  let front: ReadonlySet<number> = heads;
  for (let depth = 1; front.size > 0; depth += 1) {
    const next = new Set<number>();
    for (const session of sessions) {
      if (!front.has(session.pid) || found.has(session.pid)) continue;
      found.set(session.pid, { ...session, depth });
    }
    for (const { pid, blockedBy } of sessions) {
      if (!found.has(pid) && blockedBy.some((blocker) => front.has(blocker))) next.add(pid);
    }
    front = next;
  }
  return [...found.values()];
}
