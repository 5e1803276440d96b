import { SqlServer } from './sql-server.ts';
import type { ProviderName, TestServer } from './test-server.ts';

/** A server that this process may use but not stop, signal or configure. */
export class UncontrolledServer extends SqlServer implements TestServer {
  readonly capabilities = {
    processControl: false,
    signals: false,
    settings: false,
    standby: false,
  };
  readonly provider: ProviderName;
  readonly major: number;
  readonly #reason: string;

  constructor(endpoint: ServerEndpoint, reason: string) {
    super(endpoint.name, endpoint.dsn, endpoint.runId);
    this.provider = endpoint.provider;
    this.major = endpoint.major;
    this.#reason = reason;
  }

  stop(): Promise<void> {
    return this.#refuse('stop');
  }
  start(): Promise<void> {
    return this.#refuse('start');
  }
  restart(): Promise<void> {
    return this.#refuse('restart');
  }
  kill9(): Promise<void> {
    return this.#refuse('kill9');
  }
  pause(): void {
    throw this.#refusal('pause');
  }
  resume(): void {
    throw this.#refusal('resume');
  }
  signalBackend(): void {
    throw this.#refusal('signalBackend');
  }
  reconfigure(): Promise<void> {
    return this.#refuse('reconfigure');
  }
  createStandby(): Promise<TestServer> {
    return this.#refuse('createStandby');
  }
  promote(): Promise<void> {
    return this.#refuse('promote');
  }
  destroy(): Promise<void> {
    return this.#refuse('destroy');
  }

  async #refuse(what: string): Promise<never> {
    throw this.#refusal(what);
  }

  #refusal(what: string): Error {
    return new Error(`${what}() is not possible on server ${this.name}: ${this.#reason}`);
  }
}

/** All that another process needs to use a server; plain data. */
export interface ServerEndpoint {
  readonly name: string;
  readonly provider: ProviderName;
  readonly major: number;
  readonly dsn: string;
  readonly runId: string;
}
