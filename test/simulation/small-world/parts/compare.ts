/**
 * Goes the same ways at random between the parts and among whole processes and servers: everywhere the same choices, and the
 * same end.
 */
import { Random } from '../../random.ts';
import type { Bounds } from '../choice.ts';
import { inTurn } from '../../in-turn.ts';
import { SmallWorld } from '../small-world.ts';
import { Parts } from './parts.ts';
import { judgeEnd } from './part-oracle.ts';
import { describe } from './part-words.ts';
import { PartWorld } from './part-world.ts';
import { surrounded, testedParts } from './survey.ts';

export interface Comparison {
  readonly steps: number;
  /** Ways that were not the same, with the steps to where they part. */
  readonly differences: readonly string[];
}

export interface Ways {
  readonly count: number;
  readonly firstSeed: number;
  readonly tests: number;
  readonly readsAreSteps: boolean;
}

export async function compare(bounds: Bounds, ways: Ways): Promise<Comparison> {
  return surrounded(async () => {
    const { tests, firstSeed, count, readsAreSteps } = ways;
    const parts = tests === 0 ? await inTurn(() => new Parts()) : await testedParts(tests);
    const differences: string[] = [];
    let steps = 0;
    for (let seed = firstSeed; seed < firstSeed + count; seed += 1) {
      const way = await inTurn(() => goOneWay(parts, bounds, readsAreSteps, seed));
      steps += way.steps;
      if (way.difference !== undefined) differences.push(`way ${seed}: ${way.difference}`);
    }
    return { steps, differences };
  });
}

function goOneWay(
  parts: Parts,
  bounds: Bounds,
  readsAreSteps: boolean,
  seed: number,
): { readonly steps: number; readonly difference: string | undefined } {
  const random = new Random(seed);
  const whole = new SmallWorld(bounds, readsAreSteps);
  const world = new PartWorld(parts, bounds, readsAreSteps);
  const told: string[] = [];
  for (let steps = 0; ; steps += 1) {
    const choices = whole.choices();
    const same = world.choices();
    const names = choices.map((one) => `${one.do} ${whole.describe(one).replaceAll(/\d/g, '')}`);
    const others = same.map((one) => `${one.do} ${describe(world, one)}`);
    if (names.toSorted().join() !== others.toSorted().join()) {
      const way = told.filter((line) => line !== '').join('; ');
      return { steps, difference: `${names.join()} HERE ${others.join()} BEHIND ${way}` };
    }
    const at = random.chance(0.4) ? 0 : random.int(choices.length);
    const choice = choices[at];
    // Of two that look the same, the same one.
    const rank = names.slice(0, at).filter((name) => name === names[at]).length;
    const other = same.filter((_, index) => others[index] === names[at])[rank];
    if (choice === undefined || other === undefined || world.broken.length > 0) {
      return { steps, difference: differenceAtEnd(whole, world) };
    }
    told.push(whole.describe(choice));
    whole.apply(choice);
    world.apply(other);
    world.choices();
    world.tidy();
  }
}

function differenceAtEnd(whole: SmallWorld, world: PartWorld): string | undefined {
  whole.end();
  const { broken, outcome } = judgeEnd(world);
  const [kinds, others] = [whole.oracle.violations, broken].map((all) =>
    all.map(({ kind }) => kind).join(),
  );
  const isSame = kinds === others && (kinds !== '' || whole.outcome === outcome);
  return isSame ? undefined : `${whole.outcome} ${kinds ?? ''} HERE ${outcome} ${others ?? ''}`;
}
