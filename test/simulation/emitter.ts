/** Node's EventEmitter, as far as pg's clients are one; a third of its price. */
export type Listener = (...args: never[]) => void;

interface Entry {
  readonly event: string;
  readonly listener: Listener;
  readonly isOnce: boolean;
}

export class Emitter {
  /** Replaced by every change while somebody is emitting, who goes on with what there was. */
  #entries: Entry[] = [];
  #emitting = 0;

  on(event: string, listener: Listener): this {
    this.#add({ event, listener, isOnce: false });
    return this;
  }

  once(event: string, listener: Listener): this {
    this.#add({ event, listener, isOnce: true });
    return this;
  }

  removeListener(event: string, listener: Listener): this {
    const at = this.#entries.findLastIndex(
      (one) => one.event === event && one.listener === listener,
    );
    if (at !== -1) this.#removeAt(at);
    return this;
  }

  emit(event: string, payload?: unknown): boolean {
    let heard = false;
    this.#emitting += 1;
    try {
      for (const entry of this.#entries) {
        if (entry.event !== event) continue;
        heard = true;
        if (entry.isOnce) this.#removeAt(this.#entries.indexOf(entry));
        (entry.listener as (payload: unknown) => void)(payload);
      }
    } finally {
      this.#emitting -= 1;
    }
    // What nobody hears ends a program.
    if (!heard && event === 'error') throw payload;
    return heard;
  }

  #add(entry: Entry): void {
    if (this.#emitting === 0) this.#entries.push(entry);
    else this.#entries = [...this.#entries, entry];
  }

  #removeAt(at: number): void {
    if (at === -1) return;
    if (this.#emitting === 0) this.#entries.splice(at, 1);
    else this.#entries = this.#entries.toSpliced(at, 1);
  }
}
