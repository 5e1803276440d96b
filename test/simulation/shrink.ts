import type { Omission, Plan } from './plan.ts';

/**
 * Leaves out what the violation does not need: one fault, then one transaction at a time, as long as anything can
 * be left out. `fails` runs the plan without the omitted parts, and tells whether the same kind of violation is found.
 */
export async function shrink(
  plan: Plan,
  fails: (omission: Omission) => Promise<boolean>,
): Promise<Omission> {
  let omission: Omission = { transactions: [], faults: [] };
  for (let progress = true; progress;) {
    progress = false;
    for (const part of ['faults', 'transactions'] as const) {
      for (let index = plan[part].length - 1; index >= 0; index -= 1) {
        if (omission[part].includes(index)) continue;
        const smaller = { ...omission, [part]: [...omission[part], index].sort((a, b) => a - b) };
        if (!(await fails(smaller))) continue;
        omission = smaller;
        progress = true;
      }
    }
  }
  return omission;
}
