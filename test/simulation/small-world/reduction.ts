/**
 * Steps of two processes that touch nothing in common are tried in one order (dynamic partial order reduction: Flanagan
 * and Godefroid, POPL 2005): in a state one process moves first, and another one too only where a later step of it turns
 * out to touch what the first one did. Where a run comes to a known state, what was touched behind that state counts
 * (Yang et al., "Efficient Stateful Dynamic Partial Order Reduction", SPIN 2008). No run has a cycle: every step is
 * kept in somebody's history. So every end of every run is found, and what is broken on the way is seen at its end.
 */
import { conflictsOf, NO_ACCESS, type Access } from './access.ts';
import type { Choice } from './choice.ts';

/** Per process, what it touches. */
export type Touched = number[];

export interface Node {
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

/** The last step of another process that this one could have come before. */
export function lookBack(stack: readonly Node[], { actor, access }: Node, depth: number): void {
  for (const at of racesWith(stack, actor, access, depth)) {
    tryAlso(stack, at, actor);
    return;
  }
}

/** Behind the state that was come to now, this is known to be touched: any of it could have come before what was done. */
export function lookBackFrom(stack: readonly Node[], behind: Touched, depth: number): void {
  for (const [actor, access] of behind.entries()) {
    for (const at of racesWith(stack, actor, access, depth)) tryAlso(stack, at, actor);
  }
}

/** Steps of others, the last one first, that a step of this process behind them could have come before. */
function* racesWith(
  stack: readonly Node[],
  actor: number,
  access: Access | undefined,
  depth: number,
): Generator<number> {
  if (access === undefined || access === NO_ACCESS) return;
  const conflicts = conflictsOf(access);
  const seen = lastClockOf(stack, actor, depth);
  for (let at = depth - 1; at >= 0; at -= 1) {
    const before = stack[at];
    if (before === undefined || before.actor === actor) continue;
    if ((before.access & conflicts) === 0 || (seen[before.actor] ?? -1) >= at) continue;
    yield at;
  }
}

function lastClockOf(stack: readonly Node[], actor: number, depth: number): readonly number[] {
  for (let at = depth - 1; at >= 0; at -= 1) {
    const before = stack[at];
    if (before?.actor === actor) return before.clock;
  }
  return [];
}

export function clockOf(stack: readonly Node[], { actor, access }: Node, depth: number): number[] {
  const clock: number[] = [];
  const conflicts = conflictsOf(access);
  for (let at = depth - 1; at >= 0; at -= 1) {
    const before = stack[at];
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
function tryAlso(stack: readonly Node[], depth: number, actor: number): void {
  for (let at = depth; at >= 0; at -= 1) {
    const node = stack[at];
    if (node === undefined || node.key === undefined) continue;
    const all = [...node.choices.keys()];
    const own = all.filter((index) => node.actors[index] === actor);
    for (const index of own.length > 0 ? own : all) {
      if (!node.agenda.includes(index)) node.agenda.push(index);
    }
    return;
  }
}

export function touch(touched: Touched, process: number, access: Access | undefined): void {
  if (process < 0) return;
  touched[process] = (touched[process] ?? NO_ACCESS) | (access ?? NO_ACCESS);
}
