import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

import type { ConnectionSettings } from '../postgres/pool.ts';
import { SAFE_PATH_SQL } from '../postgres/safe-path.ts';
import type { PendingMigration } from '../public-surface.ts';
import {
  assertSchemaVersion,
  connectToLog,
  migrationsDirectory,
  readSchemaVersion,
  schemaVersion,
} from './migrate.ts';

/** What migrateDecisionLog() would run now, in its order. Changes nothing. */
export async function pendingMigrations(
  settings: ConnectionSettings,
): Promise<readonly PendingMigration[]> {
  const client = await connectToLog(settings);
  let found: number;
  try {
    await client.query(SAFE_PATH_SQL);
    found = (await readSchemaVersion(client)) ?? 0;
  } finally {
    await client.end();
  }
  if (found > schemaVersion()) assertSchemaVersion(found);
  const directory = migrationsDirectory();
  return readdirSync(directory)
    .map((file) => ({ id: Number.parseInt(file, 10), file }))
    .filter(({ id, file }) => file.endsWith('.sql') && id > found)
    .sort((a, b) => a.id - b.id)
    .map(({ id, file }) => ({ id, file, sql: readFileSync(join(directory, file), 'utf8') }));
}
