/**
 * A TCP proxy that breaks one message of a PostgreSQL conversation: the request, or the reply to it.
 * Rules look at the bytes that a client sends; each counts how often it fired.
 */
import { connect, type Socket } from 'node:net';

import { LoopbackListener, targetOf, type Target } from './loopback-listener.ts';

export type Break =
  /** The request never reaches the server; both sides are cut. */
  | 'lose-request'
  /** The request never reaches the server, which does not learn that the client is gone. */
  | 'half-open'
  /** The request reaches the server; its reply, and all that follows, does not reach the client. */
  | 'lose-reply'
  /** As lose-reply, but the client's connection stays open and silent. */
  | 'silence'
  /** The reply passes up to, and without, its ReadyForQuery; then silence. */
  | 'silence-after-error'
  /** As lose-reply, and the server is away from then on, until comeBack(). */
  | 'vanish'
  /**
   * The server carries the command (COMMIT or PREPARE TRANSACTION) out; in place of its tag the client gets
   * a PANIC, as of a failed flush of the WAL, and its connection ends.
   */
  | 'panic'
  /** Nothing is broken: only counts. */
  | 'pass';

interface Rule {
  readonly pattern: RegExp;
  readonly action: Break;
  remaining: number;
  fired: number;
}

export interface ArmedRule {
  readonly fired: number;
}

export class FaultProxy {
  readonly #listener: LoopbackListener;
  #target: Target;
  readonly #rules: Rule[] = [];
  #refusing = false;

  private constructor(target: Target) {
    this.#target = target;
    this.#listener = new LoopbackListener((client) => {
      this.#serve(client);
    });
  }

  /** A proxy in front of the server that a connection string names. */
  static async inFrontOf(connectionString: string): Promise<FaultProxy> {
    const proxy = new FaultProxy(targetOf(connectionString));
    await proxy.#listener.listen();
    return proxy;
  }

  /** The same database, through the proxy. */
  through(connectionString: string): string {
    return this.#listener.through(connectionString);
  }

  /** Breaks the next `times` messages whose bytes match. */
  arm(pattern: RegExp, action: Break, times = 1): ArmedRule {
    const rule: Rule = { pattern, action, remaining: times, fired: 0 };
    this.#rules.push(rule);
    return rule;
  }

  /** Refuses new connections and cuts those that are open: the server is away. */
  goAway(): void {
    this.#refusing = true;
    this.#listener.cut();
  }

  /** Another server stands behind the address from now on: open connections are cut. */
  redirect(target: Target): void {
    this.redirectNew(target);
    this.#listener.cut();
  }

  /** The same for new connections; open ones stay where they are. */
  redirectNew(target: Target): void {
    this.#target = target;
  }

  comeBack(): void {
    this.#refusing = false;
  }

  async close(): Promise<void> {
    this.#refusing = true;
    await this.#listener.close();
  }

  #serve(client: Socket): void {
    if (this.#refusing) {
      client.destroy();
      return;
    }
    const server = connect(this.#target);
    let muted = false;
    /** The reply so far to a request that is answered by PANIC. */
    let panicking: Buffer | undefined;
    let onReply: ((reply: Buffer) => void) | undefined;
    let halfOpen = false;
    const end = (): void => {
      client.destroy();
      if (!halfOpen) server.destroy();
    };
    this.#listener.tie([client, server], end);
    client.on('data', (bytes) => {
      switch (this.#match(bytes)) {
        case 'lose-request':
          end();
          return;
        case 'half-open':
          halfOpen = true;
          end();
          return;
        case 'vanish':
          this.#refusing = true;
          onReply = () => {
            this.goAway();
          };
          server.write(bytes);
          return;
        case 'lose-reply':
          // Only once the server has answered is it sure that it has carried the request out.
          onReply = end;
          server.write(bytes);
          return;
        case 'silence':
          muted = true;
          server.write(bytes);
          return;
        case 'silence-after-error':
          onReply = (reply) => {
            muted = true;
            onReply = undefined;
            // ReadyForQuery is the last message of a reply: one byte of type, four of length, one of status.
            const ready = reply.lastIndexOf(Buffer.from([0x5a, 0, 0, 0, 5]));
            client.write(ready === -1 ? reply : reply.subarray(0, ready));
          };
          server.write(bytes);
          return;
        case 'panic':
          panicking = Buffer.alloc(0);
          server.write(bytes);
          return;
        case 'pass':
        case undefined:
          server.write(bytes);
      }
    });
    server.on('data', (bytes) => {
      if (panicking !== undefined) {
        panicking = Buffer.concat([panicking, bytes]);
        const seen = panicInPlaceOfTag(panicking);
        if (seen === undefined || muted) return;
        muted = true;
        client.end(seen);
      } else if (onReply !== undefined) onReply(bytes);
      else if (!muted) client.write(bytes);
    });
  }

  #match(bytes: Buffer): Break | undefined {
    const text = bytes.toString('latin1');
    const rule = this.#rules.find((one) => one.remaining > 0 && one.pattern.test(text));
    if (rule === undefined) return undefined;
    rule.remaining -= 1;
    rule.fired += 1;
    return rule.action;
  }
}

/** What a client sees of a reply whose COMMIT or PREPARE panics; undefined until that tag is there. */
function panicInPlaceOfTag(reply: Buffer): Buffer | undefined {
  let at = 0;
  while (at + 5 <= reply.length) {
    const end = at + 1 + reply.readInt32BE(at + 1);
    if (end > reply.length) return undefined;
    const isTag = reply.toString('latin1', at, at + 1) === 'C';
    const tag = reply.toString('latin1', at + 5, end - 1);
    if (isTag && /^(COMMIT|PREPARE TRANSACTION)$/.test(tag)) {
      return Buffer.concat([reply.subarray(0, at), PANIC]);
    }
    at = end;
  }
  return undefined;
}

/** ErrorResponse: severity twice, SQLSTATE io_error, message. */
const PANIC = ((): Buffer => {
  const message = 'could not fsync file "pg_wal/000000010000000000000001": Input/output error';
  const fields = Buffer.from(`SPANIC\0VPANIC\0C58030\0M${message}\0\0`);
  const head = Buffer.alloc(5);
  head.write('E');
  head.writeInt32BE(fields.length + 4, 1);
  return Buffer.concat([head, fields]);
})();
