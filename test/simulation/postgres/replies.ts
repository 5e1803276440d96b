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
}

const OIDS = { text: 25, int4: 23, int8: 20, bool: 16, jsonb: 3802, timestamptz: 1184 } as const;

/** Column list from a short text: `xid:text pid:int4`. */
export function fieldsOf(columns: string): readonly Field[] {
  return columns.split(' ').map((column) => {
    const [name = '', type = 'text'] = column.split(':');
    return { name, dataTypeID: OIDS[type as keyof typeof OIDS], format: 'text' };
  });
}

export type Row = readonly (string | null)[];

/** What one statement answers. */
export interface Answer {
  readonly tag: string;
  readonly fields?: readonly Field[];
  readonly rows?: readonly Row[];
}

export function rowsAnswer(fields: readonly Field[], rows: readonly Row[]): Answer {
  return { tag: `SELECT ${rows.length}`, fields, rows };
}

export function messagesOf(answer: Answer): WireMessage[] {
  const messages: WireMessage[] = [];
  if (answer.fields !== undefined) {
    messages.push(['rowDescription', { fields: answer.fields }]);
    for (const row of answer.rows ?? []) messages.push(['dataRow', { fields: row }]);
  }
  messages.push(['commandComplete', { text: answer.tag }]);
  return messages;
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
