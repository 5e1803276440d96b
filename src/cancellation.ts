/** What is asked of a signal in here: an AbortSignal has it, and Cancellation. */
export interface Cancelled {
  readonly aborted: boolean;
  readonly reason: unknown;
  addEventListener(type: 'abort', listener: () => void, options?: { once: true }): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}

export function throwIfAborted({ aborted, reason }: Cancelled): void {
  if (aborted) throw reason;
}

/**
 * As an AbortController and its signal in one. Every transaction has one, and hardly any is ever aborted: to make a
 * real one, and to add and remove its listeners, was a twentieth of the client's time.
 */
export class Cancellation implements Cancelled {
  readonly #listeners = new Set<() => void>();
  #controller: AbortController | undefined;
  #aborted = false;
  #reason: unknown;

  get aborted(): boolean {
    return this.#aborted;
  }

  get reason(): unknown {
    return this.#reason;
  }

  /** For whoever wants a real one. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#aborted) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  /** Tells all who listen, once. Of two reasons the first counts. */
  abort(reason: unknown): void {
    if (this.#aborted) return;
    this.#aborted = true;
    this.#reason = reason;
    // A listener may remove others, which are not called any more then.
    for (const listener of [...this.#listeners]) {
      if (this.#listeners.delete(listener)) call(listener);
    }
    this.#controller?.abort(reason);
  }

  addEventListener(_type: 'abort', listener: () => void): void {
    this.#listeners.add(listener);
  }

  removeEventListener(_type: 'abort', listener: () => void): void {
    this.#listeners.delete(listener);
  }
}

/** What a listener throws keeps it from nobody else: it is an uncaught exception, as it is of an AbortSignal. */
function call(listener: () => void): void {
  try {
    listener();
  } catch (error) {
    process.nextTick(() => {
      throw error;
    });
  }
}
