/** Every run of the small world, each state once, between the parts: `part-world.ts`. */
import { installHost } from '../../host.ts';
import { Random } from '../../random.ts';
import { assertAllUnderstood } from '../../postgres/statement.ts';
import type { Bounds, Choice } from '../choice.ts';
import type { Exploration, Found, Limits } from '../exploration.ts';
import { Digest } from '../digest.ts';
import { inTurn } from '../../in-turn.ts';
import { replies } from './conformance.ts';
import { numbersOf } from './part-key.ts';
import { judgeEnd } from './part-oracle.ts';
import { PartWorld, type PartState } from './part-world.ts';
import { Parts } from './parts.ts';
import { ProcessRun } from './process-run.ts';
import { Visited } from './visited.ts';

/** Runs outside of every promise, as the simulation does, and a slice at a time: what is weakly held is freed in between. */
export async function explore(bounds: Bounds, limits: Limits = {}): Promise<Exploration> {
  if (Math.max(bounds.crashes, bounds.losses) >= BUDGET_MAX) {
    throw new RangeError(`at most ${BUDGET_MAX - 1} crashes and ${BUDGET_MAX - 1} lost messages`);
  }
  return surrounded(async () => {
    const { tests = 0 } = limits;
    const parts = tests === 0 ? await inTurn(() => new Parts()) : await testedParts(tests);
    return run(await inTurn(() => new Survey(bounds, limits, parts)));
  });
}

/** Where the clock, the timers and node-postgres are those of the simulation. */
export async function surrounded<T>(work: () => Promise<T>): Promise<T> {
  const restore = installHost('light');
  const onRejection = (reason: unknown): void => {
    ProcessRun.current?.violate('unhandled-rejection', String(reason));
  };
  process.on('unhandledRejection', onRejection);
  try {
    return await work();
  } finally {
    process.off('unhandledRejection', onRejection);
    restore();
  }
}

async function run(survey: Survey): Promise<Exploration> {
  while (!(await inTurn(() => survey.runSlice())));
  return survey.result;
}

/** What was learned for other bounds holds for these too. */
const tested = new Map<number, Parts>();

/** The tests answer what servers have answered on as many ways at random, with everything that may go wrong. */
const WAYS = 400;
const EVERYTHING: Bounds = { crashes: 2, losses: 2, recoverers: 2 };

export async function testedParts(tests: number): Promise<Parts> {
  let parts = tested.get(tests);
  if (parts === undefined) {
    const untested = await inTurn(() => new Parts());
    for (let seed = 1; seed <= WAYS; seed += 1) {
      await inTurn(() => {
        goAnyWay(untested, seed);
      });
    }
    replies.freeze();
    parts = await inTurn(() => new Parts(tests));
    tested.set(tests, parts);
  }
  return parts;
}

function goAnyWay(parts: Parts, seed: number): void {
  const random = new Random(seed);
  const world = new PartWorld(parts, EVERYTHING);
  for (let choices = world.choices(); choices.length > 0; choices = world.choices()) {
    world.apply(random.chance(0.4) ? (choices[0] as Choice) : random.pick(choices));
  }
}

interface Frame {
  readonly state: PartState;
  readonly choices: readonly Choice[];
  at: number;
}

const FOUND_MAX = 10;
const PROGRESS_MS = 30_000;
const SLICE = 2_000;
/** Budgets are below this, so that a pair of them is one bit. */
const BUDGET_MAX = 5;

/** Two of them are added without rounding. */
const SUMMAND_MAX = 2 ** 52;

class Survey {
  readonly #parts: Parts;
  readonly #limits: Limits;
  readonly #world: PartWorld;
  readonly #stack: Frame[] = [];
  readonly #visited = new Visited();
  readonly #ends = new Set<number>();
  readonly #outcomes = new Map<string, number>();
  readonly #faults = new Map<string, number>();
  readonly #found: Found[] = [];
  readonly #startedAt = performance.now();
  readonly #cpuAtStart = process.cpuUsage();
  #saidAt = performance.now();
  #merged = 0;
  #steps = 0;
  #deepest = 0;
  #isComplete = false;

  constructor(bounds: Bounds, limits: Limits, parts: Parts) {
    this.#parts = parts;
    this.#limits = limits;
    this.#world = new PartWorld(parts, bounds, limits.readsAreSteps);
    this.#enter();
  }

  /** True when nothing is left to do. */
  runSlice(): boolean {
    for (let count = 0; count < SLICE; count += 1) {
      const frame = this.#stack.at(-1);
      if (frame === undefined) {
        this.#isComplete = true;
        assertAllUnderstood();
        return true;
      }
      this.#stepFrom(frame);
    }
    assertAllUnderstood();
    this.#tellProgress();
    return this.#isOver();
  }

  #stepFrom(frame: Frame): void {
    const choice = frame.choices[frame.at];
    frame.at += 1;
    if (choice === undefined) {
      this.#stack.pop();
      return;
    }
    this.#world.restore(frame.state);
    this.#world.apply(choice);
    this.#steps += 1;
    const { struck } = this.#world.fates;
    if (struck !== undefined) count(this.#faults, struck);
    this.#enter();
  }

  #enter(): void {
    const world = this.#world;
    this.#deepest = Math.max(this.#deepest, this.#stack.length);
    if (world.broken.length > 0) {
      this.#end();
      return;
    }
    let choices = world.choices();
    if (world.tidy()) choices = world.choices();
    if (!world.fates.isDeciding) {
      const numbers = numbersOf(world);
      if (this.#isKnown(numbers)) {
        this.#merged += 1;
        return;
      }
      if (choices.length === 0) {
        this.#ends.add(endOf(world));
        this.#end();
        return;
      }
    }
    this.#stack.push({ state: world.save(), choices, at: 0 });
  }

  #isKnown(numbers: readonly number[]): boolean {
    const { crashesLeft, lossesLeft } = this.#world.fates;
    const place = this.#visited.place(numbers);
    const known = this.#visited.budgetsAt(place);
    if ((known & bitOf(crashesLeft, lossesLeft)) !== 0) return true;
    let budgets = 0;
    for (let crashes = 0; crashes <= crashesLeft; crashes += 1) {
      for (let losses = 0; losses <= lossesLeft; losses += 1) budgets |= bitOf(crashes, losses);
    }
    this.#visited.add(place, budgets);
    return false;
  }

  #end(): void {
    const { broken, outcome } = judgeEnd(this.#world);
    if (broken.length === 0) count(this.#outcomes, outcome);
    const path = this.#stack.map(({ at }) => at - 1);
    for (const { kind, message } of broken) {
      if (this.#found.length < FOUND_MAX) this.#found.push({ kind, message, path });
    }
  }

  get result(): Exploration {
    const { user, system } = process.cpuUsage(this.#cpuAtStart);
    return {
      isComplete: this.#isComplete,
      states: this.#visited.size,
      merged: this.#merged,
      steps: this.#steps,
      deepest: this.#deepest,
      learned: this.#parts.learned,
      ends: this.#ends.size,
      // In whole numbers: a sum that is rounded depends on the order.
      endsHash: [...this.#ends].reduce((sum, end) => (sum + (end % SUMMAND_MAX)) % SUMMAND_MAX, 0),
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

  #tellProgress(): void {
    const { onProgress } = this.#limits;
    const now = performance.now();
    if (onProgress === undefined || now - this.#saidAt < PROGRESS_MS) return;
    this.#saidAt = now;
    const path = this.#stack.slice(0, 30).map(({ at, choices }) => `${at}/${choices.length}`);
    onProgress(
      `${((now - this.#startedAt) / 1_000).toFixed(0)} s: ${this.#visited.size} states, ` +
        `${this.#steps} steps, ${this.#parts.learned}, at ${path.join(' ')}`,
    );
  }
}

/** How an end shows on the servers, and to the caller. */
function endOf({ servers, answer }: PartWorld): number {
  const digest = new Digest();
  for (const { key } of servers) digest.add(key);
  return digest.add(answer ?? '').value;
}

function bitOf(crashes: number, losses: number): number {
  return 1 << (crashes * BUDGET_MAX + losses);
}

function count(counts: Map<string, number>, what: string): void {
  counts.set(what, (counts.get(what) ?? 0) + 1);
}
