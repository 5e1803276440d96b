import type { PlannedStep, Resolution } from '../../src/index.ts';
import { table } from './output.ts';

const ACTIONS: Readonly<Record<PlannedStep['action'], string>> = {
  commit: 'commit',
  'roll-back': 'roll back',
  retire: 'retire its epoch, win the abort, roll back',
  'win-abort': 'win the abort, roll back',
  leave: 'leave alone',
  report: 'leave alone, report',
};

export function planText(plan: readonly PlannedStep[]): Promise<string> {
  return table(
    ['TRANSACTION', 'PARTICIPANT', 'ACTION', 'ROW', 'WHY', 'GID'],
    plan.map(({ transactionId, participant, action, row, why, gid }) => [
      transactionId,
      participant,
      ACTIONS[action],
      row ?? '',
      why,
      gid,
    ]),
  );
}

export async function resolutionText(resolution: Resolution): Promise<string> {
  const { committed, rolledBack, left, heuristics, failed } = resolution;
  const leftTable = await table(
    ['LEFT', 'PARTICIPANT', 'ROW', 'WHY'],
    left.map((one) => [
      one.transactionId,
      one.participant,
      one.row,
      one.error === undefined ? one.reason : one.error.message,
    ]),
  );
  const heuristicTable = await table(
    ['HEURISTIC OUTCOME', 'PARTICIPANT', 'KIND', 'EVIDENCE'],
    heuristics.map((one) => [one.transactionId, one.participant, one.kind, one.evidence]),
  );
  const failedTable = await table(
    ['PARTICIPANT', 'NOT WORKED ON BECAUSE'],
    failed.map(({ participant, error }) => [participant, error]),
  );
  const done = `${committed} committed, ${rolledBack} rolled back, ${left.length} left in doubt\n`;
  return [done, leftTable, heuristicTable, failedTable].filter((part) => part !== '').join('\n');
}
