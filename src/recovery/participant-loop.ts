import { backoffDelayMs } from '../backoff.ts';
import { toError } from '../errors.ts';
import type { Publish } from '../events.ts';
import type { Runtime } from '../runtime.ts';
import type { ParticipantStatus, SetAsideBranch } from './daemon-status.ts';
import type { Lease } from './leases.ts';
import type { ParticipantPassOptions } from './recoverer.ts';
import type { BranchLeft, ParticipantReport } from './report.ts';
import { WakeableSleep } from './wakeable-sleep.ts';

export interface ParticipantLoopOptions {
  readonly name: string;
  /** Time between two passes while nothing is going on. */
  readonly intervalMs: number;
  readonly runtime: Runtime;
  readonly publish: Publish;
  readonly pass: (options: ParticipantPassOptions) => Promise<ParticipantReport>;
  readonly isHeld: () => boolean;
  readonly lease: () => Lease | undefined;
  /** After every pass, however it ended. */
  readonly onPass: () => void;
  /** After some passes in a row that did not reach the server. */
  readonly onUnreachable: () => void;
  /** Why it is not checked yet what a failover has lost. */
  readonly checkError: () => Error | undefined;
}

/** The list that was read last: what retention has to know. */
export interface ReadList {
  readonly report: ParticipantReport;
  readonly readAtMs: number;
  /** By the wall clock: the monotonic one may stand still while the machine sleeps. */
  readonly readAt: Date;
}

const LEAST_GAP_MS = 100;
/** While something is in doubt and changes. */
const QUICK_MS = 200;
/** A branch that nobody can help for this long is looked at as seldom as an idle participant. */
const QUICK_FOR_MS = 30_000;
/** Nothing seen for this long: the interval is stretched. A crash is noticed within 2 s all the same. */
const IDLE_AFTER_MS = 10_000;
const IDLE_FACTOR = 1.7;
const PARTICIPANT_BACKOFF_MAX_MS = 30_000;
const BRANCH_BACKOFF = { firstMs: 500, maxMs: 300_000 };
/** Passes in a row. */
const UNREACHABLE_AFTER = 5;
/** Failures of one branch after which somebody should look at it. */
const SET_ASIDE_AFTER = 4;

interface Trouble extends SetAsideBranch {
  readonly notBeforeMs: number;
  readonly left: BranchLeft;
}

function untilNext(stepMs: number, now: number): number {
  const delayMs = stepMs - (now % stepMs);
  // A timer may be early by a hair.
  return delayMs < LEAST_GAP_MS ? delayMs + stepMs : delayMs;
}

/**
 * Recovery of one participant, for as long as the daemon lives. A dead or hanging server holds up this
 * loop alone; a branch that cannot be finished holds up no other branch.
 */
export class ParticipantLoop {
  readonly #options: ParticipantLoopOptions;
  readonly #sleep: WakeableSleep;
  readonly #troubles = new Map<string, Trouble>();
  #lastList: ReadList | undefined;
  #report: ParticipantReport | undefined;
  #lastPassAt: Date | undefined;
  #lastSuccessAt: Date | undefined;
  #lastTickMs: number;
  #lastWorkMs: number;
  #changedMs: number;
  #leftBefore = '';
  #failures = 0;
  #isLookedAt = false;

  constructor(options: ParticipantLoopOptions) {
    this.#options = options;
    this.#sleep = new WakeableSleep(options.runtime);
    const now = options.runtime.now();
    this.#lastTickMs = now;
    this.#lastWorkMs = now;
    this.#changedMs = now;
  }

  get lastTickMs(): number {
    return this.#lastTickMs;
  }

  /** A pass has been made, or another daemon is at work: there is nothing to wait for. */
  get isLookedAt(): boolean {
    return this.#isLookedAt || this.#options.lease()?.held === false;
  }

  get lastList(): ReadList | undefined {
    return this.#lastList;
  }

  /** Looks at once. `afterOutage`: what failed before is no reason to wait. */
  wake({ afterOutage }: { readonly afterOutage: boolean }): void {
    if (afterOutage) this.#failures = 0;
    if (this.#failures === 0) this.#sleep.wake();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { runtime, isHeld, intervalMs } = this.#options;
    while (!signal.aborted) {
      this.#lastTickMs = runtime.now();
      let delayMs = intervalMs;
      if (isHeld()) {
        const report = await this.#pass(signal);
        delayMs = this.#digest(report);
        this.#options.onPass();
      } else if (this.#options.lease()?.held === false) {
        this.#forget();
      }
      await this.#sleep.sleep(delayMs, signal);
      // However often it is woken.
      const gapMs = this.#lastTickMs + LEAST_GAP_MS - runtime.now();
      if (gapMs > 0) await runtime.sleep(gapMs, signal).catch(() => undefined);
    }
  }

  status(): ParticipantStatus {
    const { lease, isHeld } = this.#options;
    const known = lease();
    // A server that does not answer still holds what it held when it did.
    const seen = this.#report?.status === 'listed' ? this.#report : this.#lastList?.report;
    const left = seen?.left ?? [];
    const count = (rows: string): number => left.filter(({ row }) => rows.includes(row)).length;
    return {
      // Ours once, and not renewed: the log does not answer.
      lease: isHeld() ? 'held' : known?.held === false ? 'elsewhere' : 'unknown',
      holder: known?.holder,
      state: this.#report?.status ?? 'none',
      lastPassAt: this.#lastPassAt,
      lastSuccessAt: this.#lastSuccessAt,
      failuresInARow: this.#failures,
      error: this.#report?.error ?? this.#options.checkError(),
      inDoubt: { decided: count('DE'), undecided: count('FGH'), unexplained: count('IJ') },
      oldestInDoubtMs: seen?.oldestMs ?? 0,
      setAside: [...this.#troubles.values()].filter(({ attempts }) => attempts >= SET_ASIDE_AFTER),
      foreign: seen?.foreign ?? 0,
      preparedSlots: seen?.slots,
    };
  }

  async #pass(signal: AbortSignal): Promise<ParticipantReport | Error> {
    try {
      return await this.#options.pass({
        signal,
        skip: (gid) => {
          const trouble = this.#troubles.get(gid);
          const isEarly =
            trouble !== undefined && this.#options.runtime.now() < trouble.notBeforeMs;
          return isEarly ? trouble.left : undefined;
        },
      });
    } catch (thrown) {
      return toError(thrown);
    }
  }

  /** Returns how long to wait. */
  #digest(report: ParticipantReport | Error): number {
    const { runtime, intervalMs } = this.#options;
    this.#isLookedAt = true;
    this.#lastPassAt = new Date();
    if (report instanceof Error || report.status !== 'listed' || report.error !== undefined) {
      this.#failures += 1;
      if (!(report instanceof Error)) this.#report = report;
      const isUnreachable = report instanceof Error || report.status !== 'listed';
      if (isUnreachable && this.#failures % UNREACHABLE_AFTER === 0) this.#options.onUnreachable();
      const limits = { firstMs: intervalMs, maxMs: PARTICIPANT_BACKOFF_MAX_MS };
      return backoffDelayMs(this.#failures, limits, runtime.random);
    }
    this.#failures = 0;
    this.#report = report;
    this.#lastSuccessAt = this.#lastPassAt;
    this.#lastList = { report, readAtMs: this.#lastTickMs, readAt: this.#lastPassAt };
    this.#noteTroubles(report);
    return this.#delayAfter(report);
  }

  #delayAfter(report: ParticipantReport): number {
    const { runtime, intervalMs } = this.#options;
    const now = runtime.now();
    const left = report.left.map(({ gid, row }) => `${gid} ${row}`).join('\n');
    if (left !== this.#leftBefore) this.#changedMs = now;
    this.#leftBefore = left;
    if (report.left.length > 0 || report.committed + report.rolledBack > 0) this.#lastWorkMs = now;
    const isMoving = report.left.length > 0 && now - this.#changedMs < QUICK_FOR_MS;
    if (isMoving) return Math.min(QUICK_MS, intervalMs);
    // Idle participants in step: to wake up is most of what an idle daemon costs.
    if (now - this.#lastWorkMs > IDLE_AFTER_MS) return untilNext(intervalMs * IDLE_FACTOR, now);
    // A little jitter, so that many busy ones do not stay in step.
    return intervalMs * (0.9 + runtime.random() * 0.1);
  }

  #noteTroubles(report: ParticipantReport): void {
    const { runtime, publish, name } = this.#options;
    const leftGids = new Set(report.left.map(({ gid }) => gid));
    for (const gid of this.#troubles.keys()) if (!leftGids.has(gid)) this.#troubles.delete(gid);
    for (const left of report.left) {
      const { gid, transactionId, error } = left;
      const before = this.#troubles.get(gid);
      // One that was skipped is in the report with the error of the time before.
      if (error === undefined || before?.left === left) continue;
      const attempts = (before?.attempts ?? 0) + 1;
      const delayMs = backoffDelayMs(attempts, BRANCH_BACKOFF, runtime.random);
      this.#troubles.set(gid, {
        gid,
        attempts,
        error,
        left,
        notBeforeMs: runtime.now() + delayMs,
      });
      if (attempts === SET_ASIDE_AFTER) {
        publish('recovery:set-aside', { participant: name, gid, transactionId, attempts, error });
      }
    }
  }

  /** Another daemon works here: what was seen before says nothing any more. */
  #forget(): void {
    this.#report = undefined;
    this.#lastList = undefined;
    this.#failures = 0;
    this.#troubles.clear();
  }
}
