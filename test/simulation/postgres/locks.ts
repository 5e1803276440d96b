/** Heavyweight locks: rows of tables, by key. Waiters are woken in order and try again. */
export type LockMode =
  /** FOR KEY SHARE */
  | 'key-share'
  /** UPDATE of columns that are no key */
  | 'no-key-update'
  /** FOR UPDATE, and the row of an INSERT that is being written */
  | 'update';

const CONFLICTS: Readonly<Record<LockMode, readonly LockMode[]>> = {
  'key-share': ['update'],
  'no-key-update': ['no-key-update', 'update'],
  update: ['key-share', 'no-key-update', 'update'],
};

export class LockTable {
  readonly #held = new Map<string, Map<object, LockMode>>();
  readonly #keysOf = new Map<object, Set<string>>();
  readonly #waiting = new Map<string, (() => void)[]>();

  /** False if somebody else holds it. */
  take(owner: object, key: string, mode: LockMode): boolean {
    let holders = this.#held.get(key);
    if (holders === undefined) {
      holders = new Map();
      this.#held.set(key, holders);
    }
    for (const [other, held] of holders) {
      if (other !== owner && CONFLICTS[mode].includes(held)) return false;
    }
    const own = holders.get(owner);
    if (own !== 'update')
      holders.set(owner, own === 'no-key-update' && mode === 'key-share' ? own : mode);
    let keys = this.#keysOf.get(owner);
    if (keys === undefined) {
      keys = new Set();
      this.#keysOf.set(owner, keys);
    }
    keys.add(key);
    return true;
  }

  /** Calls `wake` once when somebody gives up the key; returns a function that takes that back. */
  wait(key: string, wake: () => void): () => void {
    const waiting = this.#waiting.get(key) ?? [];
    this.#waiting.set(key, waiting);
    waiting.push(wake);
    return () => {
      const at = waiting.indexOf(wake);
      if (at !== -1) waiting.splice(at, 1);
    };
  }

  release(owner: object): void {
    const keys = this.#keysOf.get(owner);
    if (keys === undefined) return;
    this.#keysOf.delete(owner);
    for (const key of keys) {
      this.#held.get(key)?.delete(owner);
      this.wake(key);
    }
  }

  wake(key: string): void {
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) return;
    this.#waiting.delete(key);
    for (const wake of waiting.splice(0)) wake();
  }
}
