import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';

import type { DecisionLog } from '../decision-log/decision-log.ts';
import { toError } from '../errors.ts';
import type { Publish } from '../events.ts';
import type { Runtime } from '../runtime.ts';

export interface EpochOptions {
  readonly log: DecisionLog;
  readonly coordinator: string;
  readonly version: string;
  /** An epoch that has not beaten for this long may be retired by recovery. */
  readonly heartbeatLimitMs: number;
  readonly runtime: Runtime;
  readonly publish: Publish;
}

/** Beats per limit: one lost heartbeat must not cost a coordinator its epoch. */
const BEATS_PER_LIMIT = 10;

/**
 * The life of a coordinator as the log knows it. Every start is a new epoch; so is the return of a
 * coordinator that recovery has retired meanwhile (it was frozen, or cut off from the log).
 */
export class Epoch {
  readonly #options: EpochOptions;
  #current = '';
  #cancelTimer: (() => void) | undefined;
  #beating: Promise<void> | undefined;
  #stopped = false;

  constructor(options: EpochOptions) {
    this.#options = options;
  }

  /** 16 hexadecimal digits: the epoch that new transactions belong to. */
  get current(): string {
    return this.#current;
  }

  /** Registers the first epoch and starts the heartbeat. */
  async start(): Promise<void> {
    await this.#register();
    this.#schedule();
  }

  /** Ends the heartbeat, and the epoch too if nothing is left to decide in it. */
  async stop(options: { readonly endEpoch: boolean }): Promise<void> {
    this.#stopped = true;
    this.#cancelTimer?.();
    await this.#beating;
    if (!options.endEpoch) return;
    try {
      await this.#options.log.endEpoch(this.#current);
    } catch {
      // The log is away: recovery retires the epoch when its time has run out.
    }
  }

  async #register(): Promise<void> {
    const { log, coordinator, version, heartbeatLimitMs, publish } = this.#options;
    const epoch = randomBytes(8).toString('hex');
    await log.registerCoordinator({
      epoch,
      name: coordinator,
      host: hostname(),
      pid: process.pid,
      version,
      heartbeatLimitMs,
    });
    this.#current = epoch;
    publish('coordinator:registered', { coordinator, epoch });
  }

  #schedule(): void {
    if (this.#stopped) return;
    const { heartbeatLimitMs, runtime } = this.#options;
    this.#cancelTimer = runtime.after(heartbeatLimitMs / BEATS_PER_LIMIT, () => {
      this.#beating = this.#beat().finally(() => {
        this.#schedule();
      });
    });
  }

  async #beat(): Promise<void> {
    const { log, coordinator, publish } = this.#options;
    const epoch = this.#current;
    try {
      if (await log.heartbeat(epoch)) return;
      publish('coordinator:retired', { coordinator, epoch });
      await this.#register();
    } catch (error) {
      publish('coordinator:heartbeat-failed', { coordinator, error: toError(error) });
    }
  }
}
