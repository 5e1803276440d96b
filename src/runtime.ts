import type { Cancelled } from './cancellation.ts';
import { toError } from './errors.ts';

/**
 * Every source of nondeterminism that the protocol and recovery use, passed in so that the same
 * code runs on real servers and in a seeded simulator.
 */
export interface Runtime {
  /** Monotonic milliseconds. Never a wall clock: nothing here may depend on one. */
  readonly now: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Resolves after `ms`; rejects with the signal's reason when it is aborted first. */
  readonly sleep: (ms: number, signal?: Cancelled) => Promise<void>;
  /**
   * Calls `callback` once after `ms` milliseconds; returns a function that cancels it.
   */
  readonly after: (ms: number, callback: () => void) => () => void;
}

export const systemRuntime: Runtime = {
  now: () => performance.now(),
  random: () => Math.random(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(toError(signal.reason));
        return;
      }
      const onAbort = (): void => {
        clearTimeout(timer);
        reject(toError(signal?.reason));
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      }, ms);
      signal?.addEventListener('abort', onAbort, { once: true });
    }),
  after: (ms, callback) => {
    // setTimeout overflows at 2^31-1 ms and would fire at once.
    const timer = setTimeout(callback, Math.min(ms, 0x7fffffff));
    return () => {
      clearTimeout(timer);
    };
  },
};
