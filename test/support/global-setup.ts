import type { TestProject } from 'vitest/node';
import { startServer } from './servers.ts';
import { newRunId } from './sql-server.ts';
import type {} from './shared-server.ts';

/** Starts the shared server before the first test file and removes it after the last one. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await startServer({
    name: `shared_${newRunId()}`,
    settings: { max_prepared_transactions: '200', max_connections: '300' },
  });
  project.provide('sharedServer', {
    name: server.name,
    provider: server.provider,
    major: server.major,
    dsn: server.connectionString(),
    runId: server.runId,
  });
  return () => server.destroy();
}
