/** One schedule: a plan is carried out, then everything is healed, and then everything is judged. */
import { CoordinatorActor, RecovererActor, type Stage } from './actors.ts';
import { installHost, type ClientKind } from './host.ts';
import { Nemesis, type World } from './nemesis.ts';
import { SimulatedLink, SimulatedNetwork } from './network.ts';
import { Oracle, type Told, type Violation } from './oracle.ts';
import { drawPlan, mayDeadlock, without, type Omission, type Plan } from './plan.ts';
import { SimulatedServer, type Replication } from './postgres/server.ts';
import { assertAllUnderstood } from './postgres/statement.ts';
import { SimulatedProcess } from './process.ts';
import { Random } from './random.ts';
import { Scheduler } from './scheduler.ts';
import { Trace } from './trace.ts';

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

const INSTALLATION = 'c0ffee123456';
const NAMES = ['orders', 'billing', 'stock'] as const;
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
  readonly #scheduler = new Scheduler();
  readonly #trace: Trace;
  readonly #world: World;
  readonly #oracle: Oracle;
  readonly #nemesis: Nemesis;
  readonly #recoverers: RecovererActor[] = [];
  #processes = 0;
  #closing = false;
  #settledAfterMs = -1;

  constructor(plan: Plan, options: ScheduleOptions) {
    this.#plan = plan;
    this.#options = options;
    this.#trace = new Trace(this.#scheduler, options.keepTrace ?? false);
    const log = this.#server('log', plan.logReplication);
    const servers = NAMES.slice(0, plan.participants).map((name) =>
      this.#server(name, plan.replication),
    );
    const all = new Map([log, ...servers].map((server) => [server.name, server]));
    const network = new SimulatedNetwork({
      scheduler: this.#scheduler,
      random: new Random(plan.seed, 2),
      servers: all,
      latencyMs: plan.latencyMs,
      slow: plan.slow,
      detoursStrangers: plan.detoursStrangers ?? false,
      sending: (link, kind) => {
        this.#trace.add(link.process, 'sends', kind, link.server.name);
        this.#nemesis.reached(kind, 'sent', () => ({
          process: link.process,
          server: link.server,
          session: link.session,
          link,
        }));
      },
    });
    const participants = new Map(servers.map((server) => [server.name, server]));
    this.#oracle = new Oracle(log, participants, INSTALLATION);
    const { heartbeatLimitMs, lockTimeoutMs, poolMax, recoveryIntervalMs } = plan;
    const stage: Stage = {
      oracle: this.#oracle,
      participants: servers.map(({ name }) => name),
      heartbeatLimitMs,
      recovererLimitMs: plan.recovererLimitMs ?? heartbeatLimitMs,
      lockTimeoutMs,
      poolMax,
      recoveryIntervalMs,
      managersRecover: plan.managersRecover,
    };
    const world: World = {
      scheduler: this.#scheduler,
      network,
      log,
      servers,
      stage,
      coordinators: [],
      processes: new Map(),
      newProcess: (name) => this.#newProcess(name),
      restart: (name) => {
        this.#restart(name);
      },
    };
    this.#world = world;
    this.#nemesis = new Nemesis(world, plan.faults);
  }

  run(): ScheduleResult {
    const { client = clientOf(this.#plan.seed) } = this.#options;
    const uninstall = installHost(client);
    const onRejection = (reason: unknown): void => {
      this.#oracle.violated('unhandled-rejection', String(reason));
    };
    process.on('unhandledRejection', onRejection);
    try {
      this.#play();
    } finally {
      process.off('unhandledRejection', onRejection);
      uninstall();
    }
    return {
      violations: this.#oracle.violations,
      events: this.#scheduler.events,
      traceHash: this.#trace.hash,
      seen: this.#oracle.seen,
      faults: this.#nemesis.fired,
      settledAfterMs: this.#settledAfterMs,
      trace: this.#trace.lines,
    };
  }

  #play(): void {
    const { transactions, coordinators, safetyMs } = this.#plan;
    for (let index = 0; index < coordinators; index += 1)
      this.#startCoordinator(`coordinator${index}`);
    if (this.#plan.recoverers > 0) this.#startRecoverer('recoverer0', false);
    if (this.#plan.recoverers > 1) this.#startRecoverer('recoverer1', this.#plan.patientRecoverer);
    for (const [index, planned] of transactions.entries()) {
      this.#scheduler.after(planned.atMs, () => {
        this.#latest(`coordinator${planned.coordinator}`)?.run(planned, index);
      });
    }
    if (!this.#until(() => this.#scheduler.now >= safetyMs || this.#nothingToCome(), safetyMs))
      return;
    this.#nemesis.heal();
    this.#reviveRecovery();
    this.#options.beforeLiveness?.(this.#world);
    if (!this.#live()) return;
    if (this.#plan.probes) {
      this.#probe();
      if (!this.#live()) return;
    }
    this.#askOutcomes();
    this.#options.beforeJudgement?.(this.#world);
    if (this.#oracle.violations.length > 0) return;
    this.#oracle.judgeEnd();
    this.#oracle.judgeKeys((index) => this.#plan.transactions[index]?.idempotencyKey);
    this.#judgeCalm();
    if (this.#plan.closes) this.#closeAll();
  }

  /** All transactions have ended, and no fault is waiting for its time: the rest would be idle. */
  #nothingToCome(): boolean {
    const { transactions, faults } = this.#plan;
    const { now } = this.#scheduler;
    const coming =
      transactions.some(({ atMs }) => atMs + 1 >= now) ||
      faults.some(({ when }) => 'atMs' in when && when.atMs + 1 >= now);
    return !coming && this.#atRest();
  }

  #atRest(): boolean {
    return (
      !this.#oracle.told.some((told) => this.#isUnanswered(told)) &&
      !this.#oracle.isAnyInDoubt() &&
      this.#world.coordinators.every(({ queued }) => queued === 0)
    );
  }

  /** Liveness: everybody has an answer and nothing is in doubt, within the bound. */
  #live(): boolean {
    const healedAt = this.#scheduler.now;
    const settled = this.#until(() => this.#atRest(), boundMs(this.#plan));
    this.#settledAfterMs = this.#scheduler.now - healedAt;
    if (settled) return true;
    for (const { gid, participant } of this.#oracle.inDoubt()) {
      this.#oracle.violated('still-in-doubt', `${gid} on ${participant}`);
    }
    for (const { id, index, process } of this.#unanswered()) {
      this.#oracle.violated('no-answer', `transaction ${index} (${id}) of ${process}`);
    }
    return false;
  }

  #unanswered(): Oracle['told'] {
    return this.#oracle.told.filter((told) => this.#isUnanswered(told));
  }

  #isUnanswered({ answer, process }: Told): boolean {
    return answer === undefined && this.#world.processes.get(process)?.alive === true;
  }

  /** Not trivial, and nothing leaked: every manager that lives can still commit, on every participant. */
  #probe(): void {
    const writes = this.#world.servers.map((_, index) => index);
    const probes = this.#world.coordinators.filter(
      (one) => one.working && one.manager !== undefined,
    );
    const from = this.#oracle.told.length;
    for (const [at, actor] of probes.entries()) {
      const lost = this.#world.network.lostUnheard(actor.process.name);
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
      this.#oracle.told
        .slice(from)
        .flatMap((told) => (told.index < 0 ? [[told.process, told]] : [])),
    );
    for (const { answer, process, error } of last.values()) {
      if (answer === 'committed') continue;
      this.#oracle.violated(
        'cannot-commit-any-more',
        `${process}: ${answer ?? 'no answer'} ${error?.message ?? ''}`,
      );
    }
  }

  #askOutcomes(): void {
    let asked = 0;
    const actors = this.#world.coordinators.filter(
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
      this.#oracle.violated('no-answer', 'outcomeOf()');
    }
  }

  /** Without faults nothing is aborted but what its program gave up. */
  #judgeCalm(): void {
    if (this.#plan.faults.length > 0) return;
    const { transactions, lockTimeoutMs, latencyMs } = this.#plan;
    if (lockTimeoutMs < 5_000 || latencyMs[1] > 10 || this.#plan.maxPrepared < 16) return;
    if (mayDeadlock(transactions)) return;
    for (const { answer, index, error } of this.#oracle.told) {
      const planned = transactions[index];
      if (answer === 'committed' || planned === undefined) continue;
      if (planned.throws || planned.idempotencyKey !== undefined || planned.timeoutMs < 5_000)
        continue;
      this.#oracle.violated(
        'aborted-without-a-fault',
        `transaction ${index}: ${error?.message ?? ''}`,
      );
    }
  }

  /** Invariant 12: after close() no session and no timer is left. */
  #closeAll(): void {
    this.#closing = true;
    for (const actor of this.#world.coordinators) actor.close();
    for (const actor of this.#recoverers) actor.close();
    const processes = [...this.#world.processes.values()];
    const holds = ({ alive, owned, timers }: SimulatedProcess): boolean =>
      alive && owned.size + timers.size > 0;
    if (this.#until(() => !processes.some(holds), CLOSE_PATIENCE_MS)) return;
    for (const { name, owned, timers } of processes.filter(holds)) {
      const leak = `${name} has ${owned.size} connections and ${timers.size} timers`;
      this.#oracle.violated('leak', leak);
    }
  }

  /** False when the time is over, or something is already broken. */
  #until(reached: () => boolean, patienceMs: number): boolean {
    const { now } = this.#scheduler;
    const watched = { due: false };
    const watch = (): void => {
      watched.due = true;
      this.#scheduler.after(POLL_MS, watch);
    };
    this.#scheduler.after(0, watch);
    for (;;) {
      if (this.#oracle.violations.length > 0) return false;
      if (watched.due) {
        watched.due = false;
        if (reached()) break;
        if (this.#scheduler.now - now > patienceMs) return false;
      }
      if (this.#scheduler.events > EVENTS_MAX) {
        this.#oracle.violated('never-ends', `${EVENTS_MAX} events`);
        return false;
      }
      this.#scheduler.step();
    }
    return true;
  }

  #newProcess(name: string): SimulatedProcess {
    this.#processes += 1;
    const unique = this.#world.processes.has(name) ? `${name}#${this.#processes}` : name;
    const random = new Random(this.#plan.seed, 100 + this.#processes);
    const process = new SimulatedProcess(unique, this.#scheduler, random, this.#world.network);
    this.#world.processes.set(unique, process);
    return process;
  }

  #startCoordinator(name: string): void {
    this.#world.coordinators.push(new CoordinatorActor(this.#newProcess(name), this.#world.stage));
  }

  #startRecoverer(name: string, wait: boolean): void {
    this.#recoverers.push(new RecovererActor(this.#newProcess(name), this.#world.stage, wait));
  }

  #restart(name: string): void {
    if (this.#closing) return;
    const [base = name] = name.split('#');
    if (base.startsWith('coordinator')) this.#startCoordinator(base);
    else if (base.startsWith('recoverer')) this.#startRecoverer(base, false);
  }

  /** Somebody keeps one recoverer running. */
  #reviveRecovery(): void {
    if (this.#plan.recoverers === 0) return;
    if (!this.#recoverers.some(({ process }) => process.alive))
      this.#startRecoverer('recoverer0', false);
  }

  #latest(base: string): CoordinatorActor | undefined {
    return this.#world.coordinators.findLast(
      ({ process, working }) => working && process.name.split('#')[0] === base,
    );
  }

  #server(name: string, replication: Replication): SimulatedServer {
    const { maxPrepared, hidesWarnings, seed } = this.#plan;
    return new SimulatedServer({
      name,
      databaseName: name === 'log' ? 'log' : 'app',
      systemIdentifier: `70000000000000${name.length}${name.charCodeAt(0)}`,
      replication,
      // Beside the canaries, which take their slots for ever.
      maxPrepared: maxPrepared + 3,
      hidesWarnings,
      installation: name === 'log' ? INSTALLATION : undefined,
      scheduler: this.#scheduler,
      random: new Random(seed, 10 + name.length),
      observer: {
        at: (kind, phase, session) => {
          this.#trace.add(session.link.process, phase, kind, name);
          this.#nemesis.reached(kind, phase, () => ({
            process: session.link.process,
            server: session.server,
            session,
            link: session.link instanceof SimulatedLink ? session.link : undefined,
          }));
        },
        finishing: (server, session, gid, decision) => {
          this.#oracle.finishing(server, session, gid, decision);
        },
        registering: (epoch) => {
          this.#oracle.plantCanaries(epoch);
        },
        meeting: (process, participant) => {
          this.#world.network.acquainted.add(`${process} ${participant}`);
        },
        decidedLate: (epoch) => {
          this.#oracle.violated('decided-after-retirement', `epoch ${epoch}`);
        },
        deciding: (session, transactionId, outcome, branches) => {
          this.#oracle.deciding(session, transactionId, outcome, branches);
        },
      },
    });
  }
}
