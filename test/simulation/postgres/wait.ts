/** Thrown by a statement that has to wait: it is run again when the key is given up, or time is out. */
export class Wait {
  readonly key: string;
  readonly timeoutMs: number;

  constructor(key: string, timeoutMs: number) {
    this.key = key;
    this.timeoutMs = timeoutMs;
  }
}
