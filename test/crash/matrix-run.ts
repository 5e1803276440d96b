/** Runs the cases of one scenario beside each other, and reads from the participants how each ended. */
import type { Bank } from '../support/bank.ts';
import { ids } from '../support/bank.ts';
import { startChild, type JsonChild } from '../support/json-child.ts';
import { PARTICIPANTS, type MatrixCase, type Scenario } from './matrix-cases.ts';
import type { MatrixEvent, MatrixPlan } from './matrix-child.ts';

export interface MatrixRun {
  readonly one: MatrixCase;
  readonly child: JsonChild<MatrixEvent>;
}

export function startCase(
  bank: Bank,
  one: MatrixCase,
  account: number,
  signal: NodeJS.Signals,
  limits: Pick<MatrixPlan, 'timeoutMs' | 'heartbeatLimitMs'>,
): MatrixRun {
  const plan: MatrixPlan = {
    ...limits,
    logUrl: bank.log.connectionString,
    participants: Object.fromEntries(
      bank.participants.map(({ name, connectionString }) => [name, connectionString]),
    ),
    scenario: one.scenario,
    account,
    fault: { point: one.point, hit: one.hit, signal },
  };
  return { one, child: startChild<MatrixEvent>('crash/matrix-child.ts', plan) };
}

export function idOf({ child }: MatrixRun): string {
  return child.events.find(({ event }) => event === 'begun')?.id ?? '';
}

export function fired({ child }: MatrixRun): boolean {
  return child.events.some(({ event }) => event === 'fault');
}

/** What the participants' own rows say of each transaction: whole, nothing, or torn. */
export async function outcomes(
  bank: Bank,
  scenario: Scenario,
  transactionIds: readonly string[],
): Promise<string[]> {
  const lists = await Promise.all(
    PARTICIPANTS.map(
      async (name) =>
        new Set(ids(await bank.participant(name).query('select transaction_id from marker'))),
    ),
  );
  const writers = lists.slice(0, scenario.writers);
  return transactionIds.map((id) => {
    const here = lists.filter((list) => list.has(id)).length;
    if (here === 0) return 'none';
    return here === writers.length && writers.every((list) => list.has(id)) ? 'all' : 'torn';
  });
}
