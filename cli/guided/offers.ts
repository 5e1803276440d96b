/** What the guide offers for one transaction. Pure: it asks the same judges as the verbs do. */
import type { Assessment, Decision, Found, PlannedStep, Triage } from '../../src/index.ts';
import type { Choice } from './prompts.ts';

export type Offer = 'resolve' | 'show' | 'leave' | 'force commit' | 'force rollback' | 'forget';

type Judges = Pick<Triage, 'planOf' | 'isActive' | 'assess'>;

/** The safe one first, what decides by hand last; nothing that needs `--override`. */
export function offersFor(found: Found, judges: Judges): Choice<Offer>[] {
  const { transaction, survey } = found;
  const more: Choice<Offer>[] = [
    { value: 'show', label: 'Show everything about it', hint: 'branches, locks, who waits' },
    { value: 'leave', label: 'Leave it, back to the list' },
  ];
  if (transaction === undefined || survey.log.status !== 'reachable') return more;
  const plan = judges.planOf([transaction]);
  const isPrepared = plan.length > 0;
  const open = transaction.heuristics.filter(({ acknowledged }) => acknowledged === undefined);
  const resolve: Choice<Offer>[] = plan.some(judges.isActive)
    ? [{ value: 'resolve', label: 'Resolve it', hint: meaningOf(plan) }]
    : [];
  const forget: Choice<Offer>[] =
    open.length > 0 && !isPrepared
      ? [
          {
            value: 'forget',
            label: 'Acknowledge it',
            hint: 'the rows have been compared and mended',
          },
        ]
      : [];
  return [...resolve, ...forget, ...more, ...forces(found, judges)];
}

function forces(found: Found, { assess }: Judges): Choice<Offer>[] {
  const isSafe = (decision: Decision): boolean => hasNoObjection(assess(found, decision));
  return [
    ...(isSafe('commit')
      ? [{ value: 'force commit', label: 'Decide by hand: commit', hint: HEURISTIC } as const]
      : []),
    ...(isSafe('abort')
      ? [{ value: 'force rollback', label: 'Decide by hand: roll back', hint: HEURISTIC } as const]
      : []),
  ];
}

const HEURISTIC = 'asks for a reason and for the id';

function hasNoObjection({ way, objections }: Assessment): boolean {
  return way === 'decide' && objections.length === 0;
}

/** In the words of the row that recovery would meet. */
function meaningOf(plan: readonly PlannedStep[]): string {
  return plan.some(({ action }) => action === 'commit')
    ? 'commit it, as decided'
    : plan.some(({ action }) => action === 'roll-back')
      ? 'roll it back, as decided'
      : 'win the abort in the log, then roll it back';
}
