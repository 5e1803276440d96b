import type { DaemonLog, FailureNote } from '../decision-log/daemon-log.ts';

export interface FailureNotesOptions {
  readonly log: Pick<DaemonLog, 'noteFailures'>;
  readonly participant: string;
  /** Name of this daemon. */
  readonly daemon: string;
}

/**
 * Tells the log what recovery cannot do on one participant, so that an operator is shown it. Beside the
 * passes, and never waited for: what cannot be noted is noted after a later pass. While nothing changes,
 * nothing is written.
 */
export class FailureNotes {
  readonly #options: FailureNotesOptions;
  /** What the log has; undefined before it was told anything, and after it did not answer. */
  #noted: string | undefined;
  #wanted: readonly FailureNote[] | undefined;
  #isWriting = false;

  constructor(options: FailureNotesOptions) {
    this.#options = options;
  }

  /** All that is failing now. */
  note(failures: readonly FailureNote[]): void {
    if (!this.#isWriting && keyOf(failures) === this.#noted) return;
    this.#wanted = failures;
    if (!this.#isWriting) void this.#write();
  }

  /** Another daemon works there, and notes what it finds. */
  forget(): void {
    this.#noted = undefined;
    this.#wanted = undefined;
  }

  /** Never rejects. */
  async #write(): Promise<void> {
    const { log, participant, daemon } = this.#options;
    this.#isWriting = true;
    try {
      for (let next = this.#wanted; next !== undefined; next = this.#wanted) {
        this.#wanted = undefined;
        this.#noted = undefined;
        await log.noteFailures(participant, daemon, next);
        this.#noted = keyOf(next);
      }
    } catch {
      // When the log is away the loops say so.
    } finally {
      this.#isWriting = false;
    }
  }
}

function keyOf(failures: readonly FailureNote[]): string {
  return JSON.stringify(failures.map(({ gid, attempts, error }) => [gid, attempts, error]));
}
