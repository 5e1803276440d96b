import pg from 'pg';

import { destroyClient, endClient } from './end.ts';
import type { ConnectionSettings } from './pool.ts';

const CONNECT_TIMEOUT_MS = 10_000;

/** One plain session for a task at start-up: connect, ask, end. */
export interface OnceClient {
  query(text: string, values?: readonly unknown[]): Promise<Record<string, unknown>[]>;
  /** For postgres-migrations, which wants a single, connected client. */
  readonly raw: pg.Client;
  /** The backend that the server named when the session began; a pooler names one of its own making. */
  readonly backendPid: number | undefined;
  destroy(): void;
  /** Ends the session; does not wait for a server that does not answer. */
  end(): Promise<void>;
}

export async function connectOnce(settings: ConnectionSettings): Promise<OnceClient> {
  const client = new pg.Client({
    application_name: 'pgxa',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    ...settings,
  });
  // The error of a session that ends is told by its next query.
  client.on('error', () => undefined);
  await client.connect();
  return {
    query: async (text, values) =>
      (await client.query<Record<string, unknown>>(text, values === undefined ? [] : [...values]))
        .rows,
    raw: client,
    backendPid: (client as unknown as { processID: number | null }).processID ?? undefined,
    destroy: () => {
      destroyClient(client);
    },
    end: () => endClient(client),
  };
}
