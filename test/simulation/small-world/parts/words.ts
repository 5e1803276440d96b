/** Requests and replies, each known by a number: the same number, the same words. */
import pg from 'pg';

import type { Row } from '../../postgres/replies.ts';
import { kindOfUnit } from '../../postgres/statement.ts';
import type { WireMessage, WireUnit } from '../../wire.ts';

/** Instead of a request: the client's side is closed. */
export const FIN = 0;
/** Instead of a reply: the connection is ended, or lost. */
export const END = 0;
export const RESET = 1;

export interface Request {
  readonly unit: WireUnit;
  readonly kind: string;
  readonly text: string;
}

/** Ids are new in every run; outside of a process a transaction has the one that it had in the first. */
export class Alias {
  static #first: string | undefined;
  /** With and without dashes. */
  readonly #own: readonly [string, string];
  readonly #common: readonly [string, string];

  constructor(own: string) {
    Alias.#first ??= own;
    this.#own = [own, own.replaceAll('-', '')];
    this.#common = [Alias.#first, Alias.#first.replaceAll('-', '')];
  }

  /** The id of the transaction, for everybody. */
  static get common(): string {
    return Alias.#first ?? '';
  }

  outwards(value: unknown): unknown {
    return replaced(value, this.#own, this.#common);
  }

  inwards(value: unknown): unknown {
    return replaced(value, this.#common, this.#own);
  }
}

type Names = readonly [string, string];

function replaced(value: unknown, from: Names, to: Names): unknown {
  if (typeof value === 'string') {
    if (value.includes(from[1])) return value.replaceAll(from[1], to[1]);
    return value.includes(from[0]) ? value.replaceAll(from[0], to[0]) : value;
  }
  if (Array.isArray(value)) return value.map((one) => replaced(one, from, to));
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).map(([key, one]) => [key, replaced(one, from, to)]);
    return Object.fromEntries(entries) as unknown;
  }
  return value;
}

class Numbered<T> {
  readonly #numbers = new Map<string, number>();
  readonly #all: (T | undefined)[];

  constructor(reserved: number) {
    this.#all = Array.from({ length: reserved }, () => undefined);
  }

  number(text: string, make: () => T): number {
    let number = this.#numbers.get(text);
    if (number === undefined) {
      number = this.#all.push(make()) - 1;
      this.#numbers.set(text, number);
    }
    return number;
  }

  at(number: number): T {
    const found = this.#all[number];
    if (found === undefined) throw new Error(`nothing has the number ${number}`);
    return found;
  }
}

const requests = new Numbered<Request>(1);
const replies = new Numbered<readonly WireMessage[]>(2);
const texts = new Numbered<string>(0);

export function requestOf({ statements, simple }: WireUnit, alias: Alias | undefined): number {
  const plain = statements.map(({ text, values, name }) => ({
    text: alias === undefined ? text : (alias.outwards(text) as string),
    values: alias === undefined ? values : (alias.outwards(values) as readonly unknown[]),
    name,
  }));
  const text = plain.map((one) => `${one.text} ${JSON.stringify(one.values)}`).join(';');
  return requests.number(`${simple} ${text}`, () => {
    const unit: WireUnit = { statements: plain, simple };
    unit.kind = kindOfUnit(unit);
    return { unit, kind: unit.kind, text };
  });
}

export function requestAt(number: number): Request {
  return requests.at(number);
}

export function kindAt(number: number): string {
  return number === FIN ? 'fin' : requests.at(number).kind;
}

export function replyOf(messages: readonly WireMessage[]): number {
  return replies.number(messages.map(textOfMessage).join(';'), () => messages);
}

/** As a process is to get it: it may keep what it gets, and change it. */
export function replyAt(number: number, alias: Alias | undefined): readonly WireMessage[] {
  return replies.at(number).map((message): WireMessage => {
    const [event, payload] = message;
    if (event === 'errorMessage') return ['errorMessage', copyOf(payload)];
    if (event !== 'answer' || alias === undefined || payload.rows === undefined) return message;
    return ['answer', { ...payload, rows: alias.inwards(payload.rows) as readonly Row[] }];
  });
}

export function textOfReply(number: number): string {
  if (number === END) return 'end';
  return number === RESET ? 'reset' : replies.at(number).map(textOfMessage).join(';');
}

export function isReady(number: number): boolean {
  return number > RESET && replies.at(number).some(([event]) => event === 'readyForQuery');
}

export function numberOfText(text: string): number {
  return texts.number(text, () => text);
}

export function textAt(number: number): string {
  return texts.at(number);
}

/** What an error of a server carries. */
interface Detailed {
  readonly code?: string;
  readonly severity?: string;
  readonly constraint?: string;
}

function copyOf(error: Error): Error {
  const { code, severity, constraint } = error as Detailed;
  const copy = new pg.DatabaseError(error.message, 0, 'error');
  return Object.assign(copy, { code, severity, constraint });
}

function textOfMessage([event, payload]: WireMessage): string {
  switch (event) {
    case 'answer': {
      const names = (payload.fields ?? []).map(({ name }) => name).join();
      return `${payload.tag} ${names} ${JSON.stringify(payload.rows)}`;
    }
    case 'errorMessage': {
      const { code = '', severity = '', constraint = '' } = payload as Detailed;
      return `error ${code} ${severity} ${constraint} ${payload.message}`;
    }
    case 'readyForQuery':
      return payload.status;
    case 'notice':
      return payload.code;
    case 'backendKeyData':
      return `pid ${payload.processID}`;
  }
}

const greetings: number[] = [];

/** What a server says first; that of a recoverer's number nobody ever asks for. */
export function greetingOf(slot: number): number {
  greetings[slot] ??= replyOf([
    ['backendKeyData', { processID: 200_000 + slot, secretKey: 0 }],
    ['readyForQuery', { status: 'I' }],
  ]);
  return greetings[slot];
}
