import { installHost } from '../host.ts';
import { inTurn } from '../in-turn.ts';
import type { Bounds } from './choice.ts';
import type { Found } from './exploration.ts';
import { SmallWorld } from './small-world.ts';

/** The steps of one run, in words, gone by whole processes: at the end they have to break the same promise. */
export async function retell(
  bounds: Bounds,
  found: Found,
  readsAreSteps: boolean,
): Promise<string[]> {
  const restore = installHost('light');
  try {
    return await inTurn(() => tell(bounds, found, readsAreSteps));
  } finally {
    restore();
  }
}

function tell(bounds: Bounds, { path, kind }: Found, readsAreSteps: boolean): string[] {
  const world = new SmallWorld(bounds, readsAreSteps);
  const lines: string[] = [];
  for (const at of path) {
    const choice = world.choices()[at];
    if (choice === undefined) return [...lines, 'NOT CONFIRMED: here whole processes do otherwise'];
    const line = world.describe(choice);
    if (line !== '') lines.push(line);
    world.apply(choice);
  }
  world.end();
  const isConfirmed = world.oracle.violations.some((one) => one.kind === kind);
  return [
    ...lines,
    isConfirmed ? `so: ${kind}` : `NOT CONFIRMED: whole processes end without ${kind}`,
  ];
}
