/**
 * Every run of the small world, each state once. A process cannot be copied, so a state is reached by carrying out its
 * choices again from the beginning; that this leads to the same state again is checked every time.
 *
 * Steps of two processes that touch nothing in common are tried in one order (dynamic partial order reduction: Flanagan
 * and Godefroid, POPL 2005): in a state one process moves first, and another one too only where a later step of it turns
 * out to touch what the first one did. Where a run comes to a known state, what was touched behind that state counts
 * (Yang et al., "Efficient Stateful Dynamic Partial Order Reduction", SPIN 2008). No run has a cycle: every step is
 * kept in somebody's history. So every end of every run is found, and what is broken on the way is seen at its end.
 */
import { toError } from '../../../src/errors.ts';
import { installHost } from '../host.ts';
import { assertAllUnderstood } from '../postgres/statement.ts';
import { conflictsOf, NO_ACCESS, type Access } from './access.ts';
import { History } from './history.ts';
import { SmallWorld, type Bounds, type Choice } from './small-world.ts';

export interface Found {
  readonly kind: string;
  readonly message: string;
  /** The choices that lead there, by their index. */
  readonly path: readonly number[];
}

export interface Exploration {
  readonly isComplete: boolean;
  readonly states: number;
  /** Runs that ended in a state that was known. */
  readonly merged: number;
  readonly replays: number;
  readonly steps: number;
  readonly deepest: number;
  /** Ends that differ. */
  readonly ends: number;
  /** A hash of all of them. */
  readonly endsHash: number;
  /** Runs that came to their end, by how they ended. */
  readonly outcomes: readonly (readonly [string, number])[];
  /** How often each was tried, in states that differ. */
  readonly faults: readonly (readonly [string, number])[];
  readonly found: readonly Found[];
  readonly ms: number;
  readonly cpuMs: number;
}

export interface Limits {
  readonly ms?: number | undefined;
  readonly stopAtFirst?: boolean;
  /** Every order of all steps. */
  readonly isUnreduced?: boolean;
  /** The order of everything that a process sees is part of its state. */
  readonly isExact?: boolean;
  readonly onProgress?: ((line: string) => void) | undefined;
}

/** Per process, what it touches. */
type Touched = number[];

interface Node {
  readonly choices: readonly Choice[];
  /** Whose step each choice is. */
  readonly actors: readonly number[];
  /** Undefined where it is decided what goes wrong: nobody can have come there in another way. */
  readonly key: number | undefined;
  /** Process by rank. */
  readonly ranks: readonly number[];
  /** Choices that are to be tried, in this order. */
  readonly agenda: number[];
  at: number;
  /** Of the step that is being tried. */
  actor: number;
  access: Access;
  /** For each process, its last step that this one depends on, by depth. */
  clock: readonly number[];
  readonly behind: Touched;
}

interface Known {
  /** The budgets with which it was explored: less is contained in more. */
  budgets: number;
  /** Touched behind it, by the rank of the process. */
  readonly behind: Touched;
}

const FOUND_MAX = 10;
const PROGRESS_MS = 30_000;
const SLICE = 100;
/** Budgets are below this, so that a pair of them is one bit. */
const BUDGET_MAX = 5;

/** Runs outside of every promise, as the simulation does, and a slice at a time: what is weakly held is freed in between. */
export async function explore(bounds: Bounds, limits: Limits = {}): Promise<Exploration> {
  if (Math.max(bounds.crashes, bounds.losses) >= BUDGET_MAX) {
    throw new RangeError(`at most ${BUDGET_MAX - 1} crashes and ${BUDGET_MAX - 1} lost messages`);
  }
  History.exact = limits.isExact === true;
  const search = new Search(bounds, limits);
  const restore = installHost('light');
  const onRejection = (reason: unknown): void => {
    search.rejected(String(reason));
  };
  process.on('unhandledRejection', onRejection);
  try {
    while (!(await inTurn(() => search.runSlice())));
    return search.result;
  } finally {
    process.off('unhandledRejection', onRejection);
    restore();
  }
}

class Search {
  readonly #bounds: Bounds;
  readonly #limits: Limits;
  readonly #stack: Node[] = [];
  readonly #known = new Map<number, Known>();
  readonly #ends = new Set<number>();
  readonly #outcomes = new Map<string, number>();
  readonly #faults = new Map<string, number>();
  readonly #found: Found[] = [];
  readonly #startedAt = performance.now();
  readonly #cpuAtStart = process.cpuUsage();
  #saidAt = performance.now();
  #world: SmallWorld | undefined;
  #replays = 0;
  #merged = 0;
  #steps = 0;
  #deepest = 0;
  #isComplete = false;

  constructor(bounds: Bounds, limits: Limits) {
    this.#bounds = bounds;
    this.#limits = limits;
  }

  rejected(reason: string): void {
    this.#world?.oracle.violated('unhandled-rejection', reason);
  }

  /** True when nothing is left to do. */
  runSlice(): boolean {
    const until = this.#replays + SLICE;
    while (this.#replays < until) {
      this.#runOnce();
      this.#isComplete = !this.#backtrack();
      if (this.#isComplete || this.#isOver()) return true;
    }
    this.#tellProgress();
    return false;
  }

  get result(): Exploration {
    const { user, system } = process.cpuUsage(this.#cpuAtStart);
    return {
      isComplete: this.#isComplete,
      states: this.#known.size,
      merged: this.#merged,
      replays: this.#replays,
      steps: this.#steps,
      deepest: this.#deepest,
      ends: this.#ends.size,
      endsHash: [...this.#ends].reduce((sum, end) => (sum + end) % Number.MAX_SAFE_INTEGER, 0),
      outcomes: [...this.#outcomes].sort(),
      faults: [...this.#faults].sort(),
      found: this.#found,
      ms: performance.now() - this.#startedAt,
      cpuMs: (user + system) / 1_000,
    };
  }

  #isOver(): boolean {
    const { ms = Number.POSITIVE_INFINITY, stopAtFirst = false } = this.#limits;
    if (stopAtFirst && this.#found.length > 0) return true;
    return performance.now() - this.#startedAt > ms;
  }

  #runOnce(): void {
    const world = new SmallWorld(this.#bounds);
    this.#world = world;
    this.#replays += 1;
    this.#repeat(world);
    while (this.#visit(world)) this.#try(world, this.#stack.length - 1);
    assertAllUnderstood();
  }

  /** Up to the choice that is to be tried next, and that one too. */
  #repeat(world: SmallWorld): void {
    const last = this.#stack.length - 1;
    for (const [index, node] of this.#stack.entries()) {
      if (index === last) {
        const isSame =
          node.key === undefined
            ? world.choices().length === node.choices.length
            : world.key === node.key;
        if (!isSame) throw new Error(`the same choices lead elsewhere, in step ${index}`);
        this.#try(world, index);
        return;
      }
      this.#steps += 1;
      world.apply(choiceOf(node));
    }
  }

  /** The step that its node is at; and where it touches what an earlier step did, the other order is to be tried. */
  #try(world: SmallWorld, depth: number): void {
    const node = this.#stack[depth];
    if (node === undefined) throw new Error('nothing is to be tried');
    this.#steps += 1;
    const choice = choiceOf(node);
    node.actor = world.actorOf(choice);
    world.apply(choice);
    node.access = world.access;
    if (world.struck !== undefined) count(this.#faults, world.struck);
    if (this.#limits.isUnreduced === true) return;
    this.#lookBack(node, depth);
    node.clock = this.#clockOf(node, depth);
    touch(node.behind, node.actor, node.access);
  }

  /** The last step of another process that this one could have come before. */
  #lookBack({ actor, access }: Node, depth: number): void {
    if (access === NO_ACCESS) return;
    const conflicts = conflictsOf(access);
    const seen = this.#lastClockOf(actor, depth);
    for (let at = depth - 1; at >= 0; at -= 1) {
      const before = this.#stack[at];
      if (before === undefined || before.actor === actor) continue;
      if ((before.access & conflicts) === 0 || (seen[before.actor] ?? -1) >= at) continue;
      this.#tryAlso(at, actor);
      return;
    }
  }

  /** Behind the state that was come to now, this is known to be touched: any of it could have come before what was done. */
  #lookBackFrom(behind: Touched, depth: number): void {
    for (const [actor, access] of behind.entries()) {
      if (access === NO_ACCESS) continue;
      const conflicts = conflictsOf(access);
      const seen = this.#lastClockOf(actor, depth);
      for (let at = depth - 1; at >= 0; at -= 1) {
        const before = this.#stack[at];
        if (before === undefined || before.actor === actor) continue;
        if ((before.access & conflicts) === 0 || (seen[before.actor] ?? -1) >= at) continue;
        this.#tryAlso(at, actor);
      }
    }
  }

  #lastClockOf(actor: number, depth: number): readonly number[] {
    for (let at = depth - 1; at >= 0; at -= 1) {
      const before = this.#stack[at];
      if (before?.actor === actor) return before.clock;
    }
    return [];
  }

  #clockOf({ actor, access }: Node, depth: number): number[] {
    const clock: number[] = [];
    const conflicts = conflictsOf(access);
    for (let at = depth - 1; at >= 0; at -= 1) {
      const before = this.#stack[at];
      if (before === undefined) continue;
      if (before.actor !== actor && (before.access & conflicts) === 0) continue;
      for (const [process, step] of before.clock.entries()) {
        clock[process] = Math.max(clock[process] ?? -1, step);
      }
    }
    clock[actor] = depth;
    return Array.from(clock, (step) => (step as number | undefined) ?? -1);
  }

  /** A process is to move first here too; all of them, if it cannot. What goes wrong belongs to the step before it. */
  #tryAlso(depth: number, actor: number): void {
    for (let at = depth; at >= 0; at -= 1) {
      const node = this.#stack[at];
      if (node === undefined || node.key === undefined) continue;
      const all = [...node.choices.keys()];
      const own = all.filter((index) => node.actors[index] === actor);
      for (const index of own.length > 0 ? own : all) {
        if (!node.agenda.includes(index)) node.agenda.push(index);
      }
      return;
    }
  }

  /** False if the run is over, or nothing new can come of it. */
  #visit(world: SmallWorld): boolean {
    const choices = world.choices();
    const depth = this.#stack.length;
    this.#deepest = Math.max(this.#deepest, depth);
    if (world.oracle.violations.length > 0) {
      this.#end(world);
      return false;
    }
    const key = world.isDeciding ? undefined : world.key;
    const ranks = key === undefined ? [] : world.ranks;
    if (key !== undefined) {
      const known = this.#knownAs(key, world);
      if (known !== undefined) {
        this.#merged += 1;
        const behind: Touched = [];
        for (const [rank, access] of known.behind.entries()) behind[ranks[rank] ?? rank] = access;
        this.#lookBackFrom(behind, depth);
        this.#addToParent(behind);
        return false;
      }
    }
    if (choices.length === 0) {
      if (key !== undefined) this.#ends.add(key);
      this.#end(world);
      return false;
    }
    this.#push(world, choices, key, ranks);
    return true;
  }

  #push(
    world: SmallWorld,
    choices: readonly Choice[],
    key: number | undefined,
    ranks: readonly number[],
  ): void {
    const actors = choices.map((choice) => world.actorOf(choice));
    const all = [...choices.keys()];
    const isWhole = key === undefined || this.#limits.isUnreduced === true;
    const agenda = isWhole ? all : all.filter((index) => actors[index] === actors[0]);
    this.#stack.push({
      choices,
      actors,
      key,
      ranks,
      agenda,
      at: 0,
      actor: -1,
      access: NO_ACCESS,
      clock: [],
      behind: [],
    });
  }

  /** Undefined if it is to be explored: it is new, or more may go wrong than when it was. */
  #knownAs(key: number, { crashesLeft, lossesLeft }: SmallWorld): Known | undefined {
    let known = this.#known.get(key);
    if (known !== undefined && (known.budgets & bitOf(crashesLeft, lossesLeft)) !== 0) return known;
    if (known === undefined) {
      known = { budgets: 0, behind: [] };
      this.#known.set(key, known);
    }
    for (let crashes = 0; crashes <= crashesLeft; crashes += 1) {
      for (let losses = 0; losses <= lossesLeft; losses += 1) {
        known.budgets |= bitOf(crashes, losses);
      }
    }
    return undefined;
  }

  #end(world: SmallWorld): void {
    world.end();
    count(this.#outcomes, world.outcome);
    const path = this.#stack.map((node) => node.agenda[node.at] ?? 0);
    for (const { kind, message } of world.oracle.violations) {
      if (this.#found.length < FOUND_MAX) this.#found.push({ kind, message, path });
    }
  }

  /** To the last state with a choice that was not tried; false when there is none. */
  #backtrack(): boolean {
    for (let node = this.#stack.at(-1); node !== undefined; node = this.#stack.at(-1)) {
      node.at += 1;
      if (node.at < node.agenda.length) return true;
      this.#stack.pop();
      this.#addToParent(node.behind);
      const known = node.key === undefined ? undefined : this.#known.get(node.key);
      for (const [rank, process] of node.ranks.entries()) {
        if (known !== undefined) touch(known.behind, rank, node.behind[process] ?? NO_ACCESS);
      }
    }
    return false;
  }

  #addToParent(behind: Touched): void {
    const parent = this.#stack.at(-1);
    if (parent === undefined) return;
    for (const [process, access] of behind.entries()) touch(parent.behind, process, access);
  }

  #tellProgress(): void {
    const { onProgress } = this.#limits;
    const now = performance.now();
    if (onProgress === undefined || now - this.#saidAt < PROGRESS_MS) return;
    this.#saidAt = now;
    const path = this.#stack.slice(0, 24).map(({ at, agenda }) => `${at + 1}/${agenda.length}`);
    onProgress(
      `${((now - this.#startedAt) / 1_000).toFixed(0)} s: ${this.#known.size} states, ` +
        `${this.#replays} runs, at ${path.join(' ')}`,
    );
  }
}

function choiceOf({ choices, agenda, at }: Node): Choice {
  const choice = choices[agenda[at] ?? -1];
  if (choice === undefined) throw new Error('a run has no choice where it had one before');
  return choice;
}

function touch(touched: Touched, process: number, access: Access | undefined): void {
  if (process < 0) return;
  touched[process] = (touched[process] ?? NO_ACCESS) | (access ?? NO_ACCESS);
}

function bitOf(crashes: number, losses: number): number {
  return 1 << (crashes * BUDGET_MAX + losses);
}

function count(counts: Map<string, number>, what: string): void {
  counts.set(what, (counts.get(what) ?? 0) + 1);
}

/** What `work` returns or throws, in a turn of the event loop of its own. */
function inTurn<T>(work: () => T): Promise<T> {
  return new Promise((resolve, reject) => {
    setImmediate(() => {
      try {
        resolve(work());
      } catch (error) {
        reject(toError(error));
      }
    });
  });
}

/** The steps of one run, in words. */
export async function retell(bounds: Bounds, path: readonly number[]): Promise<string[]> {
  const restore = installHost('light');
  try {
    return await inTurn(() => tell(bounds, path));
  } finally {
    restore();
  }
}

function tell(bounds: Bounds, path: readonly number[]): string[] {
  const world = new SmallWorld(bounds);
  const lines: string[] = [];
  for (const at of path) {
    const choice = world.choices()[at];
    if (choice === undefined) throw new Error('these choices are of another world');
    const line = world.describe(choice);
    if (line !== '') lines.push(line);
    world.apply(choice);
  }
  return lines;
}
