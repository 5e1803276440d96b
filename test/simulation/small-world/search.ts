/**
 * Every run of the small world, each state once. A process cannot be copied, so a state is reached by carrying out its
 * choices again from the beginning; that this leads to the same state again is checked every time.
 */
import { installHost } from '../host.ts';
import { assertAllUnderstood } from '../postgres/statement.ts';
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
  /** Runs that came to their end, by how they ended. */
  readonly outcomes: readonly (readonly [string, number])[];
  /** Runs in which it happened. */
  readonly faults: readonly (readonly [string, number])[];
  readonly found: readonly Found[];
  readonly ms: number;
}

export interface Limits {
  readonly ms?: number;
  readonly stopAtFirst?: boolean;
  readonly onProgress?: (line: string) => void;
}

interface Node {
  readonly choices: readonly Choice[];
  readonly key: number | undefined;
  at: number;
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
  /** Per state the budgets with which it was explored: less is contained in more. */
  readonly #explored = new Map<number, number>();
  readonly #outcomes = new Map<string, number>();
  readonly #faults = new Map<string, number>();
  readonly #found: Found[] = [];
  readonly #startedAt = performance.now();
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
    return {
      isComplete: this.#isComplete,
      states: this.#explored.size,
      merged: this.#merged,
      replays: this.#replays,
      steps: this.#steps,
      deepest: this.#deepest,
      outcomes: [...this.#outcomes].sort(),
      faults: [...this.#faults].sort(),
      found: this.#found,
      ms: performance.now() - this.#startedAt,
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
    while (this.#visit(world)) {
      const node = this.#stack.at(-1);
      const choice = node?.choices[node.at];
      if (choice === undefined) break;
      this.#steps += 1;
      world.apply(choice);
    }
    assertAllUnderstood();
  }

  /** Up to the choice that is to be tried next, and that one too. */
  #repeat(world: SmallWorld): void {
    const last = this.#stack.length - 1;
    for (const [index, { choices, at, key }] of this.#stack.entries()) {
      const choice = choices[at];
      if (choice === undefined) throw new Error('a run has no choice where it had one before');
      if (
        index === last &&
        (key ?? world.choices().length) !== (key === undefined ? choices.length : world.key)
      )
        throw new Error(`the same choices lead elsewhere, in step ${index}`);
      this.#steps += 1;
      world.apply(choice);
    }
  }

  /** False if the run is over, or nothing new can come of it. */
  #visit(world: SmallWorld): boolean {
    const choices = world.choices();
    this.#deepest = Math.max(this.#deepest, this.#stack.length);
    if (world.oracle.violations.length > 0) {
      this.#end(world);
      return false;
    }
    // Where only one fault more or less is decided, nobody can have come from elsewhere.
    const key = world.isDeciding ? undefined : world.key;
    if (key !== undefined && !this.#isNew(key, world)) {
      this.#merged += 1;
      return false;
    }
    if (choices.length === 0) {
      this.#end(world);
      return false;
    }
    this.#stack.push({ choices, key, at: 0 });
    return true;
  }

  #isNew(key: number, { crashesLeft, lossesLeft }: SmallWorld): boolean {
    const explored = this.#explored.get(key) ?? 0;
    if ((explored & bitOf(crashesLeft, lossesLeft)) !== 0) return false;
    let mask = explored;
    for (let crashes = 0; crashes <= crashesLeft; crashes += 1) {
      for (let losses = 0; losses <= lossesLeft; losses += 1) mask |= bitOf(crashes, losses);
    }
    this.#explored.set(key, mask);
    return true;
  }

  #end(world: SmallWorld): void {
    world.end();
    count(this.#outcomes, world.outcome);
    for (const what of world.fired.keys()) count(this.#faults, what);
    const path = this.#stack.map(({ at }) => at);
    for (const { kind, message } of world.oracle.violations) {
      if (this.#found.length < FOUND_MAX) this.#found.push({ kind, message, path });
    }
  }

  /** To the last state with a choice that was not tried; false when there is none. */
  #backtrack(): boolean {
    for (let node = this.#stack.at(-1); node !== undefined; node = this.#stack.at(-1)) {
      node.at += 1;
      if (node.at < node.choices.length) return true;
      this.#stack.pop();
    }
    return false;
  }

  #tellProgress(): void {
    const { onProgress } = this.#limits;
    const now = performance.now();
    if (onProgress === undefined || now - this.#saidAt < PROGRESS_MS) return;
    this.#saidAt = now;
    const path = this.#stack.slice(0, 24).map(({ at, choices }) => `${at + 1}/${choices.length}`);
    onProgress(
      `${((now - this.#startedAt) / 1_000).toFixed(0)} s: ${this.#explored.size} states, ` +
        `${this.#replays} runs, at ${path.join(' ')}`,
    );
  }
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
        reject(error as Error);
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
  {
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
}
