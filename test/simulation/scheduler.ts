/** Virtual time: what is to happen, in order of time and, at one time, in order of asking. */
export interface Scheduled {
  readonly at: number;
  readonly order: number;
  /** Undefined once it has happened or was called off. */
  run: (() => void) | undefined;
}

export class Scheduler {
  /** Virtual milliseconds. */
  now = 0;
  /** How many events have happened. */
  events = 0;
  readonly #heap: Scheduled[] = [];
  #order = 0;

  after(ms: number, run: () => void): Scheduled {
    const scheduled = { at: this.now + ms, order: (this.#order += 1), run };
    this.#push(scheduled);
    return scheduled;
  }

  /** What would happen next. */
  get next(): Scheduled | undefined {
    while (this.#heap[0] !== undefined && this.#heap[0].run === undefined) this.#pop();
    return this.#heap[0];
  }

  /** Nothing happens up to then, nor in that moment. */
  isIdleUntil(at: number): boolean {
    const { next } = this;
    return next === undefined || next.at > at;
  }

  /** Lets one thing happen; false when nothing is left. */
  step(): boolean {
    for (;;) {
      const next = this.#pop();
      if (next === undefined) return false;
      const { run } = next;
      if (run === undefined) continue;
      next.run = undefined;
      this.now = next.at;
      this.events += 1;
      run();
      return true;
    }
  }

  #push(scheduled: Scheduled): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(scheduled);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent] as Scheduled;
      if (isBefore(above, scheduled)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = scheduled;
  }

  #pop(): Scheduled | undefined {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop();
    if (top === undefined || last === undefined || heap.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      const right = heap[child + 1];
      if (right !== undefined && isBefore(right, heap[child] as Scheduled)) child += 1;
      const below = heap[child] as Scheduled;
      if (isBefore(last, below)) break;
      heap[at] = below;
      at = child;
    }
    heap[at] = last;
    return top;
  }
}

function isBefore(a: Scheduled, b: Scheduled): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
