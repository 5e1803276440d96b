/** Node's EventEmitter, as far as pg's clients are one; a third of its price. */
export type Listener = (...args: never[]) => void;

interface Entry {
  readonly event: string;
  readonly listener: Listener;
  readonly isOnce: boolean;
}

export class Emitter {
  /** Replaced by every change, so that whoever is emitting goes on with what there was. */
  #entries: readonly Entry[] = [];

  on(event: string, listener: Listener): this {
    this.#entries = [...this.#entries, { event, listener, isOnce: false }];
    return this;
  }

  once(event: string, listener: Listener): this {
    this.#entries = [...this.#entries, { event, listener, isOnce: true }];
    return this;
  }

  removeListener(event: string, listener: Listener): this {
    const at = this.#entries.findLastIndex(
      (one) => one.event === event && one.listener === listener,
    );
    if (at !== -1) this.#entries = this.#entries.toSpliced(at, 1);
    return this;
  }

  emit(event: string, payload?: unknown): boolean {
    let heard = false;
    for (const entry of this.#entries) {
      if (entry.event !== event) continue;
      heard = true;
      if (entry.isOnce) this.#entries = this.#entries.filter((one) => one !== entry);
      (entry.listener as (payload: unknown) => void)(payload);
    }
    // What nobody hears ends a program.
    if (!heard && event === 'error') throw payload;
    return heard;
  }
}
