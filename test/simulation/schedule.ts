/** One schedule: a plan is carried out, then everything is healed, and then everything is judged. */
import { Cast } from './cast.ts';
import { installHost, type ClientKind } from './host.ts';
import type { World } from './nemesis.ts';
import type { Oracle, Told, Violation } from './oracle.ts';
import { drawPlan, mayDeadlock, without, type Omission, type Plan } from './plan.ts';
import { assertAllUnderstood } from './postgres/statement.ts';
import type { SimulatedProcess } from './process.ts';

export interface ScheduleResult {
  readonly violations: readonly Violation[];
  readonly events: number;
  /** Of everything that servers, network and programs did, in order and with its time. */
  readonly traceHash: string;
  readonly seen: ReadonlyMap<string, number>;
  readonly faults: readonly string[];
  /** From the end of the faults until nothing was in doubt, virtual milliseconds. */
  readonly settledAfterMs: number;
  readonly trace: readonly string[];
}

export interface ScheduleOptions {
  /** Instead of the one that is drawn from the seed. */
  readonly plan?: Plan;
  readonly omission?: Omission;
  readonly keepTrace?: boolean;
  /** Instead of the one that the seed has: nothing else may change by it. */
  readonly client?: ClientKind;
  /** Called between the phases, for planted violations. */
  readonly beforeJudgement?: (world: World) => void;
  readonly beforeLiveness?: (world: World) => void;
}

/** A run that does not end is a violation too. */
const EVENTS_MAX = 60_000;
const POLL_MS = 50;
/**
 * A connection that was lost in silence is noticed by whoever uses it first, and one of the log whose messages are
 * held up by the reply that is waited for longest; meanwhile every attempt ends soon, and in good order.
 */
const PROBE_MS = 12_000;
/**
 * How long one attempt may take; as long, an idle client stays in pg's pool. So of several connections that are lost
 * unheard two attempts in a row can meet one, and a third begins when the others have left the pool.
 */
const PROBE_TIMEOUT_MS = 10_000;
const PROBE_PATIENCE_MS = 60_000;
const CLOSE_PATIENCE_MS = 20_000;

/** The bound of the liveness phase: heartbeats run out, lost connections are noticed, recovery passes. */
export function boundMs(plan: Plan): number {
  return 30_000 + 2 * plan.heartbeatLimitMs + 4 * plan.recoveryIntervalMs;
}

export function runSchedule(seed: number, options: ScheduleOptions = {}): ScheduleResult {
  const { plan = drawPlan(seed), omission } = options;
  const result = new Schedule(
    omission === undefined ? plan : without(plan, omission),
    options,
  ).run();
  assertAllUnderstood();
  return result;
}

/** One in so many schedules runs over pg's own client. */
const PG_EVERY = 40;

function clientOf(seed: number): ClientKind {
  return seed % PG_EVERY === 0 ? 'pg' : 'light';
}

class Schedule {
  readonly #plan: Plan;
  readonly #options: ScheduleOptions;
  readonly #cast: Cast;
  #settledAfterMs = -1;

  constructor(plan: Plan, options: ScheduleOptions) {
    this.#plan = plan;
    this.#options = options;
    this.#cast = new Cast(plan, options.keepTrace ?? false);
  }

  run(): ScheduleResult {
    const { client = clientOf(this.#plan.seed) } = this.#options;
    const uninstall = installHost(client);
    const onRejection = (reason: unknown): void => {
      this.#cast.oracle.violated('unhandled-rejection', String(reason));
    };
    process.on('unhandledRejection', onRejection);
    try {
      this.#play();
    } finally {
      process.off('unhandledRejection', onRejection);
      uninstall();
    }
    return {
      violations: this.#cast.oracle.violations,
      events: this.#cast.scheduler.events,
      traceHash: this.#cast.trace.hash,
      seen: this.#cast.oracle.seen,
      faults: this.#cast.nemesis.fired,
      settledAfterMs: this.#settledAfterMs,
      trace: this.#cast.trace.lines,
    };
  }

  #play(): void {
    const { transactions, coordinators, safetyMs } = this.#plan;
    for (let index = 0; index < coordinators; index += 1)
      this.#cast.startCoordinator(`coordinator${index}`);
    if (this.#plan.recoverers > 0) this.#cast.startRecoverer('recoverer0', false);
    if (this.#plan.recoverers > 1)
      this.#cast.startRecoverer('recoverer1', this.#plan.patientRecoverer);
    for (const [index, planned] of transactions.entries()) {
      this.#cast.scheduler.after(planned.atMs, () => {
        this.#cast.latest(`coordinator${planned.coordinator}`)?.run(planned, index);
      });
    }
    if (!this.#until(() => this.#cast.scheduler.now >= safetyMs || this.#nothingToCome(), safetyMs))
      return;
    this.#cast.nemesis.heal();
    this.#cast.reviveRecovery();
    this.#options.beforeLiveness?.(this.#cast.world);
    if (!this.#live()) return;
    if (this.#plan.probes) {
      this.#probe();
      if (!this.#live()) return;
    }
    this.#askOutcomes();
    this.#options.beforeJudgement?.(this.#cast.world);
    if (this.#cast.oracle.violations.length > 0) return;
    this.#cast.oracle.judgeEnd();
    this.#cast.oracle.judgeKeys((index) => this.#plan.transactions[index]?.idempotencyKey);
    this.#judgeCalm();
    if (this.#plan.closes) this.#closeAll();
  }

  /** All transactions have ended, and no fault is waiting for its time: the rest would be idle. */
  #nothingToCome(): boolean {
    const { transactions, faults } = this.#plan;
    const { now } = this.#cast.scheduler;
    const coming =
      transactions.some(({ atMs }) => atMs + 1 >= now) ||
      faults.some(({ when }) => 'atMs' in when && when.atMs + 1 >= now);
    return !coming && this.#atRest();
  }

  #atRest(): boolean {
    return (
      !this.#cast.oracle.told.some((told) => this.#isUnanswered(told)) &&
      !this.#cast.oracle.isAnyInDoubt() &&
      this.#cast.world.coordinators.every(({ queued }) => queued === 0)
    );
  }

  /** Liveness: everybody has an answer and nothing is in doubt, within the bound. */
  #live(): boolean {
    const healedAt = this.#cast.scheduler.now;
    const settled = this.#until(() => this.#atRest(), boundMs(this.#plan));
    this.#settledAfterMs = this.#cast.scheduler.now - healedAt;
    if (settled) return true;
    for (const { gid, participant } of this.#cast.oracle.inDoubt()) {
      this.#cast.oracle.violated('still-in-doubt', `${gid} on ${participant}`);
    }
    for (const { id, index, process } of this.#unanswered()) {
      this.#cast.oracle.violated('no-answer', `transaction ${index} (${id}) of ${process}`);
    }
    return false;
  }

  #unanswered(): Oracle['told'] {
    return this.#cast.oracle.told.filter((told) => this.#isUnanswered(told));
  }

  #isUnanswered({ answer, process }: Told): boolean {
    return answer === undefined && this.#cast.world.processes.get(process)?.alive === true;
  }

  /** Not trivial, and nothing leaked: every manager that lives can still commit, on every participant. */
  #probe(): void {
    const writes = this.#cast.world.servers.map((_, index) => index);
    const probes = this.#cast.world.coordinators.filter(
      (one) => one.working && one.manager !== undefined,
    );
    const from = this.#cast.oracle.told.length;
    for (const [at, actor] of probes.entries()) {
      const lost = this.#cast.world.network.lostUnheard(actor.process.name);
      actor.probe(
        {
          coordinator: 0,
          atMs: 0,
          writes,
          reads: undefined,
          account: 10 + at,
          timeoutMs: PROBE_TIMEOUT_MS,
          thinkMs: 0,
          idempotencyKey: undefined,
          throws: false,
        },
        lost > 1 ? PROBE_MS + PROBE_TIMEOUT_MS : PROBE_MS,
      );
    }
    this.#until(() => probes.every(({ probing }) => !probing), PROBE_PATIENCE_MS);
    const last = new Map<string, Told>(
      this.#cast.oracle.told
        .slice(from)
        .flatMap((told) => (told.index < 0 ? [[told.process, told]] : [])),
    );
    for (const { answer, process, error } of last.values()) {
      if (answer === 'committed') continue;
      this.#cast.oracle.violated(
        'cannot-commit-any-more',
        `${process}: ${answer ?? 'no answer'} ${error?.message ?? ''}`,
      );
    }
  }

  #askOutcomes(): void {
    let asked = 0;
    const actors = this.#cast.world.coordinators.filter(
      (one) => one.working && one.manager !== undefined,
    );
    for (const actor of actors) {
      actor.process.deliver(() => {
        void actor.outcomesAreTrue().then(() => {
          asked += 1;
        });
      });
    }
    if (!this.#until(() => asked === actors.length, PROBE_PATIENCE_MS)) {
      this.#cast.oracle.violated('no-answer', 'outcomeOf()');
    }
  }

  /** Without faults nothing is aborted but what its program gave up. */
  #judgeCalm(): void {
    if (this.#plan.faults.length > 0) return;
    const { transactions, lockTimeoutMs, latencyMs } = this.#plan;
    if (lockTimeoutMs < 5_000 || latencyMs[1] > 10 || this.#plan.maxPrepared < 16) return;
    if (mayDeadlock(transactions)) return;
    for (const { answer, index, error } of this.#cast.oracle.told) {
      const planned = transactions[index];
      if (answer === 'committed' || planned === undefined) continue;
      if (planned.throws || planned.idempotencyKey !== undefined || planned.timeoutMs < 5_000)
        continue;
      this.#cast.oracle.violated(
        'aborted-without-a-fault',
        `transaction ${index}: ${error?.message ?? ''}`,
      );
    }
  }

  /** Invariant 12: after close() no session and no timer is left. */
  #closeAll(): void {
    this.#cast.isClosing = true;
    for (const actor of this.#cast.world.coordinators) actor.close();
    for (const actor of this.#cast.recoverers) actor.close();
    const processes = [...this.#cast.world.processes.values()];
    const holds = ({ alive, owned, timers }: SimulatedProcess): boolean =>
      alive && owned.size + timers.size > 0;
    if (this.#until(() => !processes.some(holds), CLOSE_PATIENCE_MS)) return;
    for (const { name, owned, timers } of processes.filter(holds)) {
      const leak = `${name} has ${owned.size} connections and ${timers.size} timers`;
      this.#cast.oracle.violated('leak', leak);
    }
  }

  /** False when the time is over, or something is already broken. */
  #until(reached: () => boolean, patienceMs: number): boolean {
    const { scheduler, oracle } = this.#cast;
    const from = scheduler.now;
    // Looked at between events, and no event itself: nobody else may see it, and most would find nothing new.
    let lookAt = from;
    for (;;) {
      if (oracle.violations.length > 0) return false;
      if (scheduler.isIdleUntil(lookAt)) {
        scheduler.now = lookAt;
        if (reached()) return true;
        if (lookAt - from > patienceMs) return false;
        lookAt += POLL_MS;
        continue;
      }
      if (scheduler.events > EVENTS_MAX) {
        oracle.violated('never-ends', `${EVENTS_MAX} events`);
        return false;
      }
      scheduler.step();
    }
  }
}
