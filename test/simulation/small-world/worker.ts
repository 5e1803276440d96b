/** A process that explores one bound, told by its parent. */
import { explore, retell } from './search.ts';
import type { Bounds } from './small-world.ts';

export interface Order {
  readonly bounds: Bounds;
  readonly ms: number | undefined;
  readonly stopAtFirst: boolean;
  readonly saysProgress: boolean;
}

async function obey({ bounds, ms, stopAtFirst, saysProgress }: Order): Promise<void> {
  const exploration = await explore(bounds, {
    stopAtFirst,
    ...(ms === undefined ? {} : { ms }),
    ...(saysProgress && { onProgress: (line: string) => process.stderr.write(`${line}\n`) }),
  });
  const [first] = exploration.found;
  const story = first === undefined ? [] : await retell(bounds, first.path);
  process.send?.({ ...exploration, story });
}

process.on('message', (order: Order) => {
  obey(order).catch((error: unknown) => {
    console.error(error);
    process.exit(2);
  });
});
