/**
 * What a process does, learned from the real code: in each of its states, what it does when a reply comes, when a
 * connection is lost, and when a time limit runs out. Its code is deterministic and meets others only in messages, so
 * each of these is carried out once, and known from then on, whatever others do meanwhile.
 */
import type { Answer } from '../../oracle.ts';
import { resultOf } from './conformance.ts';
import { Living } from './living.ts';
import { ProcessRun } from './process-run.ts';

export type Role = 'coordinator' | 'recoverer';

export type ProcessInput =
  /** From here on what it does and sees is its history. */
  | { readonly do: 'remember' }
  | { readonly do: 'begin' }
  | { readonly do: 'read'; readonly slot: number; readonly replies: readonly number[] }
  | { readonly do: 'time' };

export type ProcessEffect =
  | { readonly do: 'open'; readonly slot: number; readonly host: string }
  | { readonly do: 'send'; readonly slot: number; readonly request: number }
  | { readonly do: 'close'; readonly slot: number }
  | { readonly do: 'tell'; readonly answer: Answer; readonly pending: readonly string[] }
  | { readonly do: 'violate'; readonly kind: string; readonly message: string };

export interface ProcessNode {
  readonly id: number;
  /** Something is due without anybody's doing. */
  readonly isTimed: boolean;
  readonly isThrough: boolean;
  readonly path: readonly ProcessInput[];
  readonly steps: Map<string, ProcessStep>;
  /** A process in this state. */
  live: ProcessRun | undefined;
}

export interface ProcessStep {
  readonly to: ProcessNode;
  readonly effects: readonly ProcessEffect[];
}

export class ProcessPart {
  readonly role: Role;
  readonly nodes: ProcessNode[] = [];
  /** How often real code was run. */
  runs = 0;
  /** By which states are told apart; without them by the order of all that was done and seen. */
  tests = 0;
  readonly #known = new Map<string, ProcessNode>();
  readonly #living = new Living<ProcessRun, ProcessNode>();

  constructor(role: Role) {
    this.role = role;
  }

  birth(): ProcessStep {
    const run = new ProcessRun(this.role, this.tests === 0);
    return { to: this.#node('birth', [], run), effects: run.takeEffects() };
  }

  step(from: ProcessNode, input: ProcessInput): ProcessStep {
    const name = nameOf(input);
    const known = from.steps.get(name);
    if (known !== undefined) return known;
    this.runs += 1;
    const run = from.live ?? this.#relive(from.path);
    from.live = undefined;
    run.feed(input);
    const effects = run.takeEffects();
    const path = [...from.path, input];
    const step = { to: this.#node(this.#keyOf(run, path), path, run), effects };
    from.steps.set(name, step);
    return step;
  }

  #keyOf(run: ProcessRun, path: readonly ProcessInput[]): string {
    if (!run.isRemembering) return `before ${path.map(nameOf).join()}`;
    if (this.tests === 0) return run.key;
    return `${run.face} ${this.#resultsOf(path).join()}`;
  }

  #resultsOf(path: readonly ProcessInput[]): number[] {
    const seeds = Array.from({ length: this.tests }, (_, index) => index + 1);
    return seeds.map((seed) => resultOf(this.#relive(path), seed));
  }

  #relive(path: readonly ProcessInput[]): ProcessRun {
    const run = new ProcessRun(this.role, this.tests === 0);
    for (const input of path) run.feed(input);
    run.takeEffects();
    return run;
  }

  #node(key: string, path: readonly ProcessInput[], run: ProcessRun): ProcessNode {
    let node = this.#known.get(key);
    if (node === undefined) {
      const { isTimed, isThrough } = run;
      const id = this.nodes.length + 1;
      node = { id, isTimed, isThrough, path, steps: new Map(), live: undefined };
      this.nodes.push(node);
      this.#known.set(key, node);
      this.#living.keep(node, run);
    } else if (node.isTimed !== run.isTimed || node.isThrough !== run.isThrough) {
      throw new Error(`two states of a ${this.role} are not the same: ${key}`);
    }
    return node;
  }
}

function nameOf(input: ProcessInput): string {
  return input.do === 'read' ? `${input.slot}<${input.replies.join()}` : input.do;
}
