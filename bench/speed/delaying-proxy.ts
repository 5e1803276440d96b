/** A TCP proxy that makes a link longer: everything arrives in order, and later. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/**
 * Requests wait, replies do not: to a client it is the same, and only one wait has to be exact. What is sent
 * in one go, or behind what still waits, stays in the pipe together, as on a long line.
 */
export class DelayingProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #pipe: Pipe;

  private constructor(target: { host: string; port: number }, delayMs: number) {
    this.#pipe = new Pipe(delayMs);
    this.#server = createServer((client) => {
      this.#serve(client, connect({ ...target, noDelay: true }));
    });
  }

  static async inFrontOf(connectionString: string, delayMs: number): Promise<DelayingProxy> {
    const url = new URL(connectionString);
    const proxy = new DelayingProxy({ host: url.hostname, port: Number(url.port) }, delayMs);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  through(connectionString: string): string {
    const url = new URL(connectionString);
    url.hostname = '127.0.0.1';
    url.port = String((this.#server.address() as AddressInfo).port);
    return url.href;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#pipe.stop();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #serve(client: Socket, server: Socket): void {
    client.setNoDelay(true);
    const end = (): void => {
      client.destroy();
      server.destroy();
    };
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.on('error', end);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        end();
      });
    }
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
