/**
 * The process around a recovery daemon: configuration, signals, systemd, HTTP, log.
 *
 *   start    the log may be away: trying goes on, and everybody who asks is told
 *   READY    after the first look at every participant
 *   SIGHUP   the next daemon is up before the old one stops; a bad file changes nothing
 *   SIGTERM  the branches in hand are finished, then exit 0
 */
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';

import {
  createRecoveryDaemon,
  PgxaError,
  type DaemonStatus,
  type RecoveryDaemon,
} from '../../src/index.ts';
import { VERSION } from '../../src/version.ts';
import { daemonConfigOf, loadConfigFile, type ConfigFile } from '../config-file.ts';
import { ConfigFileError } from '../config/problem.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { VerbContext } from '../program.ts';
import { logEvents } from './event-log.ts';
import { liveness, participantReadiness, readiness } from './health.ts';
import { HttpFace, type HttpSources } from './http.ts';
import { createLog, type Logger } from './log.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import { ServiceManager } from './service-manager.ts';
import { statusLine } from './status-line.ts';

const RETRY = { firstMs: 500, maxMs: 10_000 };
/** How often the status line and the watchdog are looked at. */
const LOOK_MS = 1_000;

export class DaemonHost {
  readonly #context: VerbContext;
  readonly #log: Logger;
  readonly #metrics: Metrics;
  readonly #manager: ServiceManager;
  readonly #stopping = new AbortController();
  #config: ConfigFile;
  #daemon: RecoveryDaemon | undefined;
  #http: HttpFace | undefined;
  #startError: Error | undefined;
  /** Aborted to try again at once, with the configuration of then. */
  #retry = new AbortController();
  #reloads: Promise<void> = Promise.resolve();
  /** systemd has been told: from then on it hears of reloads. */
  #isReady = false;
  /** The file says something else than what is in force. */
  #isRefused = false;
  #fed = { atMs: 0, tickMs: 0 };

  /** @throws ConfigFileError */
  constructor(context: VerbContext) {
    this.#context = context;
    this.#config = loadConfigFile(context.configPath, context.terminal);
    this.#log = createLog({
      terminal: context.terminal,
      level: this.#config.settings.daemon.log,
      redact: (text) => this.#redact(text),
    });
    this.#metrics = createMetrics(() => this.#status());
    this.#manager = new ServiceManager({
      env: context.terminal.env,
      onFailure: (error) => {
        this.#log.error({ err: error }, 'cannot notify systemd: is systemd-notify installed?');
      },
    });
  }

  /** Until SIGTERM or SIGINT. Rejects if the daemon can never run as it is configured. */
  async run(): Promise<ExitCode> {
    const { file, settings } = this.#config;
    const { name } = settings.daemon;
    this.#log.info(
      { version: VERSION, node: process.version, pid: process.pid, file, name },
      'starts',
    );
    this.#warn(this.#config);
    const unsubscribe = logEvents(this.#log);
    this.#hearSignals();
    const look = setInterval(() => {
      this.#look();
    }, LOOK_MS);
    try {
      this.#http = await this.#openHttp(this.#config);
      await this.#start();
      await this.#untilStopped();
      await this.#manager.stopping();
      this.#log.info('stops: finishes the branches in hand');
      await this.#reloads;
      await this.#daemon?.stop();
      this.#log.info('has stopped');
      return EXIT.fine;
    } catch (error) {
      this.#log.fatal({ err: error }, 'cannot run');
      throw error;
    } finally {
      clearInterval(look);
      await this.#http?.close();
      unsubscribe();
      this.#metrics.close();
    }
  }

  #warn({ warnings }: ConfigFile): void {
    for (const warning of warnings) this.#log.warn(warning);
  }

  /** Until the process ends: one that is asked twice to stop still ends with 0. */
  #hearSignals(): void {
    const stop = (signal: NodeJS.Signals): void => {
      this.#log.info({ signal }, 'was asked to stop');
      this.#stopping.abort();
      this.#retry.abort();
    };
    const reload = (): void => {
      this.#reloads = this.#reloads.then(() => this.#reload());
    };
    const die = (error: Error): void => {
      this.#log.fatal({ err: error }, 'a defect of pgxa: please report it');
      process.exit(EXIT.failed);
    };
    process.on('SIGTERM', stop).on('SIGINT', stop).on('SIGHUP', reload);
    process.on('uncaughtException', die);
  }

  /** Tries until the log answers; what trying again cannot mend is thrown. */
  async #start(): Promise<void> {
    for (let attempt = 0; !this.#stopping.signal.aborted; attempt += 1) {
      const config = this.#config;
      try {
        const daemon = await createRecoveryDaemon(daemonConfigOf(config));
        if (config === this.#config) {
          this.#daemon = daemon;
          this.#startError = undefined;
          this.#announceReady(daemon);
          return;
        }
        // Reloaded meanwhile.
        await daemon.stop();
      } catch (thrown) {
        if (!(thrown instanceof PgxaError) || !canMendItself(thrown)) throw thrown;
        if (this.#startError?.message !== thrown.message) {
          this.#log.error({ err: thrown }, 'the decision log does not answer, trying again');
        }
        this.#startError = thrown;
      }
      const delayMs = Math.min(RETRY.maxMs, RETRY.firstMs * 2 ** attempt);
      // Aborted by a reload, which has another place to try, and by the end.
      await delay(delayMs, undefined, { signal: this.#retry.signal }).catch(() => undefined);
      if (this.#retry.signal.aborted) this.#retry = new AbortController();
    }
  }

  #announceReady(daemon: RecoveryDaemon): void {
    void daemon.whenReady.then(async () => {
      if (this.#stopping.signal.aborted || this.#daemon !== daemon) return;
      const away = Object.entries(daemon.status().participants).flatMap(([name, one]) =>
        one.lease === 'held' && one.state !== 'listed' ? [name] : [],
      );
      if (away.length === 0) this.#log.info('ready: every participant was looked at');
      else this.#log.warn({ participants: away }, 'ready, but not for these participants');
      this.#isReady = true;
      await this.#manager.ready();
    });
  }

  async #untilStopped(): Promise<void> {
    const { signal } = this.#stopping;
    if (!signal.aborted) await once(signal, 'abort');
  }

  /** Never rejects: a file that cannot be used changes nothing. */
  async #reload(): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    if (this.#isReady) await this.#manager.reloading();
    let next: ConfigFile | undefined;
    try {
      next = loadConfigFile(this.#context.configPath, this.#context.terminal);
      await this.#change(next);
      this.#isRefused = false;
      this.#metrics.reloaded(true);
      this.#log.info({ file: next.file }, 'reloaded the configuration');
      this.#warn(next);
    } catch (thrown) {
      const problems = thrown instanceof ConfigFileError ? thrown.message : undefined;
      this.#metrics.reloaded(false);
      this.#isRefused = true;
      this.#log.error(
        { err: problems ?? thrown },
        'the new configuration is refused, the old one stays in force',
      );
    }
    if (this.#isReady) await this.#manager.ready();
  }

  async #change(next: ConfigFile): Promise<void> {
    const old = { config: this.#config, daemon: this.#daemon, http: this.#http };
    const moves = !isSamePlace(old.config, next);
    const http = moves ? await this.#openHttp(next) : this.#http;
    let daemon: RecoveryDaemon | undefined;
    try {
      // While the log has not answered yet, start() goes on with the new file.
      if (old.daemon !== undefined) daemon = await createRecoveryDaemon(daemonConfigOf(next));
    } catch (error) {
      if (moves) await http?.close();
      throw error;
    }
    this.#config = next;
    this.#daemon = daemon;
    this.#http = http;
    this.#fed = { atMs: this.#fed.atMs, tickMs: 0 };
    this.#log.level = next.settings.daemon.log;
    if (moves) await old.http?.close();
    else http?.useToken(tokenOf(next));
    await old.daemon?.stop();
    if (daemon === undefined) this.#retry.abort();
    else if (!this.#isReady) this.#announceReady(daemon);
  }

  async #openHttp({ settings }: ConfigFile): Promise<HttpFace | undefined> {
    const { http } = settings.daemon;
    if (http === false) return undefined;
    const face = await HttpFace.open(http, this.#httpSources());
    this.#log.info({ url: face.url, token: http.token !== undefined }, 'answers on HTTP');
    return face;
  }

  #httpSources(): HttpSources {
    const redact = (text: string): string => this.#redact(text);
    const { registry } = this.#metrics;
    return {
      live: () => liveness(this.#status(), this.#config.settings.daemon.intervalMs),
      ready: (participant) => {
        const status = this.#status();
        if (participant === undefined) return readiness(status, redact);
        const one = status?.participants[participant];
        return one === undefined ? undefined : participantReadiness(one, redact);
      },
      metrics: async () => ({
        contentType: registry.contentType,
        text: await registry.metrics(),
      }),
    };
  }

  #look(): void {
    const status = this.#status();
    if (this.#stopping.signal.aborted) return;
    const reason = this.#redact(this.#startError?.message ?? 'connecting');
    const line =
      status === undefined ? `waits for the decision log: ${reason}` : statusLine(status);
    void this.#manager.status(this.#isRefused ? `new configuration refused; ${line}` : line);
    if (status !== undefined) this.#feedWatchdog(status);
  }

  /** Only if a loop has come round since the last time: a timer alone would feed it for dead loops too. */
  #feedWatchdog({ sinceLastTickMs }: DaemonStatus): void {
    const { watchdogMs } = this.#manager;
    if (watchdogMs === undefined) return;
    const now = performance.now();
    const tickMs = now - sinceLastTickMs;
    const isDue = now - this.#fed.atMs > watchdogMs / 3;
    if (!isDue || tickMs <= this.#fed.tickMs) return;
    this.#fed = { atMs: now, tickMs };
    void this.#manager.alive();
  }

  #status(): DaemonStatus | undefined {
    return this.#daemon?.status();
  }

  #redact(text: string): string {
    return this.#config.redactor.redact(text);
  }
}

/** Reachable again some day, as against: to be mended by somebody first. */
function canMendItself({ code, cause }: PgxaError): boolean {
  if (code === 'PGXA_LOG_UNREACHABLE') return true;
  if (code !== 'PGXA_LOG_NOT_USABLE' || !(cause instanceof Error)) return false;
  const { code: sqlstate } = cause as { code?: unknown };
  const isLost = typeof sqlstate !== 'string' || !/^[0-9A-Z]{5}$/.test(sqlstate);
  // Connection, resources, operator intervention: of the moment.
  return isLost || /^(08|53|57)/.test(sqlstate);
}

function tokenOf({ settings: { daemon } }: ConfigFile): string | undefined {
  return daemon.http === false ? undefined : daemon.http.token;
}

function isSamePlace(a: ConfigFile, b: ConfigFile): boolean {
  const [one, other] = [a.settings.daemon.http, b.settings.daemon.http];
  if (one === false || other === false) return one === other;
  return one.host === other.host && one.port === other.port;
}
