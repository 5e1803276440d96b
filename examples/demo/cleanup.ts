/** What has to be undone at the end of the demo, however it ends. */
export class Cleanup {
  readonly #steps: (() => Promise<unknown>)[] = [];
  #running: Promise<void> | undefined;

  /** To be called before something is started: an ending demo starts nothing. */
  assertOpen(): void {
    if (this.#running !== undefined) throw new Error('the demo is ending');
  }

  add(step: () => Promise<unknown>): void {
    this.#steps.push(step);
  }

  /** The latest first. A step that fails keeps no other from its work. */
  run(): Promise<void> {
    this.#running ??= this.#runAll();
    return this.#running;
  }

  async #runAll(): Promise<void> {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      await step().catch((error: unknown) => {
        console.error('cleaning up:', error);
      });
    }
  }
}
