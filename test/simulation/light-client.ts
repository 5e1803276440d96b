/**
 * Stands in for pg's client and its connection at once. What it does, in which order and in which turn of the event
 * loop, is what pg does, so that a schedule has the same trace with either (simulation.test.ts): pg itself runs
 * in a share of the schedules, and this in the others, because a third of their time went into pg.
 */
import { Emitter } from './emitter.ts';
import { LightQuery, type QueryCallback, type QueryConfig } from './light-query.ts';
import type { UnitStep } from '../../src/postgres/unit-steps.ts';
import type { Answer } from './postgres/replies.ts';
import { runningProcess, type Owned, type SimulatedProcess } from './process.ts';
import { textOf, type ClientEnd, type Link, type WireMessage, type WireUnit } from './wire.ts';

/** What takes the reply: a query, or SyncUnit, which has one for each of its steps. */
interface Receiver {
  readonly steps?: readonly UnitStep[];
  readonly currentStep?: UnitStep | undefined;
  readonly isSimple?: boolean;
  handleDataRow?(message: { readonly fields: readonly (string | null)[] }): void;
  handleCommandComplete(
    answer: Answer | { readonly text: string },
    connection: LightConnection,
  ): void;
  handleError(error: Error, connection: LightConnection): void;
  handleReadyForQuery(connection: LightConnection): void;
}

interface LightClientConfig {
  readonly host?: string;
  readonly pipeline?: boolean;
  readonly connectionTimeoutMillis?: number;
}

type ConnectCallback = (error: Error | null, client?: LightClient) => void;

export class LightClient extends Emitter implements Owned, ClientEnd {
  readonly process: SimulatedProcess;
  readonly connection: LightConnection;
  link: Link | undefined = undefined;
  pipeline: boolean;
  processID: number | null = null;
  /** pg-pool looks at these two. */
  _queryable = true;
  _ending = false;
  readonly #config: LightClientConfig;
  #isStarted = false;
  #isConnecting = false;
  #isConnected = false;
  #hasEnded = false;
  #hasFailedToConnect = false;
  #onConnected: ConnectCallback | undefined;
  #connectTimer: ReturnType<typeof setTimeout> | undefined;
  #status: string | null = null;
  #isReady = false;
  #hasExecuted = false;
  #active: Receiver | undefined;
  readonly #queue: Receiver[] = [];
  readonly #sent: Receiver[] = [];

  constructor(config: LightClientConfig = {}) {
    super();
    const process = runningProcess();
    if (process === undefined) throw new Error('a simulated client belongs to a simulated process');
    this.process = process;
    this.#config = config;
    this.pipeline = config.pipeline === true;
    this.connection = new LightConnection(this);
  }

  getTransactionStatus(): string | null {
    return this.#status;
  }

  connect(callback?: ConnectCallback): Promise<LightClient> | undefined {
    if (callback !== undefined) {
      this.#connect(callback);
      return undefined;
    }
    return new Promise((resolve, reject) => {
      this.#connect((error) => {
        if (error === null) resolve(this);
        else reject(error);
      });
    });
  }

  query(
    config: QueryConfig | string | Receiver,
    values?: readonly unknown[] | QueryCallback,
    callback?: QueryCallback,
  ): unknown {
    if (typeof config === 'object' && 'handleReadyForQuery' in config) {
      this.#enqueue(config);
      return config;
    }
    const query = new LightQuery(config, values, callback);
    let result: unknown;
    if (query.callback === undefined) {
      // Known to the caller after as many turns as with pg, which mends the stack of the error.
      result = new Promise((resolve, reject) => {
        query.callback = (error, value) => {
          if (error === null) resolve(value);
          else reject(error);
        };
      }).catch(rethrow);
    }
    this.#enqueue(query);
    return result;
  }

  end(callback?: () => void): Promise<void> | undefined {
    this._ending = true;
    const { connection } = this;
    if (!this.#isStarted || this.#hasEnded) {
      callback?.();
      return callback === undefined ? Promise.resolve() : undefined;
    }
    const waits = this.#active !== undefined || this.#sent.length > 0 || this.#queue.length > 0;
    const destroy = (): void => {
      connection.stream.destroy();
    };
    if (this._queryable && this.pipeline && waits) this.once('drain', destroy);
    else destroy();
    if (callback !== undefined) {
      connection.once('end', callback);
      return undefined;
    }
    return new Promise((resolve) => {
      connection.once('end', resolve);
    });
  }

  receive(messages: readonly WireMessage[]): void {
    this.process.deliver(() => {
      for (const message of messages) {
        if (this.connection.stream.destroyed) return;
        this.#handle(message);
      }
    });
  }

  lose(error: Error | undefined): void {
    this.process.deliver(() => {
      if (this.connection.stream.destroyed) return;
      this.connection.stream.shut();
      this.finish(error);
    });
  }

  abandon(noticed: boolean): void {
    this.connection.stream.shut();
    this.link?.close(noticed);
  }

  /** The connection has ended. */
  finish(error: Error | undefined): void {
    if (this.#isStarted) {
      if (error !== undefined) this.#handleErrorEvent(error);
      this.#handleEnd();
    }
    this.connection.emit('end');
  }

  #connect(callback: ConnectCallback): void {
    this.#onConnected = callback;
    this.#isStarted = true;
    this.#isConnecting = true;
    const { connectionTimeoutMillis = 0, host = '' } = this.#config;
    if (connectionTimeoutMillis > 0) {
      this.#connectTimer = setTimeout(() => {
        this.connection.stream.destroy(new Error('timeout expired'));
      }, connectionTimeoutMillis);
    }
    this.process.owned.add(this);
    this.link = this.process.network.open(this.process, this, host);
  }

  #handle([event, payload]: WireMessage): void {
    switch (event) {
      case 'answer':
        this.#handleAnswer(payload);
        return;
      case 'readyForQuery':
        this.#handleReady(payload.status);
        this.connection.emit('readyForQuery');
        return;
      case 'notice':
        this.emit('notice', payload);
        return;
      case 'errorMessage':
        this.#handleErrorMessage(payload);
        return;
      case 'backendKeyData':
        this.processID = payload.processID;
    }
  }

  #handleAnswer(answer: Answer): void {
    const active = this.#active;
    const step = active?.currentStep;
    if (active === undefined) return;
    if (step === undefined || 'query' in step) {
      active.handleCommandComplete(answer, this.connection);
      return;
    }
    const [row] = answer.rows ?? [];
    if (row !== undefined) active.handleDataRow?.({ fields: row.map(textOf) });
    active.handleCommandComplete({ text: answer.tag }, this.connection);
  }

  #handleReady(status: string): void {
    if (this.#isConnecting) {
      this.#isConnecting = false;
      this.#isConnected = true;
      clearTimeout(this.#connectTimer);
      this.#onConnected?.(null, this);
      this.#onConnected = undefined;
    }
    const active = this.#active;
    this.#active = undefined;
    this.#status = status;
    this.#isReady = true;
    active?.handleReadyForQuery(this.connection);
    this.#pulse();
  }

  #handleErrorMessage(error: Error): void {
    const active = this.#active;
    if (this.#isConnecting || active === undefined) {
      this.#handleErrorEvent(error);
      return;
    }
    this.#active = undefined;
    active.handleError(error, this.connection);
  }

  #handleErrorEvent(error: Error): void {
    if (this.#isConnecting) {
      if (this.#hasFailedToConnect) return;
      this.#hasFailedToConnect = true;
      clearTimeout(this.#connectTimer);
      this.#onConnected?.(error);
      return;
    }
    this._queryable = false;
    this.#failAll(error);
    this.emit('error', error);
  }

  #handleEnd(): void {
    clearTimeout(this.#connectTimer);
    this.#hasEnded = true;
    const isAtWork = this.#active !== undefined || this.#sent.length + this.#queue.length > 0;
    // Most connections end with nobody to tell it to, and an error is dear.
    if (isAtWork || !this._ending) this.#tellEnd();
    process.nextTick(() => this.emit('end'));
  }

  #tellEnd(): void {
    const how = this._ending ? 'Connection terminated' : 'Connection terminated unexpectedly';
    const error = new Error(how);
    this.#failAll(error);
    if (this._ending || this.#hasFailedToConnect) return;
    if (this.#isConnecting) this.#onConnected?.(error);
    else this.#handleErrorEvent(error);
  }

  #failAll(error: Error): void {
    const failing = [
      ...(this.#active === undefined ? [] : [this.#active]),
      ...this.#sent.splice(0),
      ...this.#queue.splice(0),
    ];
    this.#active = undefined;
    for (const query of failing) this.#failLater(query, error);
  }

  #failLater(query: Receiver, error: Error): void {
    process.nextTick(() => {
      query.handleError(error, this.connection);
    });
  }

  #enqueue(query: Receiver): void {
    if (!this._queryable) {
      const lost = 'Client has encountered a connection error and is not queryable';
      this.#failLater(query, new Error(lost));
    } else if (this._ending) {
      this.#failLater(query, new Error('Client was closed and is not queryable'));
    } else {
      this.#queue.push(query);
      this.#pulse();
    }
  }

  #pulse(): void {
    if (this.pipeline) {
      this.#pulsePipeline();
      return;
    }
    if (!this.#isReady) return;
    this.#active = this.#queue.shift();
    if (this.#active !== undefined) {
      this.#isReady = false;
      this.#hasExecuted = true;
      this.#submit(this.#active);
    } else if (this.#hasExecuted) this.emit('drain');
  }

  #pulsePipeline(): void {
    if (!this.#isConnected || !this._queryable) return;
    for (let query = this.#queue.shift(); query !== undefined; query = this.#queue.shift()) {
      this.#hasExecuted = true;
      this.#submit(query);
      this.#sent.push(query);
    }
    if (this.#isReady && this.#active === undefined && this.#sent.length > 0) {
      this.#active = this.#sent.shift();
      this.#isReady = false;
    }
    if (this.#active === undefined && this.#sent.length === 0 && this.#hasExecuted) {
      this.emit('drain');
    }
  }

  #submit(query: Receiver): void {
    if (this.connection.stream.destroyed || !this.process.alive) return;
    this.link?.send(unitOf(query));
  }
}

function unitOf(query: Receiver): WireUnit {
  if (query instanceof LightQuery) {
    return { statements: [statementOf(query.config)], simple: query.isSimple };
  }
  const statements = (query.steps ?? []).map((step) =>
    statementOf('query' in step ? (step.query as QueryConfig) : step),
  );
  return { statements, simple: query.isSimple === true };
}

function statementOf({ text, values, name }: QueryConfig): WireUnit['statements'][number] {
  return { text, values: values ?? [], name };
}

function rethrow(error: unknown): never {
  throw error;
}

/** pg's Connection, as far as others than its client look at it. */
class LightConnection extends Emitter {
  readonly stream: LightStream;

  constructor(client: LightClient) {
    super();
    this.stream = new LightStream(client);
  }
}

class LightStream {
  destroyed = false;
  readonly #client: LightClient;

  constructor(client: LightClient) {
    this.#client = client;
  }

  get writable(): boolean {
    return !this.destroyed;
  }

  shut(): void {
    this.destroyed = true;
    this.#client.process.owned.delete(this.#client);
  }

  destroy(error?: Error): void {
    if (this.destroyed) return;
    this.shut();
    const client = this.#client;
    client.link?.close(true);
    client.process.scheduler.after(0, () => {
      client.process.deliver(() => {
        client.finish(error);
      });
    });
  }
}
