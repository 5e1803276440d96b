/** Draws faults at random, several at a time, and heals all of them at the end. */
import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

import type { HarnessEvent, HistoryWriter } from './history.ts';
import type { Random } from './random.ts';
import { describe } from './worker-plan.ts';
import type { Role, Worker } from './workers.ts';
import type { SoakDatabase, World } from './world.ts';

/** What a fault may do. */
export interface Field {
  readonly world: World;
  readonly workers: readonly Worker[];
  readonly random: Random;
  readonly heartbeatLimitMs: number;
  /** Aborted when the soak ends: a fault that is held is let go then. */
  readonly ending: AbortSignal;
  /** Waits, but not beyond the end of the soak. */
  wait(ms: number): Promise<void>;
  /** Records that the fault has really fired. */
  fired(fault: string, times: number, detail?: unknown): void;
  record(event: HarnessEvent): void;
}

export interface Fault {
  readonly name: string;
  readonly weight: number;
  /** What it needs for itself: no other fault has that at the same time. Undefined: not now. */
  claim(field: Field): readonly string[] | undefined;
  /** Does it and heals it. `claimed` is what claim() returned. */
  run(field: Field, claimed: readonly string[]): Promise<void>;
}

export interface NemesisOptions {
  readonly world: World;
  readonly workers: readonly Worker[];
  readonly random: Random;
  readonly heartbeatLimitMs: number;
  readonly history: HistoryWriter;
  readonly faults: readonly Fault[];
  /** Faults at a time. */
  readonly most: number;
  /** Longest pause between two faults. */
  readonly everyMs: number;
}

export class Nemesis {
  readonly #options: NemesisOptions;
  readonly #ending = new AbortController();
  readonly #field: Field;
  readonly #claimed = new Set<string>();
  readonly #running = new Set<Promise<void>>();
  readonly counts = new Map<string, number>();

  constructor(options: NemesisOptions) {
    this.#options = options;
    const { history } = options;
    // Every fault that waits listens.
    setMaxListeners(0, this.#ending.signal);
    this.#field = {
      ...options,
      ending: this.#ending.signal,
      wait: async (ms) => {
        await sleep(ms, undefined, { signal: this.#ending.signal }).catch(() => undefined);
      },
      fired: (fault, times, detail) => {
        this.counts.set(fault, (this.counts.get(fault) ?? 0) + times);
        history.write('harness', { kind: 'fault', fault, times, detail });
      },
      record: (event) => {
        history.write('harness', event);
      },
    };
  }

  async rage(untilMs: number): Promise<void> {
    const { random, most, everyMs, faults } = this.#options;
    const deck = faults.map((fault) => [fault, fault.weight] as const);
    const draw = (): Fault => {
      // A short soak shall have met every kind (I26).
      const missing = faults.filter(({ name }) => !this.counts.has(name));
      return missing.length > 0 && random.chance(0.5)
        ? random.pick(missing)
        : random.weighted(deck);
    };
    while (performance.now() < untilMs) {
      await this.#field.wait(Math.min(random.int(1, everyMs), untilMs - performance.now()));
      if (this.#running.size >= most) continue;
      this.#start(draw());
    }
  }

  /** Lets every fault go, undoes all that is left of them, and starts what is dead. */
  async heal(): Promise<void> {
    this.#ending.abort();
    await Promise.all(this.#running);
    for (const { links } of this.#options.workers) for (const link of links.values()) link.heal();
    this.#options.history.write('harness', { kind: 'healed' });
  }

  #start(fault: Fault): void {
    const wanted = fault.claim(this.#field);
    if (wanted === undefined || wanted.some((one) => this.#claimed.has(one))) return;
    for (const one of wanted) this.#claimed.add(one);
    const done = fault
      .run(this.#field, wanted)
      .catch((error: unknown) => {
        const why = describe(error);
        this.#options.history.write('harness', { kind: 'nemesis-failed', fault: fault.name, why });
      })
      .finally(() => {
        for (const one of wanted) this.#claimed.delete(one);
        this.#running.delete(done);
      });
    this.#running.add(done);
  }
}

export function serverClaim(one: SoakDatabase): string {
  return `server ${one.name}`;
}

export function workersOf(field: Field, ...roles: readonly Role[]): Worker[] {
  return field.workers.filter((one) => roles.includes(one.role));
}

export function databases({ world }: Field): SoakDatabase[] {
  return [world.log, ...world.participants];
}

export function databaseOf(field: Field, [claimed]: readonly string[]): SoakDatabase {
  const found = databases(field).find((one) => serverClaim(one) === claimed);
  if (found === undefined) throw new Error(`no database is claimed by ${String(claimed)}`);
  return found;
}
