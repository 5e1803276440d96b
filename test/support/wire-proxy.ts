/**
 * A TCP proxy that knows the requests of a PostgreSQL conversation (wire-messages.ts) and breaks the n-th one of
 * a kind: before it is sent, on its way, or on the way back. Beside that, whole links: refused, cut,
 * and silent in one or both directions. Everything that it does is counted.
 */
import { connect, type Socket } from 'node:net';

import { LoopbackListener, targetOf, type Target } from './loopback-listener.ts';
import { RequestReader, type Request, type RequestKind } from './wire-messages.ts';

export const WIRE_ACTIONS = [
  /** The request never reaches the server; both sides see the connection end. */
  'cut-before',
  /** The request is sent and the connection reset at once: nobody knows whether it arrives. */
  'cut-at-once',
  /** The server has answered, and both sides are cut before the client has the reply. */
  'cut-after',
  /** The client has half of the reply. */
  'cut-in-reply',
  /** This request, and all behind it, vanish; the connection stays open. */
  'drop-requests',
  /** The reply, and all behind it, vanish; the connection stays open. */
  'drop-replies',
  /** The request waits, with all behind it, and is then sent. */
  'hold-request',
  /** The reply waits, with all behind it, and then arrives. */
  'hold-reply',
] as const;
export type WireAction = (typeof WIRE_ACTIONS)[number];

export interface WireRule {
  readonly kind: RequestKind;
  /** Acts on the n-th request of the kind from now on; default 1. */
  readonly nth?: number;
  readonly action: WireAction;
  /** For the holds. */
  readonly holdMs?: number;
  readonly onFired?: () => void;
  /** With drop-replies: the server has answered. */
  readonly onReplied?: () => void;
}

interface Armed {
  readonly rule: WireRule;
  left: number;
  fired: number;
}

/** Which way of a link is silent. */
export type Silence = 'none' | 'requests' | 'replies' | 'both';

export class WireProxy {
  readonly #listener: LoopbackListener;
  readonly #links = new Set<Link>();
  #armed: Armed[] = [];
  #target: Target;
  #refusing = false;
  #silence: Silence = 'none';

  private constructor(target: Target) {
    this.#target = target;
    this.#listener = new LoopbackListener((client) => {
      if (this.#refusing) client.destroy();
      else this.#serve(client);
    });
  }

  static async inFrontOf(connectionString: string): Promise<WireProxy> {
    const proxy = new WireProxy(targetOf(connectionString));
    await proxy.#listener.listen();
    return proxy;
  }

  /** The same database, through the proxy. */
  through(connectionString: string): string {
    return this.#listener.through(connectionString);
  }

  /** Returns how to take the rule back; taken back or not, it tells how often it fired. */
  arm(rule: WireRule): { readonly fired: () => number; readonly disarm: () => void } {
    const armed: Armed = { rule, left: rule.nth ?? 1, fired: 0 };
    this.#armed.push(armed);
    return {
      fired: () => armed.fired,
      disarm: () => {
        this.#armed = this.#armed.filter((one) => one !== armed);
      },
    };
  }

  /** Ends every open connection; returns how many there were. */
  cutAll(): number {
    const count = this.#links.size;
    for (const link of [...this.#links]) link.end();
    return count;
  }

  refuse(): void {
    this.#refusing = true;
    this.cutAll();
  }

  accept(): void {
    this.#refusing = false;
  }

  /** Bytes of that way vanish on every connection, open or new; those that were silenced once stay broken. */
  silence(way: Silence): void {
    this.#silence = way;
    for (const link of this.#links) link.silence(way);
  }

  /** Another server stands behind the address from now on. */
  redirect(connectionString: string): void {
    this.#target = targetOf(connectionString);
    this.cutAll();
  }

  /** No fault any more. A connection that has lost bytes is cut: the two ends would wait for each other. */
  heal(): void {
    this.#armed = [];
    this.#refusing = false;
    this.#silence = 'none';
    for (const link of [...this.#links]) link.heal();
  }

  async close(): Promise<void> {
    this.refuse();
    await this.#listener.close();
  }

  #serve(client: Socket): void {
    const server = connect(this.#target);
    const link = new Link(client, server, {
      ruleFor: (request) => this.#ruleFor(request),
      onEnd: () => this.#links.delete(link),
    });
    this.#links.add(link);
    this.#listener.tie([client, server], () => {
      link.end();
    });
    link.silence(this.#silence);
  }

  #ruleFor(request: Request): WireRule | undefined {
    for (const armed of this.#armed) {
      if (armed.rule.kind !== request.kind) continue;
      armed.left -= 1;
      if (armed.left > 0) continue;
      armed.fired += 1;
      this.#armed = this.#armed.filter((one) => one !== armed);
      armed.rule.onFired?.();
      return armed.rule;
    }
    return undefined;
  }
}

interface LinkHost {
  ruleFor(request: Request): WireRule | undefined;
  onEnd(): void;
}

/** One connection through the proxy. */
class Link {
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #host: LinkHost;
  readonly #reader = new RequestReader();
  #silence: Silence = 'none';
  /** Bytes were lost, or are held: the conversation cannot go on as if nothing had been. */
  #broken = false;
  #onReply: ((bytes: Buffer) => void) | undefined;
  /** Requests behind one that is held: they must not overtake it. */
  #held: Request[] | undefined;

  constructor(client: Socket, server: Socket, host: LinkHost) {
    this.#client = client;
    this.#server = server;
    this.#host = host;
    client.setNoDelay(true);
    server.setNoDelay(true);
    client.on('data', (bytes) => {
      for (const request of this.#reader.push(bytes)) this.#onRequest(request);
    });
    server.on('data', (bytes) => {
      if (this.#onReply !== undefined) this.#onReply(bytes);
      else this.#reply(bytes);
    });
  }

  end(): void {
    this.#client.destroy();
    this.#server.destroy();
    this.#host.onEnd();
  }

  silence(way: Silence): void {
    this.#silence = way;
  }

  heal(): void {
    this.#silence = 'none';
    if (this.#broken) this.end();
  }

  #onRequest(request: Request): void {
    if (this.#held !== undefined) {
      this.#held.push(request);
      return;
    }
    const rule = this.#host.ruleFor(request);
    switch (rule?.action) {
      case undefined:
        this.#send(request.bytes);
        return;
      case 'cut-before':
        this.end();
        return;
      case 'cut-at-once':
        this.#server.end(request.bytes);
        this.#client.destroy();
        return;
      case 'cut-after':
        this.#onReply = () => {
          this.end();
        };
        break;
      case 'cut-in-reply':
        this.#onReply = (bytes) => {
          this.#client.end(bytes.subarray(0, Math.ceil(bytes.length / 2)));
          this.#server.destroy();
        };
        break;
      case 'drop-requests':
        this.#broken = true;
        this.#silence = this.#silence === 'replies' ? 'both' : 'requests';
        break;
      case 'drop-replies':
        this.#broken = true;
        this.#onReply = () => {
          rule.onReplied?.();
        };
        break;
      case 'hold-request':
        this.#held = [];
        this.#later(rule.holdMs, () => {
          const held = this.#held ?? [];
          this.#held = undefined;
          this.#send(request.bytes);
          for (const next of held) this.#onRequest(next);
        });
        return;
      case 'hold-reply':
        this.#onReply = (bytes) => {
          this.#onReply = undefined;
          this.#server.pause();
          this.#later(rule.holdMs, () => {
            this.#reply(bytes);
            this.#server.resume();
          });
        };
        break;
    }
    this.#send(request.bytes);
  }

  #later(holdMs = 500, act: () => void): void {
    const timer = setTimeout(act, holdMs);
    timer.unref();
  }

  #send(bytes: Buffer): void {
    if (this.#silence === 'requests' || this.#silence === 'both') this.#broken = true;
    else if (!this.#server.destroyed) this.#server.write(bytes);
  }

  #reply(bytes: Buffer): void {
    if (this.#silence === 'replies' || this.#silence === 'both') this.#broken = true;
    else if (!this.#client.destroyed) this.#client.write(bytes);
  }
}
