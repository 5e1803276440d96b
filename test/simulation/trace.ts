import type { Scheduler } from './scheduler.ts';

/** What happened, in order: as a hash always, as text when somebody wants to read it. */
export class Trace {
  readonly lines: string[] = [];
  readonly #scheduler: Scheduler;
  readonly #keep: boolean;
  #low = 0x811c9dc5;
  #high = 0x01000193;

  constructor(scheduler: Scheduler, keep: boolean) {
    this.#scheduler = scheduler;
    this.#keep = keep;
  }

  get hash(): string {
    return [this.#high, this.#low]
      .map((half) => (half >>> 0).toString(16).padStart(8, '0'))
      .join('');
  }

  add(who: string, does: string, what: string, where: string): void {
    const { now } = this.#scheduler;
    this.#mix(now);
    this.#mix(who.length * 64 + does.length);
    this.#mixText(what);
    this.#mix(who.charCodeAt(who.length - 1));
    this.#mix(where.charCodeAt(0));
    if (this.#keep)
      this.lines.push(`${now.toFixed(3).padStart(10)} ${who} ${does} ${what} ${where}`);
  }

  /** As `#mix` for each character, over values that stay in registers. */
  #mixText(text: string): void {
    let low = this.#low;
    let high = this.#high;
    for (let at = 0; at < text.length; at += 1) {
      low = Math.imul(low ^ (text.charCodeAt(at) * 1000), 0x01000193);
      high = (Math.imul(high, 31) + low) | 0;
    }
    this.#low = low;
    this.#high = high;
  }

  #mix(value: number): void {
    this.#low = Math.imul(this.#low ^ (value * 1000), 0x01000193);
    this.#high = (Math.imul(this.#high, 31) + this.#low) | 0;
  }
}
