/**
 * A branch that somebody has rolled back by hand is on no list any more: only the decision still knows it, and while
 * a sibling of it is prepared, somebody looks at that decision. So whoever commits a branch has its siblings compared.
 *
 * Beside the passes, and never a reason for one to fail or to wait: what cannot be asked now is asked later, for as
 * long as this process lives.
 */
import type { DecisionLog, StandingDecision } from '../decision-log/decision-log.ts';
import type { Publish } from '../events.ts';
import { formatGid, type Gid } from '../participant/gid.ts';
import type { Participant } from '../participant/participant.ts';
import type { Runtime } from '../runtime.ts';
import type { HeuristicFound } from './report.ts';

export interface SiblingsOptions {
  readonly log: DecisionLog;
  readonly participants: ReadonlyMap<string, Participant>;
  readonly runtime: Runtime;
  readonly publish: Publish;
  /** For the records that it writes. */
  readonly name: string;
}

export interface SiblingFound extends HeuristicFound {
  readonly participant: string;
}

interface Question {
  readonly gid: string;
  readonly transactionId: string;
  readonly xid: string;
  readonly systemIdentifier: string;
  readonly timeline: string;
}

interface Open {
  readonly questions: Map<string, Question>;
  asking: Promise<void> | undefined;
  notBeforeMs: number;
}

/** Of one participant; what is more is not asked: it has been away for long, and memory has an end. */
const QUESTIONS_MAX = 10_000;
const IN_FLIGHT = 8;
const AGAIN_AFTER_MS = 5_000;

export class Siblings {
  readonly #options: SiblingsOptions;
  readonly #open = new Map<string, Open>();
  #found: SiblingFound[] = [];

  constructor(options: SiblingsOptions) {
    this.#options = options;
  }

  /** The branch is committed: what of the others that the decision recorded? */
  compare(committed: Gid, { branches }: StandingDecision): void {
    for (const { participant, branch, xid, systemIdentifier, timeline } of branches) {
      if (branch === committed.branch || xid === undefined) continue;
      if (!this.#options.participants.has(participant)) continue;
      const { questions } = this.#openOf(participant);
      if (questions.size >= QUESTIONS_MAX) continue;
      const gid = formatGid({ ...committed, branch });
      const { transactionId } = committed;
      questions.set(gid, { gid, transactionId, xid, systemIdentifier, timeline });
    }
  }

  /** Asks what is open, each participant by itself. Resolves when all that answer have; never rejects. */
  async ask(): Promise<void> {
    const now = this.#options.runtime.now();
    await Promise.all(
      [...this.#open].map(async ([participant, open]) => {
        if (open.asking === undefined && (open.questions.size === 0 || now < open.notBeforeMs)) {
          return;
        }
        open.asking ??= this.#askOne(participant, open).finally(() => {
          open.asking = undefined;
        });
        await open.asking;
      }),
    );
  }

  /** What was found since the last call. */
  takeFound(): readonly SiblingFound[] {
    const found = this.#found;
    this.#found = [];
    return found;
  }

  #openOf(participant: string): Open {
    const open = this.#open.get(participant) ?? {
      questions: new Map<string, Question>(),
      asking: undefined,
      notBeforeMs: 0,
    };
    this.#open.set(participant, open);
    return open;
  }

  async #askOne(participant: string, open: Open): Promise<void> {
    const entries = [...open.questions.values()].values();
    const away = new AbortController();
    const askers = Array.from({ length: IN_FLIGHT }, async () => {
      for (const question of entries) {
        if (away.signal.aborted) return;
        try {
          if (await this.#isSettled(participant, question)) open.questions.delete(question.gid);
        } catch {
          away.abort();
        }
      }
    });
    await Promise.all(askers);
    // Away, or still in progress: a second later it hardly is otherwise.
    if (open.questions.size > 0) open.notBeforeMs = this.#options.runtime.now() + AGAIN_AFTER_MS;
  }

  /** False while it is in progress: prepared still, or being finished. Then its own pass may lose it later. */
  async #isSettled(participant: string, question: Question): Promise<boolean> {
    const { xid, systemIdentifier, timeline } = question;
    const answer = await this.#options.participants.get(participant)?.fateHere(xid);
    if (answer === undefined) return true;
    // The id says nothing on another server or timeline: what a failover loses is found by its own check.
    const { server, fate } = answer;
    if (server.systemIdentifier !== systemIdentifier || server.timeline !== timeline) return true;
    if (fate === 'aborted') await this.#record(participant, question);
    return fate !== 'in progress';
  }

  async #record(participant: string, { gid, transactionId, xid }: Question): Promise<void> {
    const { log, publish, name } = this.#options;
    const evidence = `the decision is commit, and transaction ${xid} of the branch is rolled back`;
    const found = { gid, transactionId, participant, kind: 'rollback', evidence } as const;
    const isNew = await log.recordHeuristic({ ...found, decision: 'commit', foundBy: name });
    if (!isNew) return;
    this.#found.push({ ...found, decision: 'commit' });
    publish('heuristic:found', found);
  }
}
