import type { Cancelled } from './cancellation.ts';
import type { Runtime } from './runtime.ts';

/** Bounded exponential delays with full jitter. All times in milliseconds. */
export interface BackoffLimits {
  readonly firstMs: number;
  readonly maxMs: number;
}

/**
 * The delay before attempt `attempt` (1 = the first repetition): uniform between half of, and the
 * whole of, min(maxMs, firstMs * 2^(attempt-1)). Half is kept as a floor so that a herd of
 * retries can never degenerate into a busy loop.
 */
export function backoffDelayMs(
  attempt: number,
  limits: BackoffLimits,
  random: () => number,
): number {
  const ceiling = Math.min(limits.maxMs, limits.firstMs * 2 ** Math.min(attempt - 1, 30));
  return ceiling / 2 + (random() * ceiling) / 2;
}

/**
 * Repeats `attempt` until it returns something else than undefined, or until `untilMs` (monotonic)
 * has passed after an attempt. The first attempt is always made. Returns undefined when time ran out.
 */
export async function retryUntil<T>(
  runtime: Runtime,
  limits: BackoffLimits,
  untilMs: number,
  attempt: () => Promise<T | undefined>,
  signal?: Cancelled,
): Promise<T | undefined> {
  for (let repetition = 1; ; repetition += 1) {
    const result = await attempt();
    if (result !== undefined) return result;
    const delay = backoffDelayMs(repetition, limits, runtime.random);
    if (runtime.now() + delay > untilMs || signal?.aborted === true) return undefined;
    try {
      await runtime.sleep(delay, signal);
    } catch {
      return undefined;
    }
  }
}
