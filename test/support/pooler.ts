/**
 * A connection pooler in front of a real server, as far as its clients can tell: it answers with a process of its
 * own making, and in transaction mode each of a client's requests goes to another backend than the one before.
 */
import { connect, type Socket } from 'node:net';

import { LoopbackListener } from './loopback-listener.ts';
import { RequestReader, type Request } from './wire-messages.ts';

export class Pooler implements AsyncDisposable {
  readonly #listener: LoopbackListener;

  private constructor(target: URL, mode: 'session' | 'transaction') {
    this.#listener = new LoopbackListener((client) => {
      const backends = [1, 2].map(() => connect(Number(target.port), target.hostname));
      const sockets = [client, ...backends];
      this.#listener.tie(sockets, () => {
        for (const socket of sockets) socket.destroy();
      });
      new Link(client, backends, mode);
    });
  }

  static async inFrontOf(url: string, mode: 'session' | 'transaction'): Promise<Pooler> {
    const pooler = new Pooler(new URL(url), mode);
    await pooler.#listener.listen();
    return pooler;
  }

  /** The same URL, through it. */
  through(url: string): string {
    return this.#listener.through(url);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#listener.close();
  }
}

/** One client. Requests are carried out one by one. */
class Link {
  readonly #client: Socket;
  readonly #backends: readonly Socket[];
  readonly #mode: 'session' | 'transaction';
  readonly #requests = new RequestReader();
  readonly #waiting: Request[] = [];
  readonly #rests: Buffer[];
  #current = 0;
  #isReady = false;
  #starting: number;

  constructor(client: Socket, backends: readonly Socket[], mode: 'session' | 'transaction') {
    this.#client = client;
    this.#backends = backends;
    this.#mode = mode;
    this.#rests = backends.map(() => Buffer.alloc(0));
    this.#starting = backends.length;
    client.on('data', (bytes: Buffer) => {
      this.#waiting.push(...this.#requests.push(bytes));
      this.#next();
    });
    for (const [at, backend] of backends.entries()) {
      backend.on('data', (bytes: Buffer) => {
        this.#hear(at, bytes);
      });
    }
  }

  #next(): void {
    const [request] = this.#waiting;
    if (request?.kind === 'startup') {
      this.#waiting.shift();
      for (const backend of this.#backends) backend.write(request.bytes);
      return;
    }
    if (!this.#isReady || request === undefined) return;
    this.#waiting.shift();
    this.#isReady = false;
    this.#backends[this.#current]?.write(request.bytes);
  }

  #hear(at: number, bytes: Buffer): void {
    let rest = Buffer.concat([this.#rests[at] ?? Buffer.alloc(0), bytes]);
    while (rest.length >= 5 && rest.length > rest.readInt32BE(1)) {
      const end = rest.readInt32BE(1) + 1;
      this.#answer(at, Buffer.from(rest.subarray(0, end)));
      rest = rest.subarray(end);
    }
    this.#rests[at] = rest;
  }

  #answer(at: number, message: Buffer): void {
    const type = String.fromCharCode(message[0] ?? 0);
    // The process that it names to its client.
    if (type === 'K') message.writeInt32BE(1, 5);
    const isStarting = this.#starting > 0;
    const isEnd = type === 'Z';
    if (isStarting && isEnd) this.#starting -= 1;
    const isTold = isStarting ? at === 0 && !isEnd : at === this.#current;
    if (isTold) this.#client.write(message);
    if (isStarting ? this.#starting > 0 : !(isEnd && at === this.#current)) return;
    if (isStarting) this.#client.write(READY);
    const isIdle = isStarting || message[5] === IDLE;
    if (this.#mode === 'transaction' && isIdle) this.#current = 1 - this.#current;
    this.#isReady = true;
    this.#next();
  }
}

const IDLE = 'I'.charCodeAt(0);
const READY = Buffer.from([0x5a, 0, 0, 0, 5, IDLE]);
