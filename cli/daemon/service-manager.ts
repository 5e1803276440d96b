/**
 * systemd's notification protocol. Node has no datagram sockets of the Unix family, so the program
 * `systemd-notify` sends; the unit has NotifyAccess=all for that, and gives it 5 to 15 ms a message.
 */
import { execFile } from 'node:child_process';

/** It waits until the manager has read the message; one that is stuck must not hold up the next. */
const SEND_TIMEOUT_MS = 5_000;

export interface ServiceManagerOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly onFailure: (error: Error) => void;
}

export class ServiceManager {
  readonly #options: ServiceManagerOptions;
  #last: Promise<void> = Promise.resolve();
  #status = '';
  #hasFailed = false;

  constructor(options: ServiceManagerOptions) {
    this.#options = options;
  }

  get isPresent(): boolean {
    return (this.#options.env['NOTIFY_SOCKET'] ?? '') !== '';
  }

  /** Silence of this length and systemd kills the process; undefined without WatchdogSec=. */
  get watchdogMs(): number | undefined {
    const { WATCHDOG_USEC: usec, WATCHDOG_PID: pid } = this.#options.env;
    if (!this.isPresent || usec === undefined) return undefined;
    if (pid !== undefined && pid !== String(process.pid)) return undefined;
    return Number(usec) / 1_000;
  }

  ready(): Promise<void> {
    return this.#send('READY=1');
  }

  reloading(): Promise<void> {
    // Of CLOCK_MONOTONIC, which is what hrtime() reads.
    return this.#send('RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1_000n}`);
  }

  alive(): Promise<void> {
    return this.#send('WATCHDOG=1');
  }

  stopping(): Promise<void> {
    return this.#send('STOPPING=1');
  }

  /** One line for `systemctl status`; the same line again costs nothing. */
  status(text: string): Promise<void> {
    if (text === this.#status) return this.#last;
    this.#status = text;
    return this.#send(`STATUS=${text.replaceAll('\n', ' ')}`);
  }

  /** One after the other: READY must not overtake RELOADING. Never rejects. */
  #send(...assignments: string[]): Promise<void> {
    if (!this.isPresent) return Promise.resolve();
    this.#last = this.#last.then(() => this.#spawn(assignments));
    return this.#last;
  }

  async #spawn(assignments: readonly string[]): Promise<void> {
    const { env, onFailure } = this.#options;
    const { NOTIFY_SOCKET, PATH } = env;
    const error = await new Promise<Error | null>((resolve) => {
      execFile(
        'systemd-notify',
        assignments,
        { env: { NOTIFY_SOCKET, PATH }, timeout: SEND_TIMEOUT_MS, killSignal: 'SIGKILL' },
        resolve,
      );
    });
    if (error !== null && !this.#hasFailed) onFailure(error);
    this.#hasFailed = error !== null;
  }
}
