import pg from 'pg';

import type { QueryConfig, QueryResult } from './client.ts';
import { ConnectionLostError } from './connection-lost.ts';

/** The part of pg's wire connection that a Submittable is handed (as pg-cursor uses it). */
interface WireConnection {
  readonly stream: {
    readonly writable: boolean;
    readonly destroyed: boolean;
    write(bytes: Uint8Array): unknown;
  };
  on(event: 'readyForQuery' | 'end', listener: () => void): unknown;
  removeListener(event: 'readyForQuery' | 'end', listener: () => void): unknown;
  sync(): void;
}

/** pg's Query, as far as it is a receiver of protocol messages. */
interface MessageReceiver {
  callback: (error: Error | null, result?: QueryResult) => void;
  submit(connection: WireConnection): Error | null | undefined;
  handleRowDescription(message: unknown): void;
  handleDataRow(message: unknown): void;
  handleCommandComplete(message: unknown, connection: WireConnection): void;
  handleReadyForQuery(connection: WireConnection): void;
  handleEmptyQuery(connection: WireConnection): void;
}

export interface UnitStep {
  readonly query: QueryConfig;
  /** The result, once the server has completed this step. */
  result?: QueryResult;
  /** SQLSTATEs of the notices that came while the server worked on this step. */
  readonly notices: string[];
}

export function unitStep(text: string, values?: readonly unknown[]): UnitStep {
  return { query: { text, values }, notices: [] };
}

/**
 * Several statements in one round trip and under one Sync of the extended protocol
 * (https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-PIPELINING).
 *
 * The single Sync is what makes it safe to send a statement behind its BEGIN without waiting: if
 * BEGIN fails, the server skips everything up to the Sync. Pipelined queries with a Sync each, which
 * is what pg's `pipeline` option sends, would run the statement outside of any transaction.
 *
 * Give it to `client.query()`; then await `done`. `done` rejects with the first error; the steps
 * before it have their results.
 */
export class SyncUnit {
  readonly steps: readonly UnitStep[];
  readonly done: Promise<void>;
  /** pg wraps the callback of a Submittable when query_timeout is set. */
  callback: (error: Error | null | undefined) => void;
  readonly #receivers: MessageReceiver[];
  #at = 0;
  #settled = false;
  #stopListening: (() => void) | undefined;
  /** A value that could not be bound, or a row that a type parser could not read. */
  #clientError: Error | undefined;

  constructor(steps: readonly UnitStep[], types?: unknown) {
    this.steps = steps;
    this.#receivers = steps.map((step) => this.#receiverFor(step, types));
    let settle: (error: Error | null | undefined) => void = () => undefined;
    this.done = new Promise((resolve, reject) => {
      settle = (error) => {
        if (error === null || error === undefined) resolve();
        else reject(error);
      };
    });
    this.callback = settle;
  }

  /** Settles a unit whose session was cut off: an answer may never come, nor an end. */
  giveUp(): void {
    this.#stopListening?.();
    this.#settle(new ConnectionLostError('the session was given up'));
  }

  /** The step that the server is working on: notices that come now belong to it. */
  get currentStep(): UnitStep | undefined {
    return this.steps[this.#at];
  }

  /** pg keeps its books of named statements by the active query's name and text. */
  get name(): string | undefined {
    return this.currentStep?.query.name;
  }

  get text(): string | undefined {
    return this.currentStep?.query.text;
  }

  submit(connection: WireConnection): Error | null {
    // Collected and written at once: a dozen small writes cost more than all the rest of a unit.
    const messages: Uint8Array[] = [];
    const collecting = Object.create(connection, {
      stream: { value: { writable: true, write: (bytes: Uint8Array) => messages.push(bytes) } },
    }) as WireConnection;
    const withoutSync = Object.create(collecting, {
      sync: { value: () => undefined },
    }) as WireConnection;
    for (const receiver of this.#receivers) {
      // It may also tell its error by a callback, before it returns.
      const refused = receiver.submit(withoutSync);
      if (refused !== null && refused !== undefined) this.#clientError ??= refused;
      // What was sent runs, what follows is not sent: the error is told at the Sync's reply.
      if (this.#clientError !== undefined) break;
    }
    collecting.sync();
    // A stream that is not writable any more is about to tell its end: pg writes nothing then either.
    if (connection.stream.writable) connection.stream.write(Buffer.concat(messages));
    return null;
  }

  handleRowDescription(message: unknown): void {
    this.#receivers[this.#at]?.handleRowDescription(message);
  }

  handleDataRow(message: unknown): void {
    this.#receivers[this.#at]?.handleDataRow(message);
  }

  handleCommandComplete(message: unknown, connection: WireConnection): void {
    this.#receivers[this.#at]?.handleCommandComplete(message, connection);
    this.#complete(connection);
  }

  handleEmptyQuery(connection: WireConnection): void {
    this.#receivers[this.#at]?.handleEmptyQuery(connection);
    this.#complete(connection);
  }

  handlePortalSuspended(): void {
    // Never: no step limits its rows.
  }

  handleCopyInResponse(connection: { sendCopyFail(message: string): void }): void {
    connection.sendCopyFail('COPY FROM STDIN needs a stream, which was not given');
  }

  handleCopyData(): void {
    // COPY TO STDOUT as a plain query: pg drops the data as well.
  }

  /**
   * An error of the server is an answer only once the server is ready again. PANIC and FATAL look like any
   * error, and what they interrupted (a COMMIT that was being flushed) may stand after all.
   */
  handleError(error: Error, connection: WireConnection): void {
    const fromServer = (error as { severity?: unknown }).severity !== undefined;
    if (!fromServer || connection.stream.destroyed) {
      this.#settle(fromServer ? lostAfter(error) : error);
      return;
    }
    const settle = (outcome: Error): void => {
      this.#stopListening?.();
      this.#settle(outcome);
    };
    const onReady = (): void => {
      settle(error);
    };
    const onEnd = (): void => {
      settle(lostAfter(error));
    };
    this.#stopListening = () => {
      connection.removeListener('readyForQuery', onReady);
      connection.removeListener('end', onEnd);
    };
    connection.on('readyForQuery', onReady);
    connection.on('end', onEnd);
  }

  handleReadyForQuery(): void {
    this.#settle(this.#clientError);
  }

  #complete(connection: WireConnection): void {
    // The receiver makes its result on "ready", which the server sends once for the whole unit.
    this.#receivers[this.#at]?.handleReadyForQuery(connection);
    this.#at += 1;
  }

  #settle(error: Error | undefined): void {
    if (this.#settled) return;
    this.#settled = true;
    this.callback(error);
  }

  #receiverFor(step: UnitStep, types: unknown): MessageReceiver {
    const config = {
      ...step.query,
      // A text without values would otherwise go as a simple query, which syncs by itself.
      queryMode: 'extended',
      types: step.query.types ?? types,
    };
    const receiver = new pg.Query(
      config as unknown as pg.QueryConfig,
    ) as unknown as MessageReceiver;
    receiver.callback = (error, result) => {
      if (error === null) step.result = result as QueryResult;
      else this.#clientError ??= error;
    };
    return receiver;
  }
}

function lostAfter(cause: Error): ConnectionLostError {
  return new ConnectionLostError(`the session ended with an error: ${cause.message}`, { cause });
}
