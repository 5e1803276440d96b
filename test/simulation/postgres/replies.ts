import pg from 'pg';

import type { WireMessage } from '../wire.ts';

/** An error of the server. */
export class ServerError extends Error {
  readonly sqlstate: string;
  readonly constraint: string | undefined;

  constructor(sqlstate: string, message: string, constraint?: string) {
    super(message);
    this.sqlstate = sqlstate;
    this.constraint = constraint;
  }
}

export interface Field {
  readonly name: string;
  readonly dataTypeID: number;
  readonly format: 'text';
  /** Text to value, as pg does it. */
  readonly parse: (text: string) => unknown;
}

const OIDS = { text: 25, int4: 23, int8: 20, bool: 16, jsonb: 3802, timestamptz: 1184 } as const;

const types = pg.types as unknown as {
  getTypeParser(oid: number, format: 'text'): (text: string) => unknown;
};

/** Column list from a short text: `xid:text pid:int4`. */
export function fieldsOf(columns: string): readonly Field[] {
  return columns.split(' ').map((column) => {
    const [name = '', type = 'text'] = column.split(':');
    const dataTypeID = OIDS[type as keyof typeof OIDS];
    const parse = types.getTypeParser(dataTypeID, 'text');
    const isTime = type === 'timestamptz';
    return { name, dataTypeID, format: 'text', parse: isTime ? once(parse) : parse };
  });
}

/** The simulated servers write one time only, and reading it is dear. */
function once(parse: (text: string) => unknown): (text: string) => unknown {
  const parsed = new Map<string, unknown>();
  return (text) => {
    if (!parsed.has(text)) parsed.set(text, parse(text));
    return parsed.get(text);
  };
}

/** A text as it comes over the wire, or what a text in JSON would mean. */
export type Cell = string | null | { readonly json: unknown };

export type Row = readonly Cell[];

/** What one statement answers. */
export interface Answer {
  readonly tag: string;
  readonly fields?: readonly Field[];
  readonly rows?: readonly Row[];
}

export function rowsAnswer(fields: readonly Field[], rows: readonly Row[]): Answer {
  return { tag: `SELECT ${rows.length}`, fields, rows };
}

export function errorMessage(error: ServerError, severity = 'ERROR'): WireMessage {
  const told = new pg.DatabaseError(error.message, 0, 'error');
  told.code = error.sqlstate;
  told.severity = severity;
  told.constraint = error.constraint;
  return ['errorMessage', told];
}

export function noticeMessage(code: string): WireMessage {
  return ['notice', { code }];
}

/** `t` or `f`, as the server writes it. */
export function bool(value: boolean): string {
  return value ? 't' : 'f';
}
