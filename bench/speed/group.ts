/** Cases that differ in concurrency alone are measured in the same processes. */
import type { ContenderName } from './contenders/contenders.ts';
import type { Case } from './measure.ts';

type OneOrMore<T> = readonly [T, ...T[]];

export interface Group {
  readonly cases: OneOrMore<Case>;
  /** Of all its cases, each once. */
  readonly contenders: readonly ContenderName[];
  /** What the pools have room for, and what the warm-up runs at. */
  readonly concurrencyMax: number;
}

/** In the order of the first case of each. */
export function groupsOf(cases: readonly Case[]): Group[] {
  const alike = new Map<string, [Case, ...Case[]]>();
  for (const one of cases) {
    const { workload, participants, latencyMs, logLatencyMs } = one;
    const key = [workload, participants, latencyMs, logLatencyMs].join(' ');
    const found = alike.get(key);
    if (found === undefined) alike.set(key, [one]);
    else found.push(one);
  }
  return [...alike.values()].map(groupOf);
}

export function groupOf(cases: OneOrMore<Case>): Group {
  return {
    cases,
    contenders: [...new Set(cases.flatMap(({ contenders }) => contenders))],
    concurrencyMax: concurrencyMaxOf(cases),
  };
}

/**
 * The compiler warms up by transactions and not by seconds: one at a time takes half a minute for what 32 do in a
 * few seconds.
 */
const WARM_UP_CONCURRENCY_MIN = 32;

export function concurrencyMaxOf(cases: readonly Pick<Case, 'concurrency'>[]): number {
  return Math.max(WARM_UP_CONCURRENCY_MIN, ...cases.map(({ concurrency }) => concurrency));
}
