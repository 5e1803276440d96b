import pg from 'pg';

import type { QueryResult } from './client.ts';
import { ConnectionLostError } from './connection-lost.ts';
import { destroyClient, endClient } from './end.ts';

/** One command and what the server said to it. */
export interface CommandReply<Row = Record<string, unknown>> {
  readonly rows: Row[];
  readonly rowCount: number | null;
  /** First word of the command tag. */
  readonly command: string;
  /** SQLSTATEs of the notices that came with it. */
  readonly notices: readonly string[];
}

export interface Command {
  readonly text: string;
  readonly values?: readonly unknown[];
  /** Prepared once per session under this name. */
  readonly name?: string;
}

export interface DedicatedConnectionOptions {
  readonly config: pg.ClientConfig;
  /** Longest time to connect and set the session up. */
  readonly connectTimeoutMs: number;
  /** Longest wait for the reply to one command; then the connection is given up. */
  readonly commandTimeoutMs: number;
  /** Run on every new session before anything else. */
  readonly onConnect?: (run: RunCommand) => Promise<void>;
  readonly onNotification?: (channel: string, payload: string | undefined) => void;
}

export type RunCommand = <Row = Record<string, unknown>>(
  command: Command,
) => Promise<CommandReply<Row>>;

/** The answer of a standby to a command that changes something. */
const READ_ONLY = '25006';

interface Session {
  readonly client: pg.Client;
  /** Notices collected for each command in flight, oldest first: replies come in that order. */
  readonly inFlight: string[][];
  /** What is sent in this turn of the event loop is written in one go. */
  corked: boolean;
}

/** The part of a client that node-postgres does not declare. */
interface ClientInternals {
  readonly processID: number | null;
  readonly connection: {
    readonly stream: { readonly cork?: () => void; readonly uncork?: () => void };
  };
}

/**
 * One server session of our own, made on first use and made anew after it was lost. Commands are
 * pipelined (pg ≥ 8.23): each is a message of its own with its own Sync, so that one command's
 * error does not touch the next. Nothing is ever sent twice: a command whose reply is lost fails,
 * and its caller knows what that means.
 */
export class DedicatedConnection {
  readonly #options: DedicatedConnectionOptions;
  #session: Promise<Session> | undefined;
  #pending = 0;
  #closed = false;
  #opening: pg.Client | undefined;
  /** Backend whose reply did not come in time: it may hang there, and is ended with the next session. */
  #stale: number | undefined;

  constructor(options: DedicatedConnectionOptions) {
    this.#options = options;
  }

  /** Commands whose reply has not come yet. */
  get pending(): number {
    return this.#pending;
  }

  /**
   * Runs one command. Rejects with the server's error, or with an error without SQLSTATE when the
   * reply is lost or late: the command may then have been carried out, now or later.
   */
  async run<Row = Record<string, unknown>>(command: Command): Promise<CommandReply<Row>> {
    this.#pending += 1;
    try {
      return await this.#submit<Row>(await this.#connect(), command);
    } finally {
      this.#pending -= 1;
    }
  }

  /**
   * Sends several commands so that no other command of this connection comes between them; each is
   * carried out whether or not the one before it failed.
   */
  async runAdjacent<Row = Record<string, unknown>>(
    commands: readonly Command[],
  ): Promise<PromiseSettledResult<CommandReply<Row>>[]> {
    this.#pending += commands.length;
    try {
      const session = await this.#connect();
      return await Promise.allSettled(
        commands.map((command) => this.#submit<Row>(session, command)),
      );
    } catch (error) {
      return commands.map(() => ({ status: 'rejected', reason: error }));
    } finally {
      this.#pending -= commands.length;
    }
  }

  /**
   * The session has led to the wrong server: the next command makes a new one, which may lead to the right one
   * by now. Commands in flight get their replies.
   */
  renew(): void {
    const session = this.#session;
    this.#session = undefined;
    void session?.then(
      ({ client }) => endClient(client),
      () => undefined,
    );
  }

  /** Ends the session. Commands in flight fail. Later commands fail. */
  async close(): Promise<void> {
    this.#closed = true;
    // One that is still being made is not waited for: its server may not answer.
    if (this.#opening !== undefined) destroyClient(this.#opening);
    const session = this.#session;
    this.#session = undefined;
    if (session === undefined) return;
    try {
      await endClient((await session).client);
    } catch {
      // It never came up, or is gone already: there is nothing left to end.
    }
  }

  #connect(): Promise<Session> {
    if (this.#closed) return Promise.reject(new ConnectionLostError('the connection is closed'));
    this.#session ??= this.#open();
    return this.#session;
  }

  #open(): Promise<Session> {
    const { config, connectTimeoutMs, onConnect, onNotification } = this.#options;
    const client = new pg.Client({
      keepAlive: true,
      ...config,
      pipeline: true,
      connectionTimeoutMillis: connectTimeoutMs,
    });
    const session: Session = { client, inFlight: [], corked: false };
    const forget = (): void => {
      if (this.#session === opened) this.#session = undefined;
    };
    // Without a listener, a session that the server ends would end this process.
    client.on('error', () => {
      forget();
      // The server says good-bye before it closes its side; that it has closed may never be heard.
      destroyClient(client);
    });
    client.on('end', forget);
    client.on('notice', (notice) => {
      session.inFlight[0]?.push(notice.code ?? '');
    });
    if (onNotification !== undefined) {
      client.on('notification', ({ channel, payload }) => {
        onNotification(channel, payload);
      });
    }
    const opened = (async () => {
      try {
        this.#opening = client;
        await client.connect();
        await onConnect?.((command) => this.#submit(session, command));
        await this.#endStale(session);
        return session;
      } catch (error) {
        forget();
        destroyClient(client);
        throw error;
      } finally {
        if (this.#opening === client) this.#opening = undefined;
      }
    })();
    return opened;
  }

  /** Statements that nobody waits for any more must not pile up on a server that is slow to answer. */
  async #endStale(session: Session): Promise<void> {
    const stale = this.#stale;
    this.#stale = undefined;
    if (stale === undefined) return;
    try {
      await this.#submit(session, {
        text: `select pg_terminate_backend(pid) from pg_stat_activity
                where pid = $1 and state <> 'idle' and usename = current_user
                  and application_name = current_setting('application_name')`,
        values: [stale],
      });
    } catch {
      // Then the server ends it when it notices.
    }
  }

  #submit<Row>(session: Session, command: Command): Promise<CommandReply<Row>> {
    const { client, inFlight } = session;
    const notices: string[] = [];
    inFlight.push(notices);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        settle(
          new ConnectionLostError(`no reply within ${this.#options.commandTimeoutMs} ms`),
          undefined,
        );
        this.#stale = (client as unknown as ClientInternals).processID ?? undefined;
        // Whatever waits behind it would wait as long: let every command learn its fate now.
        destroyClient(client);
      }, this.#options.commandTimeoutMs);
      const settle = (error: Error | null, result: QueryResult<Row> | undefined): void => {
        clearTimeout(timer);
        const at = inFlight.indexOf(notices);
        if (at !== -1) inFlight.splice(at, 1);
        if (error !== null || result === undefined) {
          if ((error as { code?: unknown } | null)?.code === READ_ONLY) this.renew();
          reject(error ?? new ConnectionLostError('no result'));
        } else {
          const { rows, rowCount, command: tag } = result;
          resolve({ rows, rowCount, command: tag, notices });
        }
      };
      const { text, values, name } = command;
      cork(session);
      // A text is cheaper for pg than an object, which it copies.
      if (name === undefined) client.query(text, values as unknown[], settle as never);
      // With a callback it returns nothing, whatever its type says.
      else void client.query({ text, values, name } as pg.QueryConfig, settle as never);
    });
  }
}

/**
 * A decided batch sends many commands at once, and each write is a call into the system: on a busy machine the
 * dearest part of a command.
 */
function cork(session: Session): void {
  if (session.corked) return;
  const { stream } = (session.client as unknown as ClientInternals).connection;
  if (stream.cork === undefined || stream.uncork === undefined) return;
  session.corked = true;
  stream.cork();
  process.nextTick(() => {
    session.corked = false;
    stream.uncork?.();
  });
}

/** Several dedicated connections to one server; each command goes to the least loaded one. */
export class ConnectionGroup {
  readonly #connections: readonly DedicatedConnection[];

  constructor(size: number, options: DedicatedConnectionOptions) {
    this.#connections = Array.from({ length: size }, () => new DedicatedConnection(options));
  }

  run<Row = Record<string, unknown>>(command: Command): Promise<CommandReply<Row>> {
    return this.#leastLoaded().run<Row>(command);
  }

  runAdjacent<Row = Record<string, unknown>>(
    commands: readonly Command[],
  ): Promise<PromiseSettledResult<CommandReply<Row>>[]> {
    return this.#leastLoaded().runAdjacent<Row>(commands);
  }

  /** See DedicatedConnection.renew: where one of them has led, all may have. */
  renew(): void {
    for (const connection of this.#connections) connection.renew();
  }

  async close(): Promise<void> {
    await Promise.all(this.#connections.map((connection) => connection.close()));
  }

  #leastLoaded(): DedicatedConnection {
    let best: DedicatedConnection | undefined;
    for (const connection of this.#connections) {
      if (best === undefined || connection.pending < best.pending) best = connection;
    }
    if (best === undefined) throw new Error('a connection group has at least one connection');
    return best;
  }
}
