/**
 * The newest entries: `atLeast` of them, and at most twice as many. In two generations, of which the older one goes
 * at once: a Map whose oldest entry is deleted for each new one has to find its first entry behind all that were deleted.
 */
export class Recent<T> {
  readonly #atLeast: number;
  #newer = new Map<string, T>();
  #older = new Map<string, T>();

  constructor(atLeast: number) {
    this.#atLeast = atLeast;
  }

  get(key: string): T | undefined {
    return this.#newer.get(key) ?? this.#older.get(key);
  }

  has(key: string): boolean {
    return this.#newer.has(key) || this.#older.has(key);
  }

  set(key: string, value: T): void {
    if (this.#newer.size >= this.#atLeast) {
      this.#older = this.#newer;
      this.#newer = new Map();
    }
    this.#newer.set(key, value);
  }

  delete(key: string): void {
    this.#newer.delete(key);
    this.#older.delete(key);
  }
}
