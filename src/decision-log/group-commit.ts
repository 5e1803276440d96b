/**
 * Group commit: while one batch is being written, the next one gathers, and all of a batch share one
 * statement and one flush (DeWitt et al., "Implementation Techniques for Main Memory Database
 * Systems", SIGMOD 1984). Under light load a request is written at once. Where several have come while the
 * last batch was being written, more are about to: then a moment's wait saves the log a flush, and all of
 * them the processor's time for a statement.
 */
export class GroupCommit<Request, Reply> {
  readonly #write: (batch: readonly Request[]) => Promise<readonly Reply[]>;
  readonly #batchMax: number;
  readonly #waiting: Waiting<Request, Reply>[] = [];
  #writing = false;
  #lastSize = 0;

  /**
   * @param write answers every request of the batch, in order. If it rejects, all of them do.
   * @param batchMax bounds the size of a statement.
   */
  constructor(write: (batch: readonly Request[]) => Promise<readonly Reply[]>, batchMax: number) {
    this.#write = write;
    this.#batchMax = batchMax;
  }

  submit(request: Request): Promise<Reply> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ request, resolve, reject });
      if (!this.#writing) void this.#writeAll();
    });
  }

  async #writeAll(): Promise<void> {
    this.#writing = true;
    // What is submitted in the same turn of the event loop belongs to the same batch.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const isBusy = this.#lastSize >= BUSY_FROM && this.#waiting.length < this.#batchMax;
      if (isBusy) await new Promise((resolve) => setTimeout(resolve, WINDOW_MS));
      const batch = this.#waiting.splice(0, this.#batchMax);
      this.#lastSize = batch.length;
      try {
        const replies = await this.#write(batch.map(({ request }) => request));
        batch.forEach(({ resolve }, index) => {
          resolve(replies[index] as Reply);
        });
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.#writing = false;
  }
}

/** Batches of this size and larger are followed by a wait. */
const BUSY_FROM = 3;
/** Small beside what a transaction takes where so many come at once. */
const WINDOW_MS = 2;

interface Waiting<Request, Reply> {
  readonly request: Request;
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: unknown) => void;
}
