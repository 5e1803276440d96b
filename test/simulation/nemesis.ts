/** Makes the planned faults happen: at their time, or when the moment comes that they wait for. */
import { parseGid } from '../../src/participant/gid.ts';
import type { CoordinatorActor, Stage } from './actors.ts';
import type { SimulatedLink, SimulatedNetwork } from './network.ts';
import { forceCommit, resolveByOperator } from './operator.ts';
import type { Fault, PlannedFault, Trigger } from './plan.ts';
import type { Session } from './postgres/session.ts';
import type { SimulatedServer } from './postgres/server.ts';
import type { SimulatedProcess } from './process.ts';
import type { Scheduler } from './scheduler.ts';

export interface World {
  readonly scheduler: Scheduler;
  readonly network: SimulatedNetwork;
  readonly log: SimulatedServer;
  /** The participants' servers. */
  readonly servers: readonly SimulatedServer[];
  readonly stage: Stage;
  readonly coordinators: CoordinatorActor[];
  /** All processes that were ever started. */
  readonly processes: Map<string, SimulatedProcess>;
  newProcess(name: string): SimulatedProcess;
  /** Starts a successor of a process that was killed. */
  restart(name: string): void;
}

interface Struck {
  readonly process: string | undefined;
  readonly server: SimulatedServer | undefined;
  readonly session: Session | undefined;
  readonly link: SimulatedLink | undefined;
}

/** For the n-th time that something comes so far. */
interface Waiting {
  nth: number;
  readonly come: (where: () => Struck) => void;
}

export class Nemesis {
  readonly #world: World;
  /** By kind and phase. */
  readonly #waiting = new Map<string, Map<string, Waiting[]>>();
  #over = false;
  readonly #slots: { server: SimulatedServer; gid: string }[] = [];
  readonly fired: string[] = [];

  constructor(world: World, faults: readonly PlannedFault[]) {
    this.#world = world;
    for (const fault of faults) {
      const { when } = fault;
      if ('atMs' in when) {
        world.scheduler.after(when.atMs, () => {
          if (!this.#over) this.#strike(fault, this.#anyTarget(fault.target));
        });
        continue;
      }
      this.#await(when, (where) => {
        const { afterMs } = when;
        if (afterMs === undefined) {
          this.#strike(fault, where());
          return;
        }
        const struck = where();
        this.#later(afterMs, () => {
          this.#strike(fault, struck);
        });
      });
    }
  }

  #await({ kind, phase, nth }: Omit<Trigger, 'afterMs'>, come: Waiting['come']): void {
    const byPhase = this.#waiting.get(kind) ?? new Map<string, Waiting[]>();
    this.#waiting.set(kind, byPhase);
    byPhase.set(phase, [...(byPhase.get(phase) ?? []), { nth, come }]);
  }

  /** A statement has come this far. */
  reached(kind: string, phase: string, where: () => Struck): void {
    if (this.#over) return;
    const waiting = this.#waiting.get(kind)?.get(phase);
    if (waiting === undefined) return;
    for (const entry of waiting) {
      entry.nth -= 1;
      if (entry.nth === 0) entry.come(where);
    }
  }

  /** No more faults; what is broken is mended. */
  heal(): void {
    this.#over = true;
    const { network, log, servers, processes } = this.#world;
    network.heal();
    for (const server of [log, ...servers]) {
      server.resume();
      server.restart();
      server.attachStandby();
      for (const session of server.sessions.values()) if (session.paused) session.resume();
    }
    this.#emptySlots();
    for (const process of processes.values()) process.thaw();
  }

  #anyTarget(target: number): Struck {
    const { servers, log, processes, network } = this.#world;
    const all = [...servers, log];
    const alive = [...processes.values()].filter((one) => one.alive);
    const links = [...network.links];
    const link = links[target % Math.max(1, links.length)];
    return {
      process: alive[target % Math.max(1, alive.length)]?.name,
      server: all[target % all.length],
      session: link?.session,
      link,
    };
  }

  #strike({ what, target }: PlannedFault, struck: Struck): void {
    const other = this.#anyTarget(target);
    // Some of the faults strike elsewhere than where they were waiting.
    const { process, server, session, link } =
      target % 6 === 0 ? { ...struck, ...defined(other) } : struck;
    this.fired.push(
      `${this.#world.scheduler.now.toFixed(1)} ${what.do} ${process ?? ''} ${server?.name ?? ''}`,
    );
    this.#world.stage.oracle.note(`fault-${what.do}`);
    switch (what.do) {
      case 'kill':
      case 'freeze':
      case 'close-manager':
        this.#strikeProcess(what, process);
        return;
      case 'crash-server':
      case 'fail-over':
      case 'pause-server':
      case 'land-on-standby':
      case 'detour':
      case 'fill-slots':
      case 'detach-standby':
        if (server !== undefined) this.#strikeServer(what, server);
        return;
      case 'pause-backend':
        session?.pause();
        this.#later(what.forMs, () => session?.resume());
        return;
      case 'terminate-backend':
        // From another session: after the statement has done what it is doing.
        this.#world.scheduler.after(0, () => session?.terminate());
        return;
      case 'cut':
        link?.cut(what.how);
        return;
      case 'clog':
        if (process !== undefined && server !== undefined) {
          this.#world.network.clog(process, server.name, what.forMs);
        }
        return;
      case 'isolate':
        for (const one of [this.#world.log, ...this.#world.servers]) {
          this.#world.network.clog(process ?? '', one.name, what.forMs);
        }
        return;
      case 'hold':
        if (process !== undefined && server !== undefined) {
          const { network } = this.#world;
          network.hold(process, server.name);
          this.#await(what.until, () => {
            network.release(process, server.name);
          });
        }
        return;
      case 'duplicate':
        if (link?.lastUnit !== undefined) this.#duplicate(link, what.afterMs);
        return;
      case 'operator':
        this.#world.scheduler.after(0, () => {
          this.#callOperator(what.what);
        });
        return;
      case 'by-hand':
        this.#world.scheduler.after(0, () => {
          this.#byHand(what.what);
        });
    }
  }

  #later(ms: number, run: () => void): void {
    this.#world.scheduler.after(ms, () => {
      if (!this.#over) run();
    });
  }

  #strikeProcess(
    what: Extract<Fault, { do: 'kill' | 'freeze' | 'close-manager' }>,
    name: string | undefined,
  ): void {
    const process = this.#world.processes.get(name ?? '');
    if (process === undefined) return;
    switch (what.do) {
      case 'kill':
        process.kill(what.noticed);
        if (what.backAfterMs !== undefined) {
          // Also after all is healed: who was to come back comes back.
          this.#world.scheduler.after(what.backAfterMs, () => {
            this.#world.restart(process.name);
          });
        }
        return;
      case 'freeze':
        process.freeze();
        this.#later(what.forMs, () => {
          process.thaw();
        });
        return;
      case 'close-manager':
        this.#world.scheduler.after(0, () => {
          this.#world.coordinators.find((one) => one.process === process)?.close();
        });
    }
  }

  #strikeServer(
    what: Extract<
      Fault,
      {
        do:
          | 'crash-server'
          | 'fail-over'
          | 'pause-server'
          | 'land-on-standby'
          | 'detour'
          | 'fill-slots'
          | 'detach-standby';
      }
    >,
    server: SimulatedServer,
  ): void {
    const { network, servers, log, stage } = this.#world;
    switch (what.do) {
      case 'crash-server':
        server.crash(what.noticed, what.panics);
        this.#later(what.forMs, () => {
          server.restart();
        });
        return;
      case 'fail-over': {
        const before = server.lost.length;
        server.failOver(what.noticed);
        if (server !== log) stage.oracle.lost(server, server.lost.slice(before));
        return;
      }
      case 'pause-server':
        server.pause();
        this.#later(what.forMs, () => {
          server.resume();
        });
        return;
      case 'land-on-standby':
        network.toStandby.add(server.name);
        this.#resetAll(server);
        this.#later(what.forMs, () => {
          network.toStandby.delete(server.name);
          this.#resetAll(server);
        });
        return;
      case 'detour': {
        const other = servers.find((one) => one !== server);
        if (server === log || other === undefined) return;
        network.detours.set(server.name, other.name);
        this.#resetAll(server);
        this.#later(what.forMs, () => {
          network.detours.delete(server.name);
          this.#resetAll(other);
        });
        return;
      }
      case 'fill-slots':
        if (server.up) this.#fillSlots(server);
        this.#later(what.forMs, () => {
          this.#emptySlots();
        });
        return;
      case 'detach-standby':
        server.standbyAttached = false;
        this.#later(what.cancelAfterMs, () => {
          if (server.up && server.cancelSyncWaits() > 0) stage.oracle.note('sync-wait-cancelled');
        });
        this.#later(what.forMs, () => {
          server.attachStandby();
        });
    }
  }

  #resetAll(server: SimulatedServer): void {
    for (const link of [...this.#world.network.links])
      if (link.server === server) link.cut('reset');
  }

  #fillSlots(server: SimulatedServer): void {
    for (let slot = server.data.prepared.size; slot < server.maxPrepared; slot += 1) {
      const gid = `filler_${server.wal.length}_${slot}`;
      server.plant(gid);
      this.#slots.push({ server, gid });
    }
  }

  /** Those of a server that is down are emptied when all is healed. */
  #emptySlots(): void {
    for (const slot of this.#slots.splice(0)) {
      if (slot.server.up) slot.server.uproot(slot.gid);
      else this.#slots.push(slot);
    }
  }

  /** The same message a second time, late: as a proxy or a pooler with a retry may send it. */
  #duplicate(link: SimulatedLink, afterMs: number): void {
    const unit = link.lastUnit;
    const { server, process } = link;
    // Only a message that means something in a session of its own.
    if (
      unit?.statements.length !== 1 ||
      !/^(commit|rollback) prepared|^\s*insert into pgxa\./.test(unit.statements[0]?.text ?? '')
    )
      return;
    this.#world.scheduler.after(afterMs, () => {
      if (!server.up) return;
      const nobody = { process, answer: () => undefined, shut: () => undefined };
      server.accept(() => {
        const session = server.connect(nobody, false);
        session.receive(unit);
        session.clientGone();
      });
    });
  }

  #callOperator(what: 'resolve' | 'force-commit'): void {
    const { stage } = this.#world;
    if (what === 'resolve') {
      resolveByOperator(this.#world.newProcess('operator'), stage);
      return;
    }
    const { oracle } = stage;
    const told = oracle.told.find(({ id, writes }) =>
      writes.every((name) =>
        oracle
          .inDoubt()
          .some((one) => one.participant === name && parseGid(one.gid)?.transactionId === id),
      ),
    );
    if (told === undefined) return;
    oracle.forced.add(told.id);
    forceCommit(this.#world.newProcess('operator'), stage, told);
  }

  /** Against the register, and against all advice. */
  #byHand(what: 'commit' | 'rollback'): void {
    const [first] = this.#world.stage.oracle.inDoubt();
    const server = this.#world.servers.find(({ name }) => name === first?.participant);
    if (first === undefined || server?.up !== true) return;
    const nobody = { process: 'by-hand', answer: () => undefined, shut: () => undefined };
    const session = server.connect(nobody, false);
    const text = `${what} prepared '${first.gid}'`;
    session.receive({ statements: [{ text, values: [], name: undefined }], simple: true });
    session.clientGone();
  }
}

function defined(struck: Struck): Partial<Struck> {
  return Object.fromEntries(Object.entries(struck).filter(([, value]) => value !== undefined));
}
