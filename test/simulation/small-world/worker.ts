/** A process that explores one bound after the other, told by its parent. */
import type { Bounds } from './choice.ts';
import type { Exploration } from './exploration.ts';
import { compare, type Comparison } from './parts/compare.ts';
import { explore } from './parts/survey.ts';
import { retell } from './retell.ts';

export interface Order {
  readonly bounds: Bounds;
  readonly ms?: number | undefined;
  readonly stopAtFirst?: boolean;
  readonly tests?: number;
  readonly readsAreSteps?: boolean;
  readonly saysProgress?: boolean;
  /** Instead of an exploration: so many ways at random are compared with whole processes. */
  readonly ways?: number;
  readonly firstSeed?: number;
}

export interface Account extends Exploration {
  /** The steps to the first violation, in words, as whole processes have gone them. */
  readonly story: readonly string[];
}

export type Report =
  | { readonly of: 'exploration'; readonly account: Account }
  | { readonly of: 'comparison'; readonly comparison: Comparison };

async function obey(order: Order): Promise<Report> {
  const { bounds, saysProgress = false, ways = 0, firstSeed = 1, ...limits } = order;
  const { tests = 0, readsAreSteps = false } = limits;
  if (ways > 0) {
    const asked = { count: ways, firstSeed, tests, readsAreSteps };
    return { of: 'comparison', comparison: await compare(bounds, asked) };
  }
  const say = (line: string): void => {
    console.error(`${bounds.crashes}/${bounds.losses}/${bounds.recoverers} ${line}`);
  };
  const exploration = await explore(bounds, {
    ...limits,
    onProgress: saysProgress ? say : undefined,
  });
  const [first] = exploration.found;
  const story = first === undefined ? [] : await retell(bounds, first, readsAreSteps);
  return { of: 'exploration', account: { ...exploration, story } };
}

process.on('message', (order: Order) => {
  obey(order).then(
    (report) => process.send?.(report),
    (error: unknown) => {
      console.error(error);
      process.exit(2);
    },
  );
});
