/** A process that explores one bound, told by its parent. */
import type { Bounds } from './choice.ts';
import type { Exploration } from './exploration.ts';
import { retell } from './retell.ts';
import { explore } from './search.ts';

export interface Order {
  readonly bounds: Bounds;
  readonly ms?: number | undefined;
  readonly stopAtFirst?: boolean;
  readonly isUnreduced?: boolean;
  readonly isExact?: boolean;
  readonly saysProgress?: boolean;
}

export interface Account extends Exploration {
  /** The steps to the first violation, in words. */
  readonly story: readonly string[];
}

async function obey({ bounds, saysProgress = false, ...limits }: Order): Promise<void> {
  const say = (line: string): void => {
    console.error(`${bounds.crashes}/${bounds.losses}/${bounds.recoverers} ${line}`);
  };
  const exploration = await explore(bounds, {
    ...limits,
    onProgress: saysProgress ? say : undefined,
  });
  const [first] = exploration.found;
  const story = first === undefined ? [] : await retell(bounds, first.path);
  const account: Account = { ...exploration, story };
  process.send?.(account);
}

process.on('message', (order: Order) => {
  obey(order).catch((error: unknown) => {
    console.error(error);
    process.exit(2);
  });
});
