import pg from 'pg';

import type { PoolLike } from './client.ts';
import { destroyClient } from './end.ts';

/** Where a database is: a connection string, or pg's own settings. */
export type ConnectionSettings = pg.ClientConfig;

/** pg's default for `max`. */
const POOL_MAX_DEFAULT = 10;

/** A pool of our own, with a way to end it whatever its servers do. */
export interface OwnPool {
  readonly pool: pg.Pool;
  /** Ends the pool; clients that are not back, or do not end, in this time are cut off. */
  end(timeoutMs: number): Promise<void>;
}

/** A pool that never ends the process because of an idle connection that the server closed. */
export function createPool(settings: pg.PoolConfig): OwnPool {
  const pool = new pg.Pool(settings);
  const clients = new Set<pg.PoolClient>();
  // The pool has removed the client already; the next checkout makes a new one.
  pool.on('error', () => undefined);
  pool.on('connect', (client) => clients.add(client));
  hearErrors(pool);
  pool.on('remove', (client) => clients.delete(client));
  return {
    pool,
    end: async (timeoutMs) => {
      const timer = setTimeout(() => {
        for (const client of clients) destroyClient(client);
      }, timeoutMs);
      // pg counts idle clients as gone before their sockets are closed.
      const ended = pool.end().then(async () => {
        while (clients.size > 0) await new Promise((resolve) => pool.once('remove', resolve));
      });
      const allCutOff = new Promise<void>((resolve) =>
        setTimeout(resolve, timeoutMs + 100).unref(),
      );
      await Promise.race([ended, allCutOff]);
      clearTimeout(timer);
    },
  };
}

/**
 * A new client's session may be ended in the very moment in which the pool hands it out: between the
 * pool's own listener and that of the branch nobody would hear it, and an unheard error ends the process.
 */
export function hearErrors(pool: PoolLike): void {
  const { on } = pool as {
    on?: (event: string, listener: (client: pg.PoolClient) => void) => void;
  };
  on?.call(pool, 'connect', (client) => {
    client.on('error', () => undefined);
  });
}

/** How many clients the pool can hand out at once. */
export function poolMax(pool: PoolLike): number {
  const max = (pool.options as { readonly max?: unknown } | undefined)?.max;
  return typeof max === 'number' && max > 0 ? max : POOL_MAX_DEFAULT;
}

/**
 * The settings for connections beside the pool, to the same server and role. Undefined when the pool
 * does not tell them (it is not pg's own Pool). Pool-only settings are left out.
 */
export function settingsOfPool(pool: PoolLike): ConnectionSettings | undefined {
  if (pool.options === undefined) return undefined;
  const options = pool.options as Readonly<Record<string, unknown>>;
  const picked: Record<string, unknown> = {};
  for (const key of CLIENT_SETTINGS) {
    // password and ssl.key are not enumerable, so no spread would copy them
    const value = options[key];
    if (value !== undefined) picked[key] = value;
  }
  return picked;
}

const CLIENT_SETTINGS = [
  'connectionString',
  'host',
  'port',
  'user',
  'password',
  'database',
  'ssl',
  'sslnegotiation',
  'enableChannelBinding',
  'keepAlive',
  'keepAliveInitialDelayMillis',
  'stream',
  'options',
] as const;
