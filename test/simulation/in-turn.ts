import { toError } from '../../src/errors.ts';

/**
 * What `work` returns or throws, in a turn of the event loop of its own: outside of every promise, because a schedule empties
 * the queue of promises itself.
 */
export function inTurn<T>(work: () => T): Promise<T> {
  return new Promise((resolve, reject) => {
    setImmediate(() => {
      try {
        resolve(work());
      } catch (error) {
        reject(toError(error));
      }
    });
  });
}
