import { EventEmitter } from 'node:events';

import type { Answer, Cell } from './postgres/replies.ts';
import type { Statement } from './postgres/statement.ts';
import { runningProcess, type Owned, type SimulatedProcess } from './process.ts';

/** One statement as the client sent it. Values stay what the program gave: encoding is pg's own business. */
export interface WireStatement {
  text: string;
  values: readonly unknown[];
  name: string | undefined;
  /** What the server has understood, once it has read it. */
  meaning?: Statement;
}

/** What goes to the server in one piece: a simple query, or everything up to one Sync. */
export interface WireUnit {
  readonly statements: readonly WireStatement[];
  /** A simple query: its transaction ends before its tag is told, not after it. */
  readonly simple: boolean;
  /** Of the statement for whose sake it is sent, once somebody has asked. */
  kind?: string;
}

/** What the server sends: event and payload as pg's parser would have emitted them, but one statement's answer whole. */
export type WireMessage =
  | readonly ['answer', Answer]
  | readonly ['backendKeyData', { readonly processID: number; readonly secretKey: number }]
  | readonly ['errorMessage', Error]
  | readonly ['notice', { readonly code: string }]
  | readonly ['readyForQuery', { readonly status: string }];

/** A client's end of a connection. */
export interface ClientEnd {
  /** A piece of the server's answer arrives: one turn of the event loop, as one chunk of a socket would. */
  receive(messages: readonly WireMessage[]): void;
  /** The other side, or the network, ends the connection. */
  lose(error: Error | undefined): void;
}

/** The way from one client to one server session. */
export interface Link {
  /** Called by the client. */
  send(unit: WireUnit): void;
  /** The client closes its side. `noticed`: the server is told. */
  close(noticed: boolean): void;
}

export interface Network {
  open(process: SimulatedProcess, client: ClientEnd, host: string): Link;
}

/** Stands in for pg's Connection: messages are objects, the order and meaning of events is pg's. */
export class SimulatedConnection extends EventEmitter implements Owned, ClientEnd {
  // Plain properties: SyncUnit hands objects derived from this one to pg's own code.
  readonly parsedStatements: Record<string, string> = {};
  readonly submittedNamedStatements: Record<string, string> = {};
  readonly ssl = false;
  readonly stream: SimulatedStream;
  readonly process: SimulatedProcess;
  readonly pending: WireStatement[] = [];
  _ending = false;
  _connecting = false;
  link: Link | undefined = undefined;

  constructor() {
    super();
    const process = runningProcess();
    if (process === undefined) throw new Error('a simulated client belongs to a simulated process');
    this.process = process;
    this.stream = new SimulatedStream(this);
  }

  connect(_port: number, host: string): void {
    this._connecting = true;
    this.process.owned.add(this);
    this.link = this.process.network.open(this.process, this, host);
  }

  startup(): void {
    // The network makes the session when it is reached.
  }

  query(text: string): void {
    // Several statements in one text are one line each of a branch; what spans lines is one, with comments perhaps.
    const texts = text.includes('\n') ? [text] : text.split('; ');
    const statements = texts.map((one) => ({ text: one, values: [], name: undefined }));
    this.transmit({ statements, simple: true });
  }

  parse({ text, name }: { text: string; name?: string }): void {
    this.pending.push({ text, values: [], name });
  }

  bind({ statement, values }: { statement?: string; values?: readonly unknown[] }): void {
    let last = this.pending.at(-1);
    if (last === undefined || (statement !== undefined && last.name !== statement)) {
      const text =
        this.parsedStatements[statement ?? ''] ?? this.submittedNamedStatements[statement ?? ''];
      if (text === undefined) throw new Error(`bound without a parse: ${statement ?? ''}`);
      last = { text, values: [], name: statement };
      this.pending.push(last);
    }
    last.values = values ?? [];
  }

  describe(): void {
    // Every reply carries its row description.
  }

  execute(): void {
    // One portal at a time, run to its end.
  }

  flush(): void {
    // Everything goes with the Sync.
  }

  close(): void {
    throw new Error('pgxa closes no statement');
  }

  sendCopyFail(): void {
    throw new Error('pgxa copies nothing');
  }

  sync(): void {
    this.transmit({ statements: this.pending.splice(0), simple: false });
  }

  ref(): void {
    // Nothing keeps a simulated process alive.
  }

  unref(): void {
    // The same.
  }

  /** Good-bye in order. */
  end(): void {
    this._ending = true;
    this.stream.destroy();
  }

  transmit(unit: WireUnit): void {
    if (this.stream.destroyed || !this.process.alive) return;
    this.link?.send(unit);
  }

  receive(messages: readonly WireMessage[]): void {
    this.process.deliver(() => {
      for (const [event, payload] of messages) {
        if (this.stream.destroyed) return;
        if (event === 'answer') this.#emitAnswer(payload);
        else this.emit(event, payload);
      }
    });
  }

  #emitAnswer({ tag, fields, rows }: Answer): void {
    if (fields !== undefined) {
      this.emit('rowDescription', { fields });
      for (const row of rows ?? []) this.emit('dataRow', { fields: row.map(textOf) });
    }
    this.emit('commandComplete', { text: tag });
  }

  lose(error: Error | undefined): void {
    this.process.deliver(() => {
      if (this.stream.destroyed) return;
      this.stream.shut();
      if (error !== undefined && !(this._ending && isReset(error))) this.emit('error', error);
      this.emit('end');
    });
  }

  abandon(noticed: boolean): void {
    this.stream.shut();
    this.link?.close(noticed);
  }
}

export function textOf(cell: Cell): string | null {
  return cell === null || typeof cell === 'string' ? cell : JSON.stringify(cell.json);
}

function isReset(error: Error): boolean {
  return (error as { code?: unknown }).code === 'ECONNRESET';
}

/** The part of a socket that pg and pgxa look at. */
class SimulatedStream {
  writable = true;
  destroyed = false;
  readonly #connection: SimulatedConnection;

  constructor(connection: SimulatedConnection) {
    this.#connection = connection;
  }

  write(): boolean {
    // SyncUnit writes what its statements have put in here, which is nothing: they went with the Sync.
    return true;
  }

  shut(): void {
    this.writable = false;
    this.destroyed = true;
    this.#connection.process.owned.delete(this.#connection);
  }

  destroy(error?: Error): void {
    if (this.destroyed) return;
    this.shut();
    const connection = this.#connection;
    connection.link?.close(true);
    connection.process.scheduler.after(0, () => {
      connection.process.deliver(() => {
        if (error !== undefined) connection.emit('error', error);
        connection.emit('end');
      });
    });
  }
}
