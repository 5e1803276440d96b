/** The daemon's face to probes and to Prometheus. Nothing here runs SQL or changes anything. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import type { HttpSettings } from '../config/schema.ts';
import type { Health } from './health.ts';

export interface HttpSources {
  readonly live: () => Health;
  /** For one participant, or for the daemon as a whole; undefined where there is no such participant. */
  readonly ready: (participant?: string) => Health | undefined;
  readonly metrics: () => Promise<{ readonly contentType: string; readonly text: string }>;
}

/** A scraper that hangs must not cost more than a socket for a while. */
const REQUEST_TIMEOUT_MS = 10_000;
const MAX_CONNECTIONS = 64;

export class HttpFace {
  readonly #server: Server;
  readonly #host: string;
  readonly #sources: HttpSources;
  #token: Buffer | undefined;

  private constructor(settings: HttpSettings, sources: HttpSources) {
    this.#sources = sources;
    this.#host = settings.host;
    this.useToken(settings.token);
    this.#server = createServer((request, response) => {
      void this.#answer(request, response);
    });
    this.#server.requestTimeout = REQUEST_TIMEOUT_MS;
    this.#server.headersTimeout = REQUEST_TIMEOUT_MS;
    this.#server.maxConnections = MAX_CONNECTIONS;
  }

  /** Rejects if it cannot listen there. */
  static async open(settings: HttpSettings, sources: HttpSources): Promise<HttpFace> {
    const face = new HttpFace(settings, sources);
    await new Promise<void>((resolve, reject) => {
      face.#server.once('error', reject);
      face.#server.listen(settings.port, settings.host, () => {
        face.#server.removeListener('error', reject);
        resolve();
      });
    });
    return face;
  }

  /** With the port that was found when the settings said 0. */
  get url(): string {
    const { port } = this.#server.address() as AddressInfo;
    return `http://${this.#host.includes(':') ? `[${this.#host}]` : this.#host}:${port}`;
  }

  /** From the next request on. */
  useToken(token: string | undefined): void {
    this.#token = token === undefined ? undefined : digest(token);
  }

  async close(): Promise<void> {
    await new Promise((resolve) => {
      this.#server.close(resolve);
      this.#server.closeAllConnections();
    });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await this.#route(request, response);
    } catch {
      // What went wrong is of no use to a probe, and none of its business.
      send(request, response, 500, 'text/plain', 'internal error\n');
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const method = request.method ?? '';
    if (method === 'OPTIONS') {
      response.setHeader('allow', 'GET, HEAD, OPTIONS');
      send(request, response, 204, 'text/plain', '');
      return;
    }
    if (method !== 'GET' && method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD, OPTIONS');
      send(request, response, 405, 'text/plain', 'only GET, HEAD and OPTIONS\n');
      return;
    }
    if (!this.#isAllowed(request)) {
      response.setHeader('www-authenticate', 'Bearer');
      send(request, response, 401, 'text/plain', 'a bearer token is needed\n');
      return;
    }
    const { pathname } = new URL(request.url ?? '/', 'http://daemon');
    if (pathname === '/metrics') {
      const { contentType, text } = await this.#sources.metrics();
      send(request, response, 200, contentType, text);
      return;
    }
    const health = this.#health(pathname);
    if (health === undefined) {
      send(
        request,
        response,
        404,
        'text/plain',
        '/livez, /readyz, /readyz/<participant>, /metrics\n',
      );
      return;
    }
    send(request, response, health.isFine ? 200 : 503, 'application/json', json(health.body));
  }

  #health(pathname: string): Health | undefined {
    const { live, ready } = this.#sources;
    if (pathname === '/livez') return live();
    if (pathname === '/readyz') return ready();
    const participant = /^\/readyz\/([A-Za-z0-9_-]+)$/.exec(pathname)?.[1];
    return participant === undefined ? undefined : ready(participant);
  }

  #isAllowed(request: IncomingMessage): boolean {
    if (this.#token === undefined) return true;
    const given = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1];
    return given !== undefined && timingSafeEqual(digest(given), this.#token);
  }
}

/** Of equal length for all tokens, as the comparison wants it. */
function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

function json(body: unknown): string {
  return `${JSON.stringify(body)}\n`;
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  contentType: string,
  text: string,
): void {
  response.writeHead(status, {
    'content-type': contentType,
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  response.end(request.method === 'HEAD' ? undefined : text);
}
