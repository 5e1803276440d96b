import { setTimeout as delay } from 'node:timers/promises';
import { inspect } from 'node:util';

export interface WaitOptions {
  readonly timeoutMs?: number;
  readonly intervalMs?: number;
}

type Truthy<T> = Exclude<T, false | 0 | 0n | '' | null | undefined>;

/**
 * Waits until `probe` returns something truthy, and returns that. A probe that throws counts as
 * "not yet" (a server that is starting refuses connections), and its error becomes the cause of the
 * timeout. A probe that hangs does not outlive the bound either.
 */
export async function waitFor<T>(
  description: string,
  probe: () => T | Promise<T>,
  { timeoutMs = 10_000, intervalMs = 20 }: WaitOptions = {},
): Promise<Truthy<T>> {
  const end = performance.now() + timeoutMs;
  let last = 'the probe has not answered yet';
  let cause: unknown;
  const timer = new AbortController();
  const timeout = delay(timeoutMs, undefined, { signal: timer.signal }).then(
    () => 'timeout' as const,
    () => 'timeout' as const,
  );
  try {
    for (;;) {
      const answer = await Promise.race([attempt(probe), timeout]);
      if (answer === 'timeout') break;
      if ('error' in answer) {
        cause = answer.error;
        last = `the probe threw ${String(answer.error)}`;
      } else {
        if (isTruthy(answer.value)) return answer.value;
        cause = undefined;
        last = `last value ${inspect(answer.value)}`;
      }
      if (performance.now() + intervalMs > end) break;
      await delay(intervalMs);
    }
  } finally {
    timer.abort();
  }
  throw new Error(`waited ${timeoutMs} ms for: ${description}; ${last}`, { cause });
}

async function attempt<T>(probe: () => T | Promise<T>): Promise<{ value: T } | { error: unknown }> {
  try {
    return { value: await probe() };
  } catch (error) {
    return { error };
  }
}

function isTruthy<T>(value: T): value is T & Truthy<T> {
  return Boolean(value);
}
