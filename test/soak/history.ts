/**
 * What happened in a soak, one JSON line per event, in the order in which the harness saw it. The checkers
 * (checkers.ts) read nothing but this.
 */
import { createWriteStream, type WriteStream } from 'node:fs';
import { once } from 'node:events';

/** What a coordinator, a daemon or the operator says on its standard output. */
export type WorkerEvent =
  | { readonly kind: 'ready'; readonly pid?: number }
  /** The function of a transaction has begun to run: from here on its id may be found anywhere. */
  | {
      readonly kind: 'begun';
      readonly id: string;
      /** Run number in its process: attempts of one run() share it. */
      readonly run: number;
      readonly type: string;
      /** Participants that shall have its markers if it commits. */
      readonly writers: readonly string[];
      readonly key?: string;
    }
  /** What the caller was told. */
  | { readonly kind: 'ok'; readonly id: string; readonly run: number }
  | {
      readonly kind: 'fail';
      readonly id: string;
      readonly run: number;
      readonly code: string;
      readonly why: string;
      readonly existing?: string;
      readonly key?: string;
    }
  | { readonly kind: 'info'; readonly id: string; readonly run: number; readonly why: string }
  | {
      readonly kind: 'told-heuristic';
      readonly id: string;
      readonly run: number;
      readonly heuristic: string;
      readonly why: string;
    }
  /** An error of a class that nothing here should cause. */
  | {
      readonly kind: 'unexpected';
      readonly id: string;
      readonly where: string;
      readonly why: string;
    }
  | { readonly kind: 'hook'; readonly id: string; readonly hook: 'committed' | 'rolled-back' }
  /** An answer of outcomeOf(); "undecided" is not told. */
  | { readonly kind: 'outcome'; readonly id: string; readonly outcome: 'committed' | 'aborted' }
  | {
      readonly kind: 'heuristic-found';
      readonly id: string;
      readonly participant: string;
      readonly heuristic: string;
      readonly why: string;
    }
  /** A daemon works on a participant from now on. */
  | { readonly kind: 'lease'; readonly participant: string }
  /** A verb of `pgxa` that the operator's script has run. Null: it was killed. */
  | {
      readonly kind: 'verb';
      readonly verb: string;
      readonly code: number | null;
      readonly ms: number;
      /** Where it was not fine: the end of what it said about that. */
      readonly said?: string;
    }
  /** What recovery has done since the last such event. */
  | {
      readonly kind: 'passes';
      readonly passes: number;
      readonly committed: number;
      readonly rolledBack: number;
      readonly heuristics: number;
    }
  | { readonly kind: 'closed' };

export interface MarkerRow {
  readonly id: string;
  readonly account: number;
  readonly version: number;
  readonly amount: number;
  readonly writers: readonly string[];
  readonly key: string | null;
}

/** What the harness itself does and reads. */
export type HarnessEvent =
  | { readonly kind: 'configured'; readonly seed: number; readonly settings: unknown }
  /** A fault has fired, `times` times. */
  | {
      readonly kind: 'fault';
      readonly fault: string;
      readonly times: number;
      readonly detail?: unknown;
    }
  | { readonly kind: 'healed' }
  | { readonly kind: 'nemesis-failed'; readonly fault: string; readonly why: string }
  | {
      readonly kind: 'process-ended';
      readonly who: string;
      readonly how: string;
      readonly expected: boolean;
    }
  /** Nothing of ours is prepared any more, so long after the last fault was healed. */
  | { readonly kind: 'quiet'; readonly afterMs: number }
  | { readonly kind: 'not-quiet'; readonly left: readonly string[] }
  /** A failover lost what its primary had acknowledged: commits, and votes of branches not yet finished. */
  | {
      readonly kind: 'lost-history';
      readonly participant: string;
      readonly commits: readonly string[];
      readonly votes: readonly string[];
    }
  /** The server has handed the xids of these lost branches out again, and what got them is committed. */
  | {
      readonly kind: 'handed-out-again';
      readonly participant: string;
      readonly ids: readonly string[];
    }
  /** The log was restored from a copy that is older than these decisions. */
  | { readonly kind: 'lost-decisions'; readonly ids: readonly string[] }
  | { readonly kind: 'final-marker'; readonly participant: string; readonly row: MarkerRow }
  | {
      readonly kind: 'final-accounts';
      readonly participant: string;
      readonly accounts: readonly { id: number; balance: number; version: number }[];
    }
  | { readonly kind: 'final-children'; readonly participant: string; readonly count: number }
  | { readonly kind: 'final-foreign'; readonly participant: string; readonly gids: string[] }
  | { readonly kind: 'planted-foreign'; readonly participant: string; readonly gids: string[] }
  | {
      readonly kind: 'final-decision';
      readonly id: string;
      readonly outcome: string;
      readonly by: string;
    }
  | {
      readonly kind: 'final-heuristic';
      readonly id: string;
      /** With what stands in the register for it. */
      readonly row: { readonly kind: string; readonly participant: string } & Readonly<
        Record<string, unknown>
      >;
    }
  /** The audit of an operator's force, as it begins and as it ends. */
  | {
      readonly kind: 'final-force';
      readonly id: string;
      readonly action: string;
      /** What stood in the register when the operator looked. */
      readonly decided: string | null;
      /** At its end: participants of whom nobody could tell the operator, who was told to try again. */
      readonly pending?: readonly string[];
    }
  /** Heuristic outcomes that nobody has acknowledged: what the log holds, and what `pgxa list` shows. */
  | {
      readonly kind: 'final-list';
      readonly open: readonly string[];
      readonly shown: readonly string[];
    }
  /** What a daemon tells of itself when everything is healed, and how often it has told of a heuristic outcome. */
  | {
      readonly kind: 'final-daemon';
      readonly who: string;
      readonly isReady: boolean;
      readonly inDoubt: number;
      readonly heuristics: { readonly counted: number; readonly told: number };
    }
  | { readonly kind: 'final-leak'; readonly where: string; readonly what: string };

export type SoakEvent = (WorkerEvent | HarnessEvent) & {
  readonly index: number;
  /** Milliseconds since the harness began, by its monotonic clock. */
  readonly atMs: number;
  /** Who said it: a worker, or "harness". */
  readonly process: string;
};

export const ACCOUNTS = 60;
export const START_BALANCE = 1_000_000;

/** Appends events to a file; nothing is kept in memory but their number. */
export class HistoryWriter {
  readonly #stream: WriteStream;
  readonly #startedMs = performance.now();
  #count = 0;

  constructor(file: string) {
    this.#stream = createWriteStream(file);
  }

  get count(): number {
    return this.#count;
  }

  write(process: string, event: WorkerEvent | HarnessEvent): void {
    const atMs = Math.round(performance.now() - this.#startedMs);
    this.#count += 1;
    this.#stream.write(`${JSON.stringify({ index: this.#count, atMs, process, ...event })}\n`);
  }

  async close(): Promise<void> {
    this.#stream.end();
    await once(this.#stream, 'finish');
  }
}
