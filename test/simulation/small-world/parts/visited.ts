/** A set of states by a hash of 64 bits, and for each the budgets with which it was explored. */
export class Visited {
  #bits = 16;
  #high = new Uint32Array(1 << 16);
  #low = new Uint32Array(1 << 16);
  #budgets = new Uint32Array(1 << 16);
  size = 0;

  /** The place of a state: it is new where its budgets are 0. */
  place(numbers: readonly number[]): number {
    if (this.size * 4 > 3 * this.#high.length) this.#grow();
    let high = 0x9e3779b9 ^ numbers.length;
    let low = 0x85ebca6b;
    for (const number of numbers) {
      high = Math.imul(high ^ number, 0xcc9e2d51);
      high = (high << 15) | (high >>> 17);
      low = Math.imul(low ^ (number + (high >>> 7)), 0x1b873593);
      low ^= low >>> 13;
    }
    high = mixed(high ^ (low >>> 3)) >>> 0;
    low = mixed(low + 0x27d4eb2f) >>> 0;
    const at = this.#find(high, low);
    if (this.#budgets[at] === 0) {
      this.#high[at] = high;
      this.#low[at] = low;
      this.size += 1;
    }
    return at;
  }

  budgetsAt(place: number): number {
    return this.#budgets[place] ?? 0;
  }

  add(place: number, budgets: number): void {
    this.#budgets[place] = this.budgetsAt(place) | budgets;
  }

  #find(high: number, low: number): number {
    const mask = this.#high.length - 1;
    let at = (high ^ Math.imul(low, 0x2c1b3c6d)) & mask;
    while (this.#budgets[at] !== 0 && (this.#high[at] !== high || this.#low[at] !== low)) {
      at = (at + 1) & mask;
    }
    return at;
  }

  #grow(): void {
    const [highs, lows, budgets] = [this.#high, this.#low, this.#budgets];
    this.#bits += 1;
    this.#high = new Uint32Array(2 ** this.#bits);
    this.#low = new Uint32Array(2 ** this.#bits);
    this.#budgets = new Uint32Array(2 ** this.#bits);
    for (let from = 0; from < highs.length; from += 1) {
      if (budgets[from] === 0) continue;
      const [high = 0, low = 0] = [highs[from], lows[from]];
      const at = this.#find(high, low);
      this.#high[at] = high;
      this.#low[at] = low;
      this.#budgets[at] = budgets[from] ?? 0;
    }
  }
}

function mixed(value: number): number {
  let mixing = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  mixing = Math.imul(mixing ^ (mixing >>> 13), 0xc2b2ae35);
  return mixing ^ (mixing >>> 16);
}
