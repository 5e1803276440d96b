/**
 * Real servers for everybody: one interface, three providers, chosen by PGXA_TEST_PROVIDER.
 * A provider that cannot be used says what is missing; no other one is tried in its place.
 */
import type { StartOptions, TestServer } from './test-server.ts';

export type {
  ProviderName,
  ServerCapabilities,
  Settings,
  StartOptions,
  StopMode,
  TestServer,
} from './test-server.ts';

export async function startServer(options: StartOptions = {}): Promise<TestServer> {
  const provider = process.env['PGXA_TEST_PROVIDER'] ?? 'embedded';
  // Loaded on demand: testcontainers alone takes half a second.
  switch (provider) {
    case 'embedded':
      return (await import('./embedded-server.ts')).EmbeddedServer.start(options);
    case 'testcontainers':
      return (await import('./testcontainers-server.ts')).startContainer(options);
    case 'external':
      return (await import('./external-server.ts')).connectExternal(options);
    default:
      throw new Error(
        `PGXA_TEST_PROVIDER must be embedded, testcontainers or external, not "${provider}"`,
      );
  }
}

let told = false;

/**
 * A server that a test may kill, hang, configure or fail over. Only the embedded provider can do all of
 * that, so it is used for these servers whatever PGXA_TEST_PROVIDER says, and says so.
 */
export async function startControlledServer(options: StartOptions = {}): Promise<TestServer> {
  const provider = process.env['PGXA_TEST_PROVIDER'] ?? 'embedded';
  if (provider !== 'embedded' && !told) {
    told = true;
    console.warn(
      `NOT ON ${provider}: servers that tests kill, hang, configure or fail over are embedded ones`,
    );
  }
  return (await import('./embedded-server.ts')).EmbeddedServer.start(options);
}
