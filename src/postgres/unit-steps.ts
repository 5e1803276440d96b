/** The steps of a SyncUnit, and how they are written to the wire. */
import pg from 'pg';

import type { QueryConfig, QueryResult } from './client.ts';

/** The part of pg's wire connection that a Submittable is handed (as pg-cursor uses it). */
export interface WireConnection {
  readonly stream: WireStream;
  on(event: 'readyForQuery' | 'end', listener: () => void): unknown;
  removeListener(event: 'readyForQuery' | 'end', listener: () => void): unknown;
  query(text: string): void;
  parse(message: ParseMessage, more: boolean): void;
  bind(message: BindMessage, more: boolean): void;
  execute(message: object, more: boolean): void;
  sync(): void;
}

interface WireStream {
  readonly writable: boolean;
  readonly destroyed: boolean;
  write(bytes: Uint8Array): unknown;
}

interface ParseMessage {
  text: string;
  name: string;
  types: string[];
}

interface BindMessage {
  statement: string;
  values: string[];
}

/** pg's Query, as far as it is a receiver of protocol messages. */
export interface MessageReceiver {
  callback: (error: Error | null, result?: QueryResult) => void;
  name?: string | undefined;
  queryMode?: string;
  readonly _result?: { _types?: unknown };
  submit(connection: WireConnection): Error | null | undefined;
  handleRowDescription(message: unknown): void;
  handleDataRow(message: unknown): void;
  handleCommandComplete(message: unknown, connection: WireConnection): void;
  handleReadyForQuery(connection: WireConnection): void;
  handleEmptyQuery(connection: WireConnection): void;
}

/** A statement of the application: its result is made as pg makes it. */
export interface QueryStep {
  readonly query: QueryConfig;
  result?: QueryResult;
  /** SQLSTATEs of the notices that came while the server worked on this step. */
  readonly notices: string[];
}

/** A statement of pgxa's own: nobody needs more of its answer than the tag and one row of texts. */
export interface OwnStep {
  readonly text: string;
  readonly values: readonly string[];
  /** First word of the command tag, once the server has completed this step. */
  command?: string;
  row?: Row;
  /** As of a query. */
  readonly notices: string[];
}

export type UnitStep = QueryStep | OwnStep;

export type Row = readonly (string | null)[];

export function queryStep(query: QueryConfig): QueryStep {
  return { query, notices: [] };
}

export function ownStep(text: string, values: readonly string[] = []): OwnStep {
  return { text, values, notices: [] };
}

/** `fail` is told a value that could not be bound, or a row that a type parser could not read. */
export function receiverOf(
  step: QueryStep,
  types: unknown,
  fail: (error: Error) => void,
): MessageReceiver {
  const receiver = makeQuery(step.query, types);
  // A text without values would otherwise go as a simple query, which syncs by itself.
  receiver.queryMode = 'extended';
  receiver.callback = (error, result) => {
    if (error === null) step.result = result as QueryResult;
    else fail(error);
  };
  return receiver;
}

/** A configuration is copied with all its descriptors by pg, which for most queries is the dearest part of them. */
function makeQuery(query: QueryConfig, types: unknown): MessageReceiver {
  const isPlain = Object.keys(query).every((key) => PLAIN.has(key));
  const receiver = (isPlain
    ? new pg.Query(query.text, query.values as unknown[])
    : new pg.Query(query as unknown as pg.QueryConfig)) as unknown as MessageReceiver;
  if (isPlain) receiver.name = query.name;
  // As pg's client does it.
  if (receiver._result !== undefined) receiver._result._types ??= types;
  return receiver;
}

const PLAIN = new Set(['text', 'values', 'name']);

/** Collects messages, to be written at once: a dozen small writes cost more than all the rest of a unit. */
export interface Collector {
  /** As the real one, but a Sync is not sent, and what is written waits. */
  readonly connection: WireConnection;
  /** What waits. */
  readonly messages: Uint8Array[];
  readonly sync: () => void;
}

const collectors = new WeakMap<WireConnection, Collector>();

/** One for each connection: what is made anew for each unit costs more than what it collects. */
export function collectorOf(connection: WireConnection): Collector {
  const known = collectors.get(connection);
  if (known !== undefined) return known;
  const messages: Uint8Array[] = [];
  const stream = { writable: true, write: (bytes: Uint8Array) => messages.push(bytes) };
  const collecting = Object.create(connection, { stream: { value: stream } }) as WireConnection;
  const collector: Collector = {
    connection: Object.create(collecting, {
      sync: { value: () => undefined },
    }) as WireConnection,
    messages,
    sync: () => {
      collecting.sync();
    },
  };
  collectors.set(connection, collector);
  return collector;
}

/** Texts that nobody describes: the rows are texts, and which columns they have is known. */
export function submitOwn({ text, values }: OwnStep, { connection, messages }: Collector): void {
  const isFixed = values.length === 0;
  const known = isFixed ? written.get(text) : undefined;
  if (known !== undefined) {
    messages.push(known);
    return;
  }
  const from = messages.length;
  connection.parse({ text, name: '', types: [] }, true);
  connection.bind({ statement: '', values: [...values] }, true);
  connection.execute(WHOLE, true);
  if (isFixed && messages.length > from) written.set(text, Buffer.concat(messages.slice(from)));
}

/** The bytes of statements without values. There are about a dozen: BEGIN in all its forms, and the probes. */
const written = new Map<string, Uint8Array>();

/** The unnamed portal, to its end. */
const WHOLE = {};
