import type { DaemonLog } from '../decision-log/daemon-log.ts';
import { toError } from '../errors.ts';
import type { Publish } from '../events.ts';
import type { Runtime } from '../runtime.ts';
import type { HousekeepingStatus } from './daemon-status.ts';
import type { ReadList } from './participant-loop.ts';

export interface HousekeepingOptions {
  readonly log: DaemonLog;
  readonly heartbeatLimitMs: number;
  readonly intervalMs: number;
  readonly retentionDays: number;
  readonly runtime: Runtime;
  readonly publish: Publish;
  readonly isHeld: () => boolean;
  /** What each participant's loop has read last. */
  readonly lists: () => readonly {
    readonly participant: string;
    readonly lastList: ReadList | undefined;
    readonly timeline: string | undefined;
  }[];
}

export const HOUSEKEEPING_LEASE = 'housekeeping';
/** How often the log learns what was seen on the participants: retention trusts a list for an hour. */
const NOTE_EVERY_MS = 60_000;
const KEEP_HOUSE_FIRST_MS = 5_000;
const KEEP_HOUSE_EVERY_MS = 3_600_000;
/** After a failure, or while something holds the retention. */
const KEEP_HOUSE_AGAIN_MS = 300_000;

/** Retires epochs whose time has run out, tells the log what was listed, and forgets what is old. */
export class HousekeepingLoop {
  readonly #options: HousekeepingOptions;
  #lastRunAt: Date | undefined;
  #error: Error | undefined;
  #heldBy: string | undefined;
  #forgottenBefore: Date | undefined;
  #noteAtMs = 0;
  #keepAtMs: number;

  constructor(options: HousekeepingOptions) {
    this.#options = options;
    // A list of each participant should be noted first: without one it holds the retention.
    this.#keepAtMs = options.runtime.now() + KEEP_HOUSE_FIRST_MS;
  }

  status(): HousekeepingStatus {
    return {
      lastRunAt: this.#lastRunAt,
      error: this.#error,
      heldBy: this.#heldBy,
      forgottenBefore: this.#forgottenBefore,
    };
  }

  async run(signal: AbortSignal): Promise<void> {
    const { runtime, intervalMs, isHeld } = this.#options;
    while (!signal.aborted) {
      await this.#noteLists();
      if (isHeld()) {
        await this.#retireSilent();
        await this.#keepHouse();
      }
      await runtime.sleep(intervalMs, signal).catch(() => undefined);
    }
  }

  /** Also without the lease: each daemon knows its own participants. */
  async #noteLists(): Promise<void> {
    const { runtime, log, lists } = this.#options;
    const now = runtime.now();
    if (now < this.#noteAtMs) return;
    const notes = lists().flatMap(({ participant, lastList, timeline }) => {
      const server = lastList?.report.server;
      if (lastList === undefined || server === undefined) return [];
      const { systemIdentifier, databaseOid } = server;
      const { oldest } = lastList.report;
      // While an older one is being checked, nothing is said of it: it is not the server's any more.
      const checked = timeline === server.timeline ? timeline : undefined;
      const ageMs = Math.max(now - lastList.readAtMs, Date.now() - lastList.readAt.getTime());
      return [{ participant, systemIdentifier, databaseOid, oldest, ageMs, timeline: checked }];
    });
    if (notes.length === 0) return;
    // When the log is away the loops say so.
    const noted = await log.noteListings(notes).then(
      () => true,
      () => false,
    );
    if (noted) this.#noteAtMs = now + NOTE_EVERY_MS;
  }

  async #retireSilent(): Promise<void> {
    const { log, heartbeatLimitMs, publish } = this.#options;
    // The recoverer retires as well, where a branch asks for it: this one keeps the list of coordinators true.
    const epochs = await log.retireSilent(heartbeatLimitMs).catch(() => []);
    if (epochs.length > 0) publish('recovery:retired', { epochs });
  }

  async #keepHouse(): Promise<void> {
    const { runtime, log, retentionDays, publish } = this.#options;
    const now = runtime.now();
    if (now < this.#keepAtMs) return;
    try {
      const kept = await log.keepHouse(retentionDays);
      this.#error = undefined;
      this.#heldBy = kept.heldBy;
      this.#forgottenBefore = kept.forgottenBefore;
      publish('recovery:housekeeping', { ...kept, error: undefined });
    } catch (thrown) {
      this.#error = toError(thrown);
      publish('recovery:housekeeping', { ...NOTHING_DONE, error: this.#error });
    }
    this.#lastRunAt = new Date();
    const again = this.#error !== undefined || this.#heldBy !== undefined;
    this.#keepAtMs = now + (again ? KEEP_HOUSE_AGAIN_MS : KEEP_HOUSE_EVERY_MS);
  }
}

const NOTHING_DONE = {
  made: [],
  dropped: [],
  heldBy: undefined,
  forgottenEpochs: 0,
  forgottenKeys: 0,
};
