import { randomBytes } from 'node:crypto';
import pg from 'pg';
import {
  GenericContainer,
  getContainerRuntimeClient,
  type StartedTestContainer,
} from 'testcontainers';
import { wantedMajor } from './embedded-binaries.ts';
import { freePort } from './free-port.ts';
import { newRunId, serverMajor, SqlServer } from './sql-server.ts';
import type { Settings, StartOptions, StopMode, TestServer } from './test-server.ts';
import { waitFor } from './wait.ts';

const defaultSettings: Settings = { max_prepared_transactions: '64', max_connections: '100' };

/** Every container of the tests has this label: docker ps --filter label=pgxa.test */
const label = 'pgxa.test';

/**
 * The same access rules as the embedded provider's: all trusted, except those in the group role.
 * Trust is for the engine's own networks; who comes from elsewhere needs a password.
 */
const hostBasedAuthentication = [
  'local all all trust',
  'host all +pgxa_needs_password all scram-sha-256',
  'host all all samenet trust',
  'host all all all scram-sha-256',
];

export async function startContainer(options: StartOptions = {}): Promise<TestServer> {
  const image = process.env['PGXA_TEST_IMAGE'] ?? `postgres:${wantedMajor()}`;
  const name = options.name ?? `container_${newRunId()}`;
  const password = randomBytes(12).toString('hex');
  // A fixed port, because Docker gives a container that is started again another one.
  const port = await freePort();
  const container = await runContainer(image, name, port, password);
  const dsn = `postgresql://postgres:${password}@${container.getHost()}:${port}/postgres`;
  const server = new ContainerServer(name, dsn, container);
  try {
    await server.setUp({ ...defaultSettings, ...options.settings });
    return server;
  } catch (error) {
    await server.destroy();
    throw error;
  }
}

async function runContainer(
  image: string,
  name: string,
  port: number,
  password: string,
): Promise<StartedTestContainer> {
  await getContainerRuntimeClient().catch((cause: unknown) => {
    throw new Error(
      `PGXA_TEST_PROVIDER=testcontainers finds no Docker engine: ${String(cause)}
Start one and set DOCKER_HOST if it is not at the usual place, or run scripts/testcontainers-slice.sh,
which starts one, or leave PGXA_TEST_PROVIDER unset to use the embedded servers.`,
      { cause },
    );
  });
  try {
    return await new GenericContainer(image)
      .withEnvironment({ POSTGRES_PASSWORD: password })
      .withLabels({ [label]: name })
      .withExposedPorts({ container: 5432, host: port })
      .withStartupTimeout(60_000)
      .start();
  } catch (cause) {
    throw new Error(
      `cannot run a container of image ${image}: ${String(cause)}
If the image cannot be pulled here: docker/postgres-image.sh builds one, to be used with
PGXA_TEST_IMAGE=pgxa/postgres:15 and (its helper cannot be pulled either)
TESTCONTAINERS_RYUK_DISABLED=true. scripts/testcontainers-slice.sh does all of this.`,
      { cause },
    );
  }
}

class ContainerServer extends SqlServer implements TestServer {
  readonly provider = 'testcontainers';
  // The engine freezes and signals only asynchronously and by other pids, and a standby would need
  // the files of a stopped container: tests of those use the embedded provider.
  readonly capabilities = { processControl: true, signals: false, settings: true, standby: false };
  readonly #container: StartedTestContainer;
  #major = 0;
  #destroyed = false;

  constructor(name: string, dsn: string, container: StartedTestContainer) {
    super(name, dsn);
    this.#container = container;
  }

  get major(): number {
    return this.#major;
  }

  async setUp(settings: Settings): Promise<void> {
    await this.#ready();
    this.#major = await serverMajor(this);
    await this.query('postgres', 'create role pgxa_needs_password nologin');
    await this.#replaceHostBasedAuthentication();
    await this.reconfigure(settings);
  }

  /** Nobody else can write into the container of any image, but its superuser can. */
  async #replaceHostBasedAuthentication(): Promise<void> {
    const rows = await this.query<{ hba_file: string }>('postgres', 'show hba_file');
    const file = pg.escapeLiteral(rows[0]?.hba_file ?? '');
    const lines = hostBasedAuthentication.map((line) => `(${pg.escapeLiteral(line)})`).join(', ');
    await this.query('postgres', `copy (values ${lines}) to ${file}`);
  }

  async reconfigure(settings: Settings): Promise<void> {
    for (const [name, value] of Object.entries(settings)) {
      await this.query(
        'postgres',
        `alter system set ${pg.escapeIdentifier(name)} = ${pg.escapeLiteral(value)}`,
      );
    }
    await this.restart('fast');
  }

  async start(): Promise<void> {
    await (await this.#engineContainer()).start();
    await this.#ready();
  }

  async stop(mode: StopMode): Promise<void> {
    await this.#end(mode === 'fast' ? 'SIGINT' : 'SIGQUIT');
  }

  async restart(mode: StopMode): Promise<void> {
    await this.stop(mode);
    await this.start();
  }

  /** The server is process 1 of its container: all others die with it. */
  async kill9(): Promise<void> {
    await this.#end('SIGKILL');
  }

  pause(): void {
    throw this.#refusal('pause');
  }
  resume(): void {
    throw this.#refusal('resume');
  }
  signalBackend(): void {
    throw this.#refusal('signalBackend');
  }
  async createStandby(): Promise<TestServer> {
    throw this.#refusal('createStandby');
  }
  async promote(): Promise<void> {
    throw this.#refusal('promote');
  }

  async destroy(): Promise<void> {
    if (this.#destroyed) return;
    this.#destroyed = true;
    await this.#container.stop({ remove: true, removeVolumes: true, timeout: 0 });
  }

  protected override mayCleanUp(): boolean {
    return true;
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const container = await this.#engineContainer();
    await container.kill({ signal });
    await waitFor(
      `the end of container ${this.name}`,
      async () => !(await container.inspect()).State.Running,
      { timeoutMs: 30_000, intervalMs: 50 },
    );
  }

  /** testcontainers itself can restart a container, but not leave it stopped. */
  async #engineContainer() {
    return (await getContainerRuntimeClient()).container.getById(this.#container.getId());
  }

  async #ready(): Promise<void> {
    await waitFor(
      `server ${this.name} in its container`,
      () => this.query('postgres', 'select 1 where not pg_is_in_recovery()'),
      { timeoutMs: 60_000, intervalMs: 50 },
    );
  }

  #refusal(what: string): Error {
    return new Error(`${what}() is not possible with PGXA_TEST_PROVIDER=testcontainers`);
  }
}
