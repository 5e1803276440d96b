import { ConnectionLostError } from './connection-lost.ts';
import {
  collectorOf,
  receiverOf,
  submitOwn,
  type MessageReceiver,
  type Row,
  type UnitStep,
  type WireConnection,
} from './unit-steps.ts';

interface UnitOptions {
  /** `simple`: one simple query; only for own steps without values. */
  readonly manner?: 'extended' | 'simple';
  /** Type parsers for the rows of the application's statements. */
  readonly types?: unknown;
}

/**
 * Several statements in one round trip and under one Sync of the extended protocol
 * (https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-PIPELINING).
 *
 * The single Sync is what makes it safe to send a statement behind its BEGIN without waiting: if
 * BEGIN fails, the server skips everything up to the Sync. Pipelined queries with a Sync each, which
 * is what pg's `pipeline` option sends, would run the statement outside of any transaction.
 *
 * Own statements without values can also go together as one simple query, which is less work for both sides. Its
 * statements are skipped behind an error just the same; it must not hold a BEGIN, nor what relies on one.
 *
 * Give it to `client.query()`; then await `done`. `done` rejects with the first error; the steps
 * before it have their results.
 */
export class SyncUnit {
  readonly steps: readonly UnitStep[];
  readonly isSimple: boolean;
  readonly done: Promise<void>;
  /** pg wraps the callback of a Submittable when query_timeout is set. */
  callback: (error: Error | null | undefined) => void;
  /** Of the steps that are queries of the application. */
  readonly #receivers: readonly (MessageReceiver | undefined)[];
  #at = 0;
  #settled = false;
  #stopListening: (() => void) | undefined;
  /** A value that could not be bound, or a row that a type parser could not read. */
  #clientError: Error | undefined;

  constructor(steps: readonly UnitStep[], { manner, types }: UnitOptions = {}) {
    this.steps = steps;
    this.isSimple = manner === 'simple';
    const fail = (error: Error): void => {
      this.#clientError ??= error;
    };
    this.#receivers = steps.map((step) =>
      'query' in step ? receiverOf(step, types, fail) : undefined,
    );
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
    const step = this.currentStep;
    return step !== undefined && 'query' in step ? step.query.name : undefined;
  }

  get text(): string | undefined {
    const step = this.currentStep;
    return step !== undefined && 'query' in step ? step.query.text : step?.text;
  }

  submit(connection: WireConnection): Error | null {
    if (this.isSimple) {
      connection.query(this.steps.map((step) => ('query' in step ? '' : step.text)).join('; '));
      return null;
    }
    const collector = collectorOf(connection);
    // Of a unit that broke off while it was being written.
    collector.messages.length = 0;
    for (const [at, step] of this.steps.entries()) {
      if ('query' in step) {
        // It may also tell its error by a callback, before it returns.
        const refused = this.#receivers[at]?.submit(collector.connection);
        if (refused !== null && refused !== undefined) this.#clientError ??= refused;
        // What was sent runs, what follows is not sent: the error is told at the Sync's reply.
        if (this.#clientError !== undefined) break;
      } else submitOwn(step, collector);
    }
    collector.sync();
    const bytes = Buffer.concat(collector.messages.splice(0));
    // A stream that is not writable any more is about to tell its end: pg writes nothing then either.
    if (connection.stream.writable) connection.stream.write(bytes);
    return null;
  }

  handleRowDescription(message: unknown): void {
    this.#receivers[this.#at]?.handleRowDescription(message);
  }

  handleDataRow(message: unknown): void {
    const step = this.currentStep;
    if (step === undefined) return;
    if ('query' in step) this.#receivers[this.#at]?.handleDataRow(message);
    else step.row ??= (message as { readonly fields: Row }).fields;
  }

  handleCommandComplete(message: unknown, connection: WireConnection): void {
    const step = this.currentStep;
    if (step !== undefined && !('query' in step)) {
      step.command = firstWordOf((message as { readonly text: string }).text);
    }
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
}

function firstWordOf(tag: string): string {
  const blank = tag.indexOf(' ');
  return blank === -1 ? tag : tag.slice(0, blank);
}

function lostAfter(cause: Error): ConnectionLostError {
  return new ConnectionLostError(`the session ended with an error: ${cause.message}`, { cause });
}
