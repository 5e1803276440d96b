import type { Random } from './random.ts';
import type { Scheduled, Scheduler } from './scheduler.ts';
import type { Network } from './wire.ts';

/** What a simulated process owns and loses when it is killed. */
export interface Owned {
  /** The process is gone, or cut off. `noticed`: the other side is told, as by a FIN. */
  abandon(noticed: boolean): void;
}

/** Node's own loop over promises and ticks, callable between two events of the simulation. */
const tick = (process as unknown as { _tickCallback: () => void })._tickCallback;

let current: SimulatedProcess | undefined;

/** The process whose code is running; undefined in the harness and in the servers. */
export function runningProcess(): SimulatedProcess | undefined {
  return current;
}

function enter(process: SimulatedProcess, run: () => void): void {
  current = process;
  try {
    run();
    tick();
  } finally {
    current = undefined;
  }
}

/** A timer that looks like one of Node's. */
export class SimulatedTimer {
  readonly scheduled: Scheduled;

  constructor(process: SimulatedProcess, delayMs: number, callback: () => void) {
    this.scheduled = process.scheduler.after(delayMs, () => {
      process.timers.delete(this);
      process.deliver(callback);
    });
  }

  unref(): this {
    return this;
  }

  ref(): this {
    return this;
  }

  hasRef(): boolean {
    return true;
  }

  refresh(): this {
    return this;
  }
}

/**
 * One operating system process: everything that its code waits for comes through `deliver`, so that it
 * can be killed and frozen between any two events. Killed, it simply never runs again.
 */
export class SimulatedProcess {
  readonly name: string;
  readonly random: Random;
  readonly scheduler: Scheduler;
  readonly owned = new Set<Owned>();
  readonly timers = new Set<SimulatedTimer>();
  /** How often its program has begun anew: what it has met before, it does not know any more. */
  beginnings = 0;
  readonly #held: (() => void)[] = [];
  #alive = true;
  #frozen = false;

  /** Where its clients connect. */
  readonly network: Network;

  constructor(name: string, scheduler: Scheduler, random: Random, network: Network) {
    this.name = name;
    this.network = network;
    this.scheduler = scheduler;
    this.random = random;
  }

  get alive(): boolean {
    return this.#alive;
  }

  get frozen(): boolean {
    return this.#frozen;
  }

  /** Runs code of this process, and everything that it makes runnable, to the next wait. */
  deliver(run: () => void): void {
    if (!this.#alive) return;
    if (this.#frozen) {
      this.#held.push(run);
      return;
    }
    if (current !== undefined) throw new Error(`${this.name} is run from within ${current.name}`);
    enter(this, run);
  }

  /** SIGKILL (`noticed`: the machine goes on and closes its sockets), or the loss of the machine. */
  kill(noticed: boolean): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.#held.length = 0;
    for (const timer of this.timers) timer.scheduled.run = undefined;
    this.timers.clear();
    for (const owned of this.owned) owned.abandon(noticed);
    this.owned.clear();
  }

  /** SIGSTOP. */
  freeze(): void {
    this.#frozen = true;
  }

  /** SIGCONT: what came meanwhile is seen at once, in the order in which it came. */
  thaw(): void {
    if (!this.#frozen) return;
    this.#frozen = false;
    const held = this.#held.splice(0);
    for (const run of held)
      this.scheduler.after(0, () => {
        this.deliver(run);
      });
  }

  setTimer(ms: number, callback: () => void): SimulatedTimer {
    const delay = Number.isFinite(ms) ? Math.max(ms, 1) : 1;
    const timer = new SimulatedTimer(this, delay, callback);
    if (this.#alive) this.timers.add(timer);
    else timer.scheduled.run = undefined;
    return timer;
  }

  clearTimer(timer: SimulatedTimer): void {
    timer.scheduled.run = undefined;
    this.timers.delete(timer);
  }
}
