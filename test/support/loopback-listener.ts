/** What every proxy of the tests is made of: a place to listen on the loopback, and sockets that end together. */
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';

export interface Target {
  readonly host: string;
  readonly port: number;
}

/** The server that a connection string names. */
export function targetOf(connectionString: string): Target {
  const url = new URL(connectionString);
  return { host: url.hostname, port: Number(url.port) };
}

export class LoopbackListener {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(serve: (client: Socket) => void) {
    this.#server = createServer(serve);
  }

  async listen(): Promise<void> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  /** The same database, through whoever listens here. */
  through(connectionString: string): string {
    const url = new URL(connectionString);
    url.hostname = '127.0.0.1';
    url.port = String((this.#server.address() as AddressInfo).port);
    return url.href;
  }

  /** Both ends of a connection, or more: `end` is called when any of them is over. */
  tie(sockets: readonly Socket[], end: () => void): void {
    for (const socket of sockets) {
      this.#sockets.add(socket);
      socket.on('error', end);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        end();
      });
    }
  }

  /** Ends everything that is open. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
