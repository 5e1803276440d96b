import type { Cancelled } from './cancellation.ts';
import { toError } from './errors.ts';
import type { Runtime } from './runtime.ts';

/** The result of `work`, or undefined when it takes longer than `ms`. */
export async function within<T>(
  runtime: Runtime,
  ms: number,
  work: () => Promise<T>,
): Promise<T | undefined> {
  if (!Number.isFinite(ms)) return work();
  let cancel = (): void => undefined;
  const tooLate = new Promise<undefined>((resolve) => {
    cancel = runtime.after(ms, () => {
      resolve(undefined);
    });
  });
  try {
    return await Promise.race([work(), tooLate]);
  } finally {
    cancel();
  }
}

/** The result of `work`, unless the signal is aborted first: then its reason is thrown. */
export function untilAborted<T>(signal: Cancelled, work: Promise<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const onAbort = (): void => {
      reject(toError(signal.reason));
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    // What nobody waits for any more may still fail.
    work.then(
      (value) => {
        signal.removeEventListener('abort', onAbort);
        resolve(value);
      },
      (error: unknown) => {
        signal.removeEventListener('abort', onAbort);
        reject(toError(error));
      },
    );
  });
}
