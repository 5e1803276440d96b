/** Thrown by a statement that has to wait: it is run again when the key is given up, or time is out. */
export class Wait extends Error {
  readonly key: string;
  readonly timeoutMs: number;

  constructor(key: string, timeoutMs: number) {
    super(`waits for ${key}`);
    this.key = key;
    this.timeoutMs = timeoutMs;
  }
}
