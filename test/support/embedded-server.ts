import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findInstallation, type Installation } from './embedded-binaries.ts';
import { copyDirectory, copyTemplate, writeSettings } from './embedded-template.ts';
import { freePort } from './free-port.ts';
import { Postmaster } from './postmaster.ts';
import { makeServerDirectory, removeServerDirectory } from './server-directory.ts';
import { newRunId, SqlServer } from './sql-server.ts';
import type { Settings, StartOptions, StopMode, TestServer } from './test-server.ts';
import { waitFor } from './wait.ts';

const defaultSettings: Settings = {
  fsync: 'on',
  max_prepared_transactions: '64',
  max_connections: '100',
  shared_buffers: '32MB',
  // In the data directory and not in /dev/shm: small in containers, and a killed server leaves it.
  dynamic_shared_memory_type: 'mmap',
  listen_addresses: '127.0.0.1',
  timezone: 'UTC',
  log_line_prefix: '%m [%p] %q%u@%d ',
};

const startTimeoutMs = 30_000;
const stopTimeoutMs = 30_000;

interface Parts {
  readonly name: string;
  readonly installation: Installation;
  readonly directory: string;
  readonly port: number;
  readonly settings: Settings;
}

/** A server from the binaries on this machine, run directly: no pg_ctl, no container, no root. */
export class EmbeddedServer extends SqlServer implements TestServer {
  readonly provider = 'embedded';
  readonly major: number;
  readonly capabilities = { processControl: true, signals: true, settings: true, standby: true };
  /** Holds the data directory, the socket and the server's log; gone after destroy(). */
  readonly directory: string;
  readonly port: number;
  readonly #installation: Installation;
  #settings: Settings;
  #postmaster: Postmaster | undefined;
  #destroyed = false;

  private constructor({ name, installation, directory, port, settings }: Parts) {
    super(name, `postgresql://postgres@127.0.0.1:${port}/postgres`);
    this.major = installation.major;
    this.directory = directory;
    this.port = port;
    this.#installation = installation;
    this.#settings = settings;
  }

  static async start(options: StartOptions = {}): Promise<EmbeddedServer> {
    const installation = await findInstallation();
    return EmbeddedServer.#create(installation, options, defaultSettings, (data) =>
      copyTemplate(installation, data),
    );
  }

  static async #create(
    installation: Installation,
    options: StartOptions,
    defaults: Settings,
    fill: (data: string) => Promise<void>,
  ): Promise<EmbeddedServer> {
    const name = options.name ?? `server_${newRunId()}`;
    const directory = await makeServerDirectory(installation.user, options.onDisk ?? false);
    const settings = { ...defaults, ...options.settings };
    const server = new EmbeddedServer({
      name,
      installation,
      directory,
      port: await freePort(),
      settings,
    });
    try {
      await fill(server.#data);
      await server.start();
      return server;
    } catch (error) {
      await server.destroy();
      throw error;
    }
  }

  get #data(): string {
    return join(this.directory, 'data');
  }

  /** The postmaster's pid; children have pids of their own, see pg_stat_activity. */
  get pid(): number {
    return this.#running().pid;
  }

  async start(): Promise<void> {
    if (this.#destroyed) throw new Error(`server ${this.name} was destroyed`);
    if (this.#postmaster !== undefined && this.#postmaster.ended === undefined) {
      throw new Error(`server ${this.name} is already running`);
    }
    await writeSettings(this.#installation, this.#data, {
      ...this.#settings,
      port: String(this.port),
      unix_socket_directories: this.directory,
    });
    const log = join(this.directory, 'server.log');
    const postmaster = new Postmaster(this.#installation, this.#data, log);
    this.#postmaster = postmaster;
    let death: string | undefined;
    const ready = async (): Promise<boolean> => {
      death = postmaster.ended;
      if (death !== undefined) return true;
      await this.query('postgres', 'select 1');
      return true;
    };
    const describe = async (what: string, cause?: unknown): Promise<Error> =>
      new Error(`server ${this.name} ${what}; its log ends with:\n${await tail(log)}`, { cause });
    try {
      await waitFor(`server ${this.name}`, ready, { timeoutMs: startTimeoutMs });
    } catch (error) {
      throw await describe(`was not ready within ${startTimeoutMs} ms`, error);
    }
    if (death !== undefined) throw await describe(`did not start (${death})`);
  }

  async stop(mode: StopMode): Promise<void> {
    await this.#running().stop(mode === 'fast' ? 'SIGINT' : 'SIGQUIT', stopTimeoutMs);
    this.#postmaster = undefined;
  }

  async restart(mode: StopMode): Promise<void> {
    await this.stop(mode);
    await this.start();
  }

  async kill9(): Promise<void> {
    await this.#running().kill();
    this.#postmaster = undefined;
  }

  pause(): void {
    this.#running().pause();
  }

  resume(): void {
    this.#running().resume();
  }

  signalBackend(pid: number, signal: NodeJS.Signals): void {
    this.#running().signalBackend(pid, signal);
  }

  async reconfigure(settings: Settings): Promise<void> {
    this.#settings = { ...this.#settings, ...settings };
    await this.restart('fast');
  }

  async createStandby(options: StartOptions = {}): Promise<EmbeddedServer> {
    const name = options.name ?? `standby_${newRunId()}`;
    const source = `host=127.0.0.1 port=${this.port} user=postgres application_name=${name}`;
    const settings = { primary_conninfo: source, ...options.settings };
    await this.stop('fast');
    const fill = async (data: string): Promise<void> => {
      try {
        await copyDirectory(this.#data, data);
        await writeFile(join(data, 'standby.signal'), '');
      } finally {
        await this.start();
      }
    };
    const standby = await EmbeddedServer.#create(
      this.#installation,
      { ...options, name, settings },
      this.#settings,
      fill,
    );
    await waitFor(`standby ${name} to stream from ${this.name}`, () => this.#streamsTo(name));
    return standby;
  }

  async #streamsTo(standby: string): Promise<boolean> {
    const rows = await this.query(
      'postgres',
      `select 1 from pg_stat_replication where application_name = $1 and state = 'streaming'`,
      [standby],
    );
    return rows.length > 0;
  }

  async promote(): Promise<void> {
    const [row] = await this.query('postgres', 'select pg_promote(true, 30) as promoted');
    if (row?.['promoted'] !== true)
      throw new Error(`standby ${this.name} was not promoted in 30 s`);
  }

  async destroy(): Promise<void> {
    if (this.#destroyed) return;
    this.#destroyed = true;
    const postmaster = this.#postmaster;
    try {
      await postmaster?.stop('SIGQUIT', stopTimeoutMs);
    } catch {
      await postmaster?.kill();
    }
    await removeServerDirectory(this.directory);
  }

  /** The whole server is ours. */
  protected override mayCleanUp(): boolean {
    return true;
  }

  #running(): Postmaster {
    if (this.#postmaster?.ended !== undefined || this.#postmaster === undefined) {
      throw new Error(`server ${this.name} is not running`);
    }
    return this.#postmaster;
  }
}

async function tail(file: string): Promise<string> {
  const handle = await open(file);
  try {
    const { size } = await handle.stat();
    const length = Math.min(size, 4_000);
    const { buffer } = await handle.read(Buffer.alloc(length), 0, length, size - length);
    return buffer.toString('utf8');
  } finally {
    await handle.close();
  }
}
