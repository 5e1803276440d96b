/** What a provider lets a test do to the server, beyond connecting to it. */
export interface ServerCapabilities {
  /** stop, start, restart, kill9 */
  readonly processControl: boolean;
  /** pause, resume, signalBackend */
  readonly signals: boolean;
  /** own settings at start, and reconfigure() */
  readonly settings: boolean;
  /** createStandby() and promote() */
  readonly standby: boolean;
}

export type ProviderName = 'embedded' | 'testcontainers' | 'external';
export type StopMode = 'fast' | 'immediate';
export type Settings = Readonly<Record<string, string>>;

export interface StartOptions {
  readonly name?: string;
  readonly settings?: Settings;
  /** Embedded servers live in memory where there is room; true for a benchmark, which wants a disk. */
  readonly onDisk?: boolean;
}

/** One real PostgreSQL server, whoever runs it. */
export interface TestServer {
  /** Part of the names of all databases that were created in this run. */
  readonly runId: string;
  readonly name: string;
  readonly provider: ProviderName;
  readonly major: number;
  readonly capabilities: ServerCapabilities;

  /** As the superuser and to database `postgres` unless said otherwise. */
  connectionString(database?: string, options?: { user?: string; password?: string }): string;
  /** Creates an empty database with a name of its own and returns the name. */
  createDatabase(prefix?: string): Promise<string>;
  /** Runs one statement as superuser on a connection of its own. */
  query<T extends Record<string, unknown> = Record<string, unknown>>(
    database: string,
    text: string,
    values?: readonly unknown[],
  ): Promise<T[]>;
  /**
   * Rolls prepared transactions back and returns how many. On a server that is shared with others
   * only those in databases that this object created.
   */
  rollbackAllPrepared(): Promise<number>;

  stop(mode: StopMode): Promise<void>;
  start(): Promise<void>;
  restart(mode: StopMode): Promise<void>;
  /** SIGKILL of the postmaster and all of its children; returns when they are gone. */
  kill9(): Promise<void>;
  /** SIGSTOP of the whole process tree: a server that is hung, not dead. */
  pause(): void;
  resume(): void;
  /** Signals one process of this server (the pid is refused if it is not one). */
  signalBackend(pid: number, signal: NodeJS.Signals): void;
  /** Fast restart with these settings added to those that the server was started with. */
  reconfigure(settings: Settings): Promise<void>;
  /**
   * An asynchronous, streaming hot standby made from a cold copy; the primary is restarted for it.
   * Its application_name, for synchronous_standby_names, is its name.
   */
  createStandby(options?: StartOptions): Promise<TestServer>;
  promote(): Promise<void>;
  /** Stops the server and removes everything that it left; safe to call twice. */
  destroy(): Promise<void>;
}
