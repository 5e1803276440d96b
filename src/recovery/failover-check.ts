/**
 * A participant's server has another timeline than before: a standby was promoted, or a backup restored. What
 * the old server had acknowledged may be missing now. A branch that came back as prepared is finished like any
 * other; one that is missing altogether is on no list, and only its decision still knows it.
 *
 * Best effort, and nothing is guessed: an id that the new server has handed out again answers for the wrong
 * transaction, so a loss can be overlooked, more likely the later the check. It is recorded only when
 * the server says that the id is not committed in its history.
 */
import type { DaemonLog, DecidedBranch } from '../decision-log/daemon-log.ts';
import type { DecisionLog } from '../decision-log/decision-log.ts';
import type { Publish } from '../events.ts';
import { formatGid } from '../participant/gid.ts';
import type { Participant } from '../participant/participant.ts';
import type { Runtime } from '../runtime.ts';
import type { HeuristicKind, ServerIdentity } from '../states.ts';
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

interface Seen {
  readonly timeline: string;
  readonly atMs: number;
}

/** Decisions that are at least looked at: those since the last list, and what a standby may lag behind. */
const LAG_MS = 600_000;
const QUESTIONS_IN_FLIGHT = 64;

export class FailoverCheck {
  readonly #options: FailoverCheckOptions;
  readonly #seen = new Map<string, Seen>();

  constructor(options: FailoverCheckOptions) {
    this.#options = options;
  }

  /** The timeline up to which nothing is left to check; undefined before the first list. */
  checkedTimeline(participant: string): string | undefined {
    return this.#seen.get(participant)?.timeline;
  }

  /** To be called with every report. Rejects when it could not be finished; the next call tries again. */
  async look(participant: string, { server, left }: ParticipantReport): Promise<void> {
    if (server === undefined) return;
    const { runtime, publish } = this.#options;
    const now = runtime.now();
    const before = this.#seen.get(participant) ?? (await this.#fromLog(participant, server));
    if (before !== undefined && before.timeline !== server.timeline) {
      const { timeline: from } = before;
      const prepared = new Set(left.map(({ gid }) => gid));
      const lost = await this.#check(participant, server, prepared, now - before.atMs + LAG_MS);
      publish('participant:timeline-changed', { participant, from, to: server.timeline, lost });
    }
    this.#seen.set(participant, { timeline: server.timeline, atMs: now });
  }

  async #fromLog(participant: string, server: ServerIdentity): Promise<Seen | undefined> {
    const listed = await this.#options.daemonLog.listedTimeline(participant, server);
    if (listed === undefined) return undefined;
    return { timeline: listed.timeline, atMs: this.#options.runtime.now() - listed.ageMs };
  }

  /** Newest first, until a whole look finds nothing that is missing. Returns how many are. */
  async #check(
    participant: string,
    server: ServerIdentity,
    prepared: ReadonlySet<string>,
    sinceMs: number,
  ): Promise<number> {
    let lost = 0;
    let before: string | undefined;
    for (;;) {
      const look = await this.#options.daemonLog.decidedElsewhere({ participant, server, before });
      const oldest = look.at(-1);
      if (oldest === undefined) return lost;
      const lostNow = await this.#lostOf(participant, look, prepared);
      lost += lostNow;
      if (lostNow === 0 && oldest.decidedAgoMs > sinceMs) return lost;
      before = oldest.transactionId;
    }
  }

  async #lostOf(
    participant: string,
    branches: readonly DecidedBranch[],
    prepared: ReadonlySet<string>,
  ): Promise<number> {
    let lost = 0;
    const entries = branches.values();
    const askers = Array.from({ length: QUESTIONS_IN_FLIGHT }, async () => {
      for (const branch of entries) {
        if (await this.#isLost(participant, branch, prepared)) lost += 1;
      }
    });
    await Promise.all(askers);
    return lost;
  }

  async #isLost(
    participant: string,
    branch: DecidedBranch,
    prepared: ReadonlySet<string>,
  ): Promise<boolean> {
    const { log, participants } = this.#options;
    const { transactionId, epoch, xid } = branch;
    const gid = formatGid({
      installation: log.installation,
      epoch,
      transactionId,
      branch: branch.branch,
    });
    if (prepared.has(gid)) return false;
    const status = await participants.get(participant)?.fateHere(xid);
    if (status === 'committed' || status === 'in progress' || status === undefined) return false;
    await this.#record(branch, gid, status === 'aborted' ? 'rollback' : 'hazard');
    return true;
  }

  async #record(branch: DecidedBranch, gid: string, kind: HeuristicKind): Promise<void> {
    const { log, publish, name } = this.#options;
    const { transactionId, participant, xid, timeline } = branch;
    const evidence =
      `the decision is commit, and transaction ${xid} of timeline ${timeline} is not committed in the ` +
      'history of the server that answers now: a failover or a restore has lost it';
    const found = { transactionId, participant, gid, kind, evidence };
    publish('heuristic:found', found);
    await log.recordHeuristic({ ...found, decision: 'commit', foundBy: name });
  }
}
