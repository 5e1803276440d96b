import { installHost } from '../host.ts';
import type { Bounds } from './choice.ts';
import { inTurn } from '../in-turn.ts';
import { SmallWorld } from './small-world.ts';

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
