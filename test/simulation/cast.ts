/** Servers, network and programs of one schedule, and whoever disturbs and watches them. */
import { CoordinatorActor, RecovererActor, type Stage } from './actors.ts';
import { Nemesis, type World } from './nemesis.ts';
import { SimulatedLink, SimulatedNetwork } from './network.ts';
import { Oracle } from './oracle.ts';
import type { Plan } from './plan.ts';
import { SimulatedServer, type Replication } from './postgres/server.ts';
import { SimulatedProcess } from './process.ts';
import { Random } from './random.ts';
import { Scheduler } from './scheduler.ts';
import { Trace } from './trace.ts';

const INSTALLATION = 'c0ffee123456';
const NAMES = ['orders', 'billing', 'stock'] as const;

export class Cast {
  readonly scheduler = new Scheduler();
  readonly trace: Trace;
  readonly world: World;
  readonly oracle: Oracle;
  readonly nemesis: Nemesis;
  readonly recoverers: RecovererActor[] = [];
  /** Nobody is started again. */
  isClosing = false;
  readonly #plan: Plan;
  #processes = 0;

  constructor(plan: Plan, keepTrace: boolean) {
    this.#plan = plan;
    this.trace = new Trace(this.scheduler, keepTrace);
    const log = this.#server('log', plan.logReplication);
    const servers = NAMES.slice(0, plan.participants).map((name) =>
      this.#server(name, plan.replication),
    );
    const all = new Map([log, ...servers].map((server) => [server.name, server]));
    const network = new SimulatedNetwork({
      scheduler: this.scheduler,
      random: new Random(plan.seed, 2),
      servers: all,
      latencyMs: plan.latencyMs,
      slow: plan.slow,
      detoursStrangers: plan.detoursStrangers ?? false,
      sending: (link, kind) => {
        this.trace.add(link.process, 'sends', kind, link.server.name);
        this.nemesis.reached(kind, 'sent', () => ({
          process: link.process,
          server: link.server,
          session: link.session,
          link,
        }));
      },
    });
    const participants = new Map(servers.map((server) => [server.name, server]));
    this.oracle = new Oracle(log, participants, INSTALLATION);
    const { heartbeatLimitMs, lockTimeoutMs, poolMax, recoveryIntervalMs } = plan;
    const stage: Stage = {
      oracle: this.oracle,
      participants: servers.map(({ name }) => name),
      heartbeatLimitMs,
      recovererLimitMs: plan.recovererLimitMs ?? heartbeatLimitMs,
      lockTimeoutMs,
      poolMax,
      recoveryIntervalMs,
      managersRecover: plan.managersRecover,
    };
    const world: World = {
      scheduler: this.scheduler,
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
    this.world = world;
    this.nemesis = new Nemesis(world, plan.faults);
  }

  #newProcess(name: string): SimulatedProcess {
    this.#processes += 1;
    const unique = this.world.processes.has(name) ? `${name}#${this.#processes}` : name;
    const random = new Random(this.#plan.seed, 100 + this.#processes);
    const process = new SimulatedProcess(unique, this.scheduler, random, this.world.network);
    this.world.processes.set(unique, process);
    return process;
  }

  startCoordinator(name: string): void {
    this.world.coordinators.push(new CoordinatorActor(this.#newProcess(name), this.world.stage));
  }

  startRecoverer(name: string, wait: boolean): void {
    this.recoverers.push(new RecovererActor(this.#newProcess(name), this.world.stage, wait));
  }

  #restart(name: string): void {
    if (this.isClosing) return;
    const [base = name] = name.split('#');
    if (base.startsWith('coordinator')) this.startCoordinator(base);
    else if (base.startsWith('recoverer')) this.startRecoverer(base, false);
  }

  /** Somebody keeps one recoverer running. */
  reviveRecovery(): void {
    if (this.#plan.recoverers === 0) return;
    if (!this.recoverers.some(({ process }) => process.alive))
      this.startRecoverer('recoverer0', false);
  }

  latest(base: string): CoordinatorActor | undefined {
    return this.world.coordinators.findLast(
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
      scheduler: this.scheduler,
      random: new Random(seed, 10 + name.length),
      observer: {
        at: (kind, phase, session) => {
          this.trace.add(session.link.process, phase, kind, name);
          this.nemesis.reached(kind, phase, () => ({
            process: session.link.process,
            server: session.server,
            session,
            link: session.link instanceof SimulatedLink ? session.link : undefined,
          }));
        },
        finishing: (server, session, gid, decision) => {
          this.oracle.finishing(server, session, gid, decision);
        },
        registering: (epoch) => {
          this.oracle.plantCanaries(epoch);
        },
        meeting: ({ link }, participant) => {
          if (link instanceof SimulatedLink) link.meets(participant);
        },
        decidedLate: (epoch) => {
          this.oracle.violated('decided-after-retirement', `epoch ${epoch}`);
        },
        deciding: (session, transactionId, outcome, branches) => {
          this.oracle.deciding(session, transactionId, outcome, branches);
        },
      },
    });
  }
}
