import { backoffDelayMs } from '../backoff.ts';
import type { DaemonLog } from '../decision-log/daemon-log.ts';
import { toError } from '../errors.ts';
import type { Runtime } from '../runtime.ts';
import { WakeableSleep } from './wakeable-sleep.ts';

export interface LeasesOptions {
  readonly log: Pick<DaemonLog, 'lease' | 'release'>;
  readonly runtime: Runtime;
  readonly names: readonly string[];
  readonly holder: string;
  readonly holderId: string;
  readonly leaseMs: number;
  readonly onChange: (name: string, lease: Lease) => void;
  /** After every attempt; the error when the log did not answer. */
  readonly onLog: (error: Error | undefined) => void;
}

export interface Lease {
  readonly held: boolean;
  readonly holder: string | undefined;
  readonly term: string | undefined;
}

/** One that has run out is taken a moment later, so that it has run out by the log's clock too. */
const TAKE_AFTER_MS = 20;

/**
 * Says which daemon works, one lease per participant. Only that: two that work at once do no harm, since
 * every abort has to be won in the register (invariant 2). A holder believes in its lease only for as
 * long as it runs by its own monotonic clock, counted from before it asked; one that was frozen
 * finds it over when it wakes up.
 */
export class Leases {
  readonly #options: LeasesOptions;
  readonly #heldUntilMs = new Map<string, number>();
  readonly #known = new Map<string, Lease>();
  readonly #leftAloneUntilMs = new Map<string, number>();
  readonly #sleep: WakeableSleep;

  constructor(options: LeasesOptions) {
    this.#options = options;
    this.#sleep = new WakeableSleep(options.runtime);
  }

  isHeld(name: string): boolean {
    return this.#options.runtime.now() < (this.#heldUntilMs.get(name) ?? 0);
  }

  /** What the log said last. */
  lastKnown(name: string): Lease | undefined {
    return this.#known.get(name);
  }

  /** Gives one back, and does not ask for it for a while. */
  leaveAlone(name: string, ms: number): void {
    const { log, runtime, holderId } = this.#options;
    this.#leftAloneUntilMs.set(name, runtime.now() + ms);
    this.#heldUntilMs.delete(name);
    this.#known.delete(name);
    // If it does not arrive, the lease ends by its time.
    log.release([name], holderId).catch(() => undefined);
  }

  /** Asks again at once: somebody gave a lease back. */
  wake(): void {
    this.#sleep.wake();
  }

  /** Takes and renews until the signal is aborted; then gives everything back. */
  async run(signal: AbortSignal): Promise<void> {
    const { log, runtime, leaseMs, names, holderId, onLog } = this.#options;
    let failures = 0;
    while (!signal.aborted) {
      let delayMs: number;
      try {
        delayMs = await this.#ask();
        failures = 0;
        onLog(undefined);
      } catch (thrown) {
        failures += 1;
        const limits = { firstMs: leaseMs / 10, maxMs: leaseMs / 2 };
        delayMs = backoffDelayMs(failures, limits, runtime.random);
        onLog(toError(thrown));
      }
      await this.#sleep.sleep(delayMs, signal);
    }
    this.#heldUntilMs.clear();
    // Another daemon waits for the end of the term otherwise; no more than that.
    await log.release(names, holderId).catch(() => undefined);
  }

  /** Returns when to ask again. */
  async #ask(): Promise<number> {
    const { log, runtime, holder, holderId, leaseMs, onChange } = this.#options;
    const askedAt = runtime.now();
    const names = this.#options.names.filter(
      (name) => askedAt >= (this.#leftAloneUntilMs.get(name) ?? 0),
    );
    const states = await log.lease({ names, holder, holderId, leaseMs });
    let delayMs = leaseMs / 3;
    for (const state of states) {
      if (state.isOurs) this.#heldUntilMs.set(state.name, askedAt + leaseMs);
      else {
        this.#heldUntilMs.delete(state.name);
        delayMs = Math.min(delayMs, Math.max(0, state.remainingMs) + TAKE_AFTER_MS);
      }
      const before = this.#known.get(state.name);
      const now = { held: state.isOurs, holder: state.holder, term: state.term };
      this.#known.set(state.name, now);
      if (before?.held !== now.held || before.term !== now.term) onChange(state.name, now);
    }
    return delayMs;
  }
}
