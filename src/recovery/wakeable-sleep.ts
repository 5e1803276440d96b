import type { Runtime } from '../runtime.ts';

/** A sleep that can be cut short. A wake that comes while nobody sleeps cuts the next sleep short. */
export class WakeableSleep {
  readonly #runtime: Runtime;
  #isWoken = false;
  #end: (() => void) | undefined;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  wake(): void {
    this.#isWoken = true;
    this.#end?.();
  }

  /** Resolves after `ms`, when it is woken, or when the signal is aborted; never rejects. */
  async sleep(ms: number, signal: AbortSignal): Promise<void> {
    if (!this.#isWoken) {
      const waking = new AbortController();
      const onAbort = (): void => {
        waking.abort(signal.reason);
      };
      this.#end = onAbort;
      signal.addEventListener('abort', onAbort, { once: true });
      if (signal.aborted) onAbort();
      await this.#runtime.sleep(ms, waking.signal).catch(() => undefined);
      signal.removeEventListener('abort', onAbort);
      this.#end = undefined;
    }
    this.#isWoken = false;
  }
}
