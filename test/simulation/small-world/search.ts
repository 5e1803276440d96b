/**
 * Every run of the small world, each state once. A process cannot be copied, so a state is reached by carrying out its
 * choices again from the beginning; that this leads to the same state again is checked every time. That not every order
 * of steps has to be tried is argued at the head of `reduction.ts`.
 */
import { installHost } from '../host.ts';
import { assertAllUnderstood } from '../postgres/statement.ts';
import { NO_ACCESS } from './access.ts';
import type { Bounds, Choice } from './choice.ts';
import type { Exploration, Found, Limits } from './exploration.ts';
import { History } from './history.ts';
import { inTurn } from '../in-turn.ts';
import { clockOf, lookBack, lookBackFrom, touch, type Node, type Touched } from './reduction.ts';
import { SmallWorld } from './small-world.ts';

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
    lookBack(this.#stack, node, depth);
    node.clock = clockOf(this.#stack, node, depth);
    touch(node.behind, node.actor, node.access);
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
        lookBackFrom(this.#stack, behind, depth);
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

function bitOf(crashes: number, losses: number): number {
  return 1 << (crashes * BUDGET_MAX + losses);
}

function count(counts: Map<string, number>, what: string): void {
  counts.set(what, (counts.get(what) ?? 0) + 1);
}
