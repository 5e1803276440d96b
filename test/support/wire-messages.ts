/**
 * The client's side of the PostgreSQL protocol, cut into requests: what is sent up to a Sync, or one simple
 * query. Each is named by the most telling statement in it.
 */

/** What a request is about, by the statements of pgxa; most telling first. */
const KINDS = [
  ['vote', /\bprepare transaction '/i],
  ['finish-commit', /\bcommit prepared '/i],
  ['finish-rollback', /\brollback prepared '/i],
  ['decide', /pgxa_decide|select i\.transaction_id, a\.epoch, 'commit'/],
  ['settle', /select t\.transaction_id, t\.epoch, 'abort'/],
  // Behind a read, and in its words: so before it.
  ['barrier', /pg_logical_emit_message/],
  ['read-decisions', /from pgxa\.decision where/],
  ['heartbeat', /set heartbeat_at/],
  ['retire', /set retired_at/],
  ['is-retired', /select retired_at is not null as retired/],
  ['epochs', /from pgxa\.coordinator c where/],
  ['list', /from pg_prepared_xacts p, next/],
  ['xact-status', /pg_xact_status\(/],
  ['fence', /pg_terminate_backend/],
  ['commit', /\bcommit[\0;]/i],
  ['rollback', /\brollback[\0;]/i],
  ['begin', /(^|\0)begin\b/i],
] as const;

export type RequestKind = (typeof KINDS)[number][0] | 'startup' | 'statement';

export const REQUEST_KINDS: readonly RequestKind[] = [
  ...KINDS.map(([kind]) => kind),
  'startup',
  'statement',
];

export interface Request {
  readonly kind: RequestKind;
  readonly bytes: Buffer;
}

/** Bytes of messages that end a request: Sync, Query, Terminate, password. */
const ENDS = new Set(['S', 'Q', 'X', 'p']);

/** Collects the bytes of one connection into requests. */
export class RequestReader {
  #rest: Buffer = Buffer.alloc(0);
  #started = false;
  #request: Buffer[] = [];

  push(bytes: Buffer): Request[] {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    const requests: Request[] = [];
    for (let message = this.#next(); message !== undefined; message = this.#next()) {
      this.#request.push(message.bytes);
      if (message.type !== 'startup' && !ENDS.has(message.type)) continue;
      const whole = Buffer.concat(this.#request);
      this.#request = [];
      requests.push({ kind: message.type === 'startup' ? 'startup' : kindOf(whole), bytes: whole });
    }
    return requests;
  }

  #next(): { type: string; bytes: Buffer } | undefined {
    // The first message of a connection has no byte of type.
    const head = this.#started ? 1 : 0;
    if (this.#rest.length < head + 4) return undefined;
    const end = head + this.#rest.readInt32BE(head);
    if (this.#rest.length < end) return undefined;
    const bytes = this.#rest.subarray(0, end);
    const type = this.#started ? bytes.toString('latin1', 0, 1) : 'startup';
    this.#started = true;
    this.#rest = this.#rest.subarray(end);
    return { type, bytes };
  }
}

function kindOf(request: Buffer): RequestKind {
  const text = request.toString('latin1');
  return KINDS.find(([, pattern]) => pattern.test(text))?.[0] ?? 'statement';
}
