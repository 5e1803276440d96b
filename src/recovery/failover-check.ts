/**
 * A participant's server has another timeline than before: a standby was promoted, or a backup restored. What
 * the old server had acknowledged may be missing now. A branch that came back as prepared is finished like any
 * other; one that is missing altogether is on no list, and only its decision still knows it.
 *
 * Best effort, and nothing is guessed: an id that the new server has handed out again answers for the wrong
 * transaction, so a loss can be overlooked, more likely the later the check. It is recorded only when
 * the server says that the id is not committed in its history.
 */
import { backoffDelayMs } from '../backoff.ts';
import type { DaemonLog, DecidedBranch } from '../decision-log/daemon-log.ts';
import type { DecisionLog } from '../decision-log/decision-log.ts';
import { toError } from '../errors.ts';
import type { Publish } from '../events.ts';
import { formatGid } from '../participant/gid.ts';
import type { Participant } from '../participant/participant.ts';
import { isSameHistory } from '../participant/server-facts.ts';
import type { Runtime } from '../runtime.ts';
import type { ServerIdentity } from '../states.ts';
import type { ParticipantReport } from './report.ts';

export interface FailoverCheckOptions {
  readonly log: DecisionLog;
  readonly daemonLog: Pick<DaemonLog, 'listedTimeline' | 'decidedElsewhere'>;
  readonly participants: ReadonlyMap<string, Participant>;
  readonly runtime: Runtime;
  readonly publish: Publish;
  /** For the records that it writes. */
  readonly name: string;
}

interface State {
  /** Up to which nothing is left to check, and when it was seen last. */
  checked: { readonly timeline: string; readonly atMs: number } | undefined;
  isBusy: boolean;
  error: Error | undefined;
}

/** How far a check has come; kept between its attempts. */
interface Progress {
  withinMs: number;
  before: string | undefined;
  lost: number;
  lostInWindow: number;
}

/** What a standby may lag behind, beside the time since the last list. */
const LAG_MS = 600_000;
const WINDOW_MAX_MS = 7 * 86_400_000;
const QUESTIONS_IN_FLIGHT = 64;
const BACKOFF = { firstMs: 1_000, maxMs: 60_000 };

class HistoryChangedError extends Error {}

/** Beside the passes, which go on meanwhile: just then they have most to do. */
export class FailoverCheck {
  readonly #options: FailoverCheckOptions;
  readonly #states = new Map<string, State>();

  constructor(options: FailoverCheckOptions) {
    this.#options = options;
  }

  /** The timeline up to which nothing is left to check; undefined before the first list. */
  checkedTimeline(participant: string): string | undefined {
    return this.#states.get(participant)?.checked?.timeline;
  }

  /** Why the last attempt failed, while a check is due. */
  error(participant: string): Error | undefined {
    return this.#states.get(participant)?.error;
  }

  /** To be called with every report. Begins a check where one is due, and does not wait for it. */
  note(participant: string, { server }: ParticipantReport, signal: AbortSignal): void {
    if (server === undefined) return;
    const state = this.#states.get(participant) ?? {
      checked: undefined,
      isBusy: false,
      error: undefined,
    };
    this.#states.set(participant, state);
    if (state.isBusy) return;
    if (state.checked?.timeline === server.timeline) {
      state.checked = { timeline: server.timeline, atMs: this.#options.runtime.now() };
      return;
    }
    state.isBusy = true;
    void this.#untilChecked(participant, server, state, signal).finally(() => {
      state.isBusy = false;
    });
  }

  async #untilChecked(
    participant: string,
    server: ServerIdentity,
    state: State,
    signal: AbortSignal,
  ): Promise<void> {
    const { runtime, publish } = this.#options;
    const progress: Progress = { withinMs: 0, before: undefined, lost: 0, lostInWindow: 0 };
    for (let attempt = 1; !signal.aborted; attempt += 1) {
      try {
        const from = state.checked ?? (await this.#fromLog(participant, server));
        if (from !== undefined && from.timeline !== server.timeline) {
          progress.withinMs ||= runtime.now() - from.atMs + LAG_MS;
          await this.#check(participant, server, progress);
          const { lost } = progress;
          const to = server.timeline;
          publish('participant:timeline-changed', { participant, from: from.timeline, to, lost });
        }
        state.checked = { timeline: server.timeline, atMs: runtime.now() };
        state.error = undefined;
        return;
      } catch (thrown) {
        state.error = toError(thrown);
        // The next list tells which server to check now.
        if (thrown instanceof HistoryChangedError) return;
        const delayMs = backoffDelayMs(attempt, BACKOFF, runtime.random);
        await runtime.sleep(delayMs, signal).catch(() => undefined);
      }
    }
  }

  async #fromLog(participant: string, server: ServerIdentity): Promise<State['checked']> {
    const listed = await this.#options.daemonLog.listedTimeline(participant, server);
    if (listed === undefined) return undefined;
    return { timeline: listed.timeline, atMs: this.#options.runtime.now() - listed.ageMs };
  }

  /** Newest first, over a time in which something may be missing; twice as far back while something is. */
  async #check(participant: string, server: ServerIdentity, progress: Progress): Promise<void> {
    for (;;) {
      const { before, withinMs } = progress;
      const request = { participant, server, before, withinMs };
      const { branches, reached } = await this.#options.daemonLog.decidedElsewhere(request);
      const lost = await this.#lostOf(participant, server, branches);
      progress.lost += lost;
      progress.lostInWindow += lost;
      if (reached !== undefined) {
        progress.before = reached;
        continue;
      }
      if (progress.lostInWindow === 0 || withinMs >= WINDOW_MAX_MS) return;
      progress.lostInWindow = 0;
      progress.withinMs = Math.min(withinMs * 2, WINDOW_MAX_MS);
    }
  }

  async #lostOf(
    participant: string,
    server: ServerIdentity,
    branches: readonly DecidedBranch[],
  ): Promise<number> {
    let lost = 0;
    const entries = branches.values();
    const askers = Array.from({ length: QUESTIONS_IN_FLIGHT }, async () => {
      for (const branch of entries) {
        if (await this.#isLost(participant, server, branch)) lost += 1;
      }
    });
    await Promise.all(askers);
    return lost;
  }

  /** One that is prepared is in progress, so it needs no list. */
  async #isLost(
    participant: string,
    server: ServerIdentity,
    branch: DecidedBranch,
  ): Promise<boolean> {
    const answer = await this.#options.participants.get(participant)?.fateHere(branch.xid);
    if (answer === undefined || !isSameHistory(answer.server, server)) {
      throw new HistoryChangedError(
        `participant "${participant}" answers from another server or timeline meanwhile`,
      );
    }
    if (answer.fate !== 'aborted' && answer.fate !== 'never-issued') return false;
    await this.#record(branch);
    return true;
  }

  async #record({
    transactionId,
    epoch,
    participant,
    branch,
    xid,
    timeline,
  }: DecidedBranch): Promise<void> {
    const { log, publish, name } = this.#options;
    const gid = formatGid({ installation: log.installation, epoch, transactionId, branch });
    const evidence =
      `the decision is commit, and transaction ${xid} of timeline ${timeline} is not committed in the ` +
      'history of the server that answers now: a failover or a restore has lost it';
    const found = { transactionId, participant, gid, kind: 'rollback', evidence } as const;
    publish('heuristic:found', found);
    await log.recordHeuristic({ ...found, decision: 'commit', foundBy: name });
  }
}
