import type { Update, Work } from './contenders/contender.ts';

export const WORKLOADS = ['one-row', 'ten-statements', 'hot-rows'] as const;
export type Workload = (typeof WORKLOADS)[number];

export const ACCOUNTS = 100_000;
const HOT_ACCOUNTS = 100;
const TEN = 10;

/** How much one transaction changes the sum of balances of each participant: transfers lose nothing. */
export function changeOf(workload: Workload, participant: number, participants: number): number {
  const statements = workload === 'ten-statements' ? TEN : 1;
  // A single participant has no partner: there every transaction pays one in.
  if (participants === 1) return statements;
  return statements * (participant === 0 ? -(participants - 1) : 1);
}

/**
 * The work of one of `concurrency` loops. Spread rows are never shared by two loops, so that contenders differ in
 * what they do and not in how they are lucky; hot rows are shared by all.
 */
export function workOf(
  workload: Workload,
  participants: number,
  loop: number,
  concurrency: number,
): Work {
  const statements = workload === 'ten-statements' ? TEN : 1;
  const account = (): number =>
    workload === 'hot-rows'
      ? 1 + Math.floor(Math.random() * HOT_ACCOUNTS)
      : 1 + loop + concurrency * Math.floor(Math.random() * Math.floor(ACCOUNTS / concurrency));
  const updates = Array.from({ length: participants }, (_, participant) => {
    const change = changeOf(workload, participant, participants) / statements;
    return Array.from({ length: statements }, (): Update => [account(), change]);
  });
  return { updates, inOrder: workload === 'hot-rows' };
}
