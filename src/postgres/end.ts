import type pg from 'pg';

/** A server that hangs never closes its side. */
const END_TIMEOUT_MS = 1_000;

/** Ends a client; one whose server does not answer is cut off. Never rejects. */
export async function endClient(client: pg.Client | pg.PoolClient): Promise<void> {
  const timer = setTimeout(() => {
    destroyClient(client);
  }, END_TIMEOUT_MS);
  try {
    await client.end();
  } catch {
    // It is gone already.
  } finally {
    clearTimeout(timer);
  }
}

/** Cuts a client off without a word to the server. What is in flight fails. */
export function destroyClient(client: pg.Client | pg.PoolClient): void {
  const { connection } = client as unknown as {
    readonly connection: { readonly stream: { destroy: () => void } };
  };
  connection.stream.destroy();
}

/** The same for a client of whatever pool, if it is one of pg's. */
export function cutOff(client: object): void {
  const { connection } = client as {
    readonly connection?: { readonly stream?: { readonly destroy?: () => void } };
  };
  connection?.stream?.destroy?.();
}
