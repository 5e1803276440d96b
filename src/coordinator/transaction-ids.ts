import { v7 } from 'uuid';

/** Randomness for this many ids is fetched at a time: a call into the system for each costs more than all the rest. */
const IDS = 64;
const BYTES = 16;

/** UUIDv7 (RFC 9562, section 5.7): the first 48 bits are the time in milliseconds. */
export class TransactionIds {
  readonly #random = new Uint8Array(IDS * BYTES);
  #at = IDS * BYTES;
  readonly #options = { rng: () => this.#nextRandom() };

  next(): string {
    return v7(this.#options);
  }

  #nextRandom(): Uint8Array {
    if (this.#at === this.#random.length) {
      crypto.getRandomValues(this.#random);
      this.#at = 0;
    }
    this.#at += BYTES;
    return this.#random.subarray(this.#at - BYTES, this.#at);
  }
}
