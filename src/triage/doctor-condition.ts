import type { ConnectionConfig } from '../config.ts';
import { within } from '../patience.ts';
import { connectOnce, type OnceClient } from '../postgres/once.ts';
import type { Runtime } from '../runtime.ts';
import type { ClockReading, Pooler, ServerCondition } from './doctor-model.ts';
import * as sql from './doctor-statements.ts';

/** What is asked of every server. The session is left as it came: defaults are what is looked at. */
export async function readCondition(
  client: OnceClient,
  place: ConnectionConfig,
  runtime: Runtime,
): Promise<ServerCondition> {
  const [row] = (await client.query(sql.CONDITION_SQL)) as unknown as readonly [ConditionRow];
  const others = await client.query(sql.OTHER_DEFAULTS_SQL);
  const [standbys] = (await client.query(sql.STANDBYS_SQL)) as unknown as readonly [StandbysRow];
  return {
    versionNumber: row.version_number,
    inRecovery: row.in_recovery,
    login: row.login,
    database: row.database,
    settings: row.settings,
    otherDefaults: others as unknown as ServerCondition['otherDefaults'],
    standbys: {
      connected: standbys.connected,
      synchronous: standbys.visible ? standbys.synchronous : undefined,
    },
    clock: await readClock(client),
    pooler: await findPooler(client, place, runtime),
  };
}

interface ConditionRow {
  readonly version_number: number;
  readonly in_recovery: boolean;
  readonly login: string;
  readonly database: string;
  readonly settings: ServerCondition['settings'];
}

interface StandbysRow {
  readonly connected: number;
  readonly synchronous: number;
  readonly visible: boolean;
}

const CLOCK_READINGS = 3;

/** The quickest answer tells most exactly: the server's moment lies within its round trip. */
async function readClock(client: OnceClient): Promise<ClockReading> {
  let best: ClockReading = { aheadMs: 0, uncertainMs: Number.POSITIVE_INFINITY };
  for (let at = 0; at < CLOCK_READINGS; at += 1) {
    const askedAt = Date.now();
    const [row] = await client.query(sql.CLOCK_SQL);
    const answeredAt = Date.now();
    const uncertainMs = (answeredAt - askedAt) / 2 + 1;
    if (uncertainMs >= best.uncertainMs) continue;
    best = { aheadMs: Number(row?.['now_ms']) - (askedAt + answeredAt) / 2, uncertainMs };
  }
  return best;
}

/** A pool that has one session left would let the second one wait. */
const POOLER_PATIENCE_MS = 1_500;
const LOOKS = 6;

/** A pooler answers with a process of its own making where the server names its backend. */
async function findPooler(
  client: OnceClient,
  place: ConnectionConfig,
  runtime: Runtime,
): Promise<Pooler | undefined> {
  if ((await backendOf(client)) === client.backendPid) return 'none';
  let other: OnceClient | undefined;
  try {
    return await within(runtime, POOLER_PATIENCE_MS, async () => {
      other = await connectOnce({
        application_name: 'pgxa doctor',
        connectionTimeoutMillis: POOLER_PATIENCE_MS,
        ...place,
      });
      return poolerOf([client, other]);
    });
  } catch {
    return undefined;
  } finally {
    other?.destroy();
  }
}

/** In session mode each keeps its backend; else the one gets what the other has given back, or a third one. */
async function poolerOf(sessions: readonly [OnceClient, OnceClient]): Promise<Pooler> {
  const seen = [new Set<unknown>(), new Set<unknown>()] as const;
  for (let look = 0; look < LOOKS; look += 1) {
    for (const at of [0, 1] as const) seen[at].add(await backendOf(sessions[at]));
  }
  const isShared =
    seen.some(({ size }) => size > 1) || [...seen[0]].some((pid) => seen[1].has(pid));
  return isShared ? 'transaction' : 'session';
}

async function backendOf(client: OnceClient): Promise<unknown> {
  const [row] = await client.query(sql.BACKEND_SQL);
  return row?.['pid'];
}
