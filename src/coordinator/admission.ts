import { throwIfAborted, type Cancelled } from '../cancellation.ts';
import { toError } from '../errors.ts';

/**
 * Lets no more transactions run at once than the smallest pool can serve. Without it, transactions
 * that hold a connection of one pool can all wait for one of the other, for ever.
 */
export class Admission {
  readonly #limit: number;
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Resolves when there is room, first come first served; rejects with the signal's reason. */
  async enter(signal: Cancelled): Promise<void> {
    throwIfAborted(signal);
    if (this.#running < this.#limit) {
      this.#running += 1;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const admit = (): void => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      const onAbort = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(admit), 1);
        reject(toError(signal.reason));
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiting.push(admit);
    });
  }

  /** Hands the place on to the next in line. Call once for each time that `enter` resolved. */
  leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#running -= 1;
    else next();
  }
}
