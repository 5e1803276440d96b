/** Every fault point of the coordinator × kinds of transactions × positions, and how each must end. */
import type { FaultPoint } from '../../src/coordinator/protocol-context.ts';

export interface Scenario {
  readonly name: string;
  /** The first participants write, the others read. */
  readonly writers: number;
  /** Serializable readers vote too. */
  readonly serializable?: true;
  /** The last writer votes no: a deferred constraint. */
  readonly dissent?: true;
  readonly key?: true;
}

export const PARTICIPANTS = ['orders', 'billing', 'stock'] as const;

export const SCENARIOS: readonly Scenario[] = [
  { name: 'two writers, one reader', writers: 2 },
  { name: 'three writers', writers: 3 },
  { name: 'two writers, one serializable reader', writers: 2, serializable: true },
  { name: 'two writers, one votes no', writers: 2, dissent: true },
  { name: 'three writers, one votes no', writers: 3, dissent: true },
  { name: 'one writer with an idempotency key', writers: 1, key: true },
  { name: 'one writer', writers: 1 },
];

/** How often the point is met, and what the markers must show when the process dies, or freezes, there. */
interface Met {
  readonly hits: number;
  readonly outcome: 'all' | 'none';
}

const twoPhase = (one: Scenario): boolean => one.writers > 1 || one.key === true;
const votes = (one: Scenario): number => (one.serializable === true ? 3 : one.writers);
const prepared = (one: Scenario): number => one.writers - (one.dissent === true ? 1 : 0);

const before = (hits: (one: Scenario) => number) => (one: Scenario) =>
  twoPhase(one) ? ({ hits: hits(one), outcome: 'none' } as const) : undefined;
const decided = (hits: (one: Scenario) => number) => (one: Scenario) =>
  twoPhase(one) && one.dissent !== true
    ? ({ hits: hits(one), outcome: 'all' } as const)
    : undefined;
const once = (): number => 1;

/** A record of all points: one that is added to the protocol does not compile without a line here. */
const POINTS: Record<FaultPoint, (one: Scenario) => Met | undefined> = {
  'before-vote': before(once),
  'after-branch-vote': before(votes),
  'after-votes': before(once),
  'before-decide': (one) => (one.dissent === true ? undefined : before(once)(one)),
  'after-decide': decided(once),
  'before-finish-branch': (one) => decided(prepared)(one) ?? before(prepared)(one),
  'after-finish-branch': (one) => decided(prepared)(one) ?? before(prepared)(one),
  'after-finish': decided(once),
  'before-rollback-prepared': (one) => (one.dissent === true ? before(once)(one) : undefined),
  'before-one-phase-commit': (one) => (twoPhase(one) ? undefined : { hits: 1, outcome: 'none' }),
  'after-one-phase-commit': (one) => (twoPhase(one) ? undefined : { hits: 1, outcome: 'all' }),
};

export interface MatrixCase {
  readonly name: string;
  readonly scenario: Scenario;
  readonly point: FaultPoint;
  readonly hit: number;
  readonly outcome: 'all' | 'none';
}

export function casesOf(scenario: Scenario): MatrixCase[] {
  return (Object.keys(POINTS) as FaultPoint[]).flatMap((point) => {
    const met = POINTS[point](scenario);
    if (met === undefined) return [];
    return Array.from({ length: met.hits }, (_, index) => ({
      name: `${point} (hit ${index + 1})`,
      scenario,
      point,
      hit: index + 1,
      outcome: met.outcome,
    }));
  });
}
