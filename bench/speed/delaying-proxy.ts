/** A TCP proxy that makes a link longer: everything arrives in order, and later. */
import { connect, type Socket } from 'node:net';

import { LoopbackListener, targetOf, type Target } from '../../test/support/loopback-listener.ts';

/**
 * Requests wait, replies do not: to a client it is the same, and only one wait has to be exact. What is sent
 * in one go, or behind what still waits, stays in the pipe together, as on a long line.
 */
export class DelayingProxy {
  readonly #listener: LoopbackListener;
  readonly #pipe: Pipe;

  private constructor(target: Target, delayMs: number) {
    this.#pipe = new Pipe(delayMs);
    this.#listener = new LoopbackListener((client) => {
      this.#serve(client, connect({ ...target, noDelay: true }));
    });
  }

  static async inFrontOf(connectionString: string, delayMs: number): Promise<DelayingProxy> {
    const proxy = new DelayingProxy(targetOf(connectionString), delayMs);
    await proxy.#listener.listen();
    return proxy;
  }

  through(connectionString: string): string {
    return this.#listener.through(connectionString);
  }

  async close(): Promise<void> {
    this.#pipe.stop();
    await this.#listener.close();
  }

  #serve(client: Socket, server: Socket): void {
    client.setNoDelay(true);
    this.#listener.tie([client, server], () => {
      client.destroy();
      server.destroy();
    });
    client.on('data', (bytes) => {
      this.#pipe.push(() => {
        if (server.writable) server.write(bytes);
      });
    });
    server.on('data', (bytes) => {
      if (client.writable) client.write(bytes);
    });
  }
}

/** Node's timers are up to a millisecond late: the last stretch is waited for without one. */
const SPIN_MS = 1.2;

/** First in, first out, each after the same delay. */
class Pipe {
  readonly #delayMs: number;
  readonly #waiting: { readonly dueMs: number; readonly act: () => void }[] = [];
  #cancel: (() => void) | undefined;

  constructor(delayMs: number) {
    this.#delayMs = delayMs;
  }

  push(act: () => void): void {
    this.#waiting.push({ dueMs: performance.now() + this.#delayMs, act });
    if (this.#cancel === undefined) this.#wait();
  }

  stop(): void {
    this.#cancel?.();
    this.#waiting.length = 0;
  }

  #wait(): void {
    const [first] = this.#waiting;
    if (first === undefined) {
      this.#cancel = undefined;
      return;
    }
    const leftMs = first.dueMs - performance.now();
    if (leftMs > SPIN_MS) {
      const timer = setTimeout(() => {
        this.#deliver();
      }, leftMs - SPIN_MS);
      this.#cancel = () => {
        clearTimeout(timer);
      };
    } else {
      const immediate = setImmediate(() => {
        this.#deliver();
      });
      this.#cancel = () => {
        clearImmediate(immediate);
      };
    }
  }

  #deliver(): void {
    const now = performance.now();
    let count = 0;
    for (const { dueMs, act } of this.#waiting) {
      if (dueMs > now) break;
      act();
      count += 1;
    }
    this.#waiting.splice(0, count);
    this.#wait();
  }
}
