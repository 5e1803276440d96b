import { Digest } from './digest.ts';

/**
 * What a process has done and seen: its code is deterministic, so this is its state. It is kept for each connection by
 * itself: where two replies were read one after the other, in either order, and the process did and saw the same on every
 * connection, it is taken to be in the same state. `exact` keeps the order of everything.
 */
export class History {
  static exact = false;
  #past = new Digest();
  readonly #links = new Map<string, Digest>();
  /** A time limit has run out. */
  timePassed = false;

  add(link: string, what: string): void {
    const key = History.exact ? '' : link;
    let digest = this.#links.get(key);
    if (digest === undefined) {
      digest = new Digest();
      this.#links.set(key, digest);
    }
    digest.add(`${link} ${what}`);
  }

  /** What came before a time limit has run out, and what came behind it. */
  passTime(): void {
    this.timePassed = true;
    const { value } = this;
    this.#links.clear();
    this.#past = new Digest().add(`${value} time`);
  }

  /** Nothing of what was before matters any more. */
  begin(what: string): void {
    this.#links.clear();
    this.#past = new Digest().add(what);
  }

  get value(): string {
    const links = [...this.#links].map(([link, digest]) => `${link} ${digest.value}`).sort();
    return `${this.#past.value} ${links.join()}`;
  }
}
