/**
 * What a server does, learned from the simulated one: in each of its states, what a request changes and what it answers.
 *
 * The sessions of the coordinator are part of its state. Those of recoverers are not: between two requests they hold no
 * transaction and no lock (checked each time), so that each request is carried out by a new one with the same settings.
 */
import { Living } from './living.ts';
import { ServerRun } from './server-run.ts';

export type ServerInput =
  | { readonly do: 'connect' | 'fin'; readonly slot: number }
  | { readonly do: 'anew'; readonly slot: number; readonly settings: number }
  | {
      readonly do: 'request';
      /** Undefined for one of a recoverer. */
      readonly slot: number | undefined;
      readonly request: number;
      readonly settings: number;
    }
  | { readonly do: 'crash' }
  | { readonly do: 'jump'; readonly ms: number }
  | { readonly do: 'plant'; readonly epoch: string };

export type ServerEffect =
  /** Slot undefined: the recoverer whose request it is. */
  | { readonly do: 'answer'; readonly slot: number | undefined; readonly reply: number }
  | { readonly do: 'shut'; readonly slot: number | undefined }
  | { readonly do: 'settings'; readonly settings: number }
  | { readonly do: 'finish'; readonly gid: string; readonly decision: 'commit' | 'abort' }
  | { readonly do: 'decide'; readonly outcome: 'commit' | 'abort'; readonly branches: string }
  | { readonly do: 'register'; readonly epoch: string }
  | { readonly do: 'violate'; readonly kind: string; readonly message: string };

export interface ServerNode {
  readonly id: number;
  readonly key: string;
  readonly path: readonly ServerInput[];
  readonly steps: Map<string, ServerStep>;
  /** Of the coordinator, by slot: whether it is in a transaction. */
  readonly sessions: ReadonlyMap<number, boolean>;
  readonly clockMs: number;
  readonly facts: ServerFacts;
  live: ServerRun | undefined;
}

/** What the oracle asks for. */
export interface ServerFacts {
  /** What stands durably for the transaction: of the log. */
  readonly decision: string | undefined;
  readonly isPrepared: boolean;
  readonly isCommitted: boolean;
}

export interface ServerStep {
  readonly to: ServerNode;
  readonly effects: readonly ServerEffect[];
}

export class ServerPart {
  readonly name: string;
  readonly nodes: ServerNode[] = [];
  runs = 0;
  readonly #known = new Map<string, ServerNode>();
  readonly #living = new Living<ServerRun, ServerNode>();

  constructor(name: string) {
    this.name = name;
  }

  birth(): ServerNode {
    return this.#node([], new ServerRun(this.name));
  }

  step(from: ServerNode, input: ServerInput): ServerStep {
    const name = nameOf(input);
    const known = from.steps.get(name);
    if (known !== undefined) return known;
    this.runs += 1;
    const run = from.live ?? this.#relive(from.path);
    from.live = undefined;
    run.feed(input);
    const step = { effects: run.takeEffects(), to: this.#node([...from.path, input], run) };
    from.steps.set(name, step);
    return step;
  }

  #relive(path: readonly ServerInput[]): ServerRun {
    const run = new ServerRun(this.name);
    for (const input of path) run.feed(input);
    run.takeEffects();
    return run;
  }

  #node(path: readonly ServerInput[], run: ServerRun): ServerNode {
    const { key } = run;
    let node = this.#known.get(key);
    if (node === undefined) {
      const { sessions, clockMs, facts } = run;
      const id = this.nodes.length + 1;
      node = { id, key, path, steps: new Map(), sessions, clockMs, facts, live: undefined };
      this.nodes.push(node);
      this.#known.set(key, node);
    }
    if (node.live === undefined) this.#living.keep(node, run);
    return node;
  }
}

function nameOf(input: ServerInput): string {
  switch (input.do) {
    case 'request':
      return `${input.slot ?? '-'}<${input.request} ${input.settings}`;
    case 'anew':
      return `anew ${input.slot} ${input.settings}`;
    case 'connect':
    case 'fin':
      return `${input.do} ${input.slot}`;
    case 'jump':
      return `jump ${input.ms}`;
    case 'crash':
    case 'plant':
      return input.do;
  }
}
