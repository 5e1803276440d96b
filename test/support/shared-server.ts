/** For vitest: the one server that all test files of a run share, started by global-setup.ts. */
import { inject } from 'vitest';
import type { TestServer } from './test-server.ts';
import { UncontrolledServer, type ServerEndpoint } from './uncontrolled-server.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    sharedServer: ServerEndpoint;
  }
}

let server: UncontrolledServer | undefined;

/** It cannot be stopped or reconfigured, others use it: startServer() gives one for that. */
export async function sharedServer(): Promise<TestServer> {
  server ??= new UncontrolledServer(
    inject('sharedServer'),
    'all test files share it; a test that needs this starts its own with startServer()',
  );
  return server;
}

/** Fresh databases on the shared server. */
export async function createDatabases(count: number, prefix?: string): Promise<string[]> {
  const shared = await sharedServer();
  return Promise.all(Array.from({ length: count }, () => shared.createDatabase(prefix)));
}
