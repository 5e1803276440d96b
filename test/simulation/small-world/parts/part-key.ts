/** When two states between the parts are the same: as in `state-key.ts`, but of numbers. */
import { isAtWork } from './part-steps.ts';
import type { PartWorld } from './part-world.ts';

const ANSWERS = [undefined, 'committed', 'rolled-back', 'unknown', 'heuristic'];

/** All that the future depends on. */
export function numbersOf(world: PartWorld): number[] {
  const [coordinator = [], ...recoverers] = world.members.map((_, at) =>
    numbersOfMember(world, at),
  );
  recoverers.sort(compare);
  const servers = world.servers.map(({ id }) => id);
  return [...servers, ANSWERS.indexOf(world.answer), ...coordinator, ...recoverers.flat()];
}

function numbersOfMember(world: PartWorld, member: number): number[] {
  const isWorking = isAtWork(world, member);
  const numbers: number[] = [];
  for (const link of world.links) {
    if (link.owner !== member) continue;
    if (!link.isEmpty || (isWorking ? !link.isDeaf : world.isBusy(link))) {
      link.isShared = true;
      numbers.push(link.number);
    }
  }
  numbers.sort((a, b) => a - b);
  numbers.push(0, isWorking ? (world.node(member)?.id ?? 0) : 0);
  return numbers;
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (let at = 0; at < Math.min(a.length, b.length); at += 1) {
    const difference = (a[at] ?? 0) - (b[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}
