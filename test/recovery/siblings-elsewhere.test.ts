/**
 * The id of a sibling is evidence on the server and the timeline that its decision recorded, and nowhere else: after a
 * failover it may be another transaction's, which was rolled back. Expected there: nothing is recorded.
 */
import { expect, it } from 'vitest';

import type { DecisionLog, HeuristicRecord } from '../../src/decision-log/decision-log.ts';
import type { FateHere, Participant } from '../../src/participant/participant.ts';
import { Siblings } from '../../src/recovery/siblings.ts';
import { systemRuntime } from '../../src/runtime.ts';
import type { ServerIdentity } from '../../src/states.ts';

const RECORDED = { systemIdentifier: '7', timeline: '00000001' };
const COMMITTED = {
  installation: 'c0ffee123456',
  epoch: '0'.repeat(16),
  transactionId: '01900000-0000-7000-8000-000000000000',
  branch: 1,
};

async function recordedWhen(server: Partial<ServerIdentity>, fate: FateHere): Promise<string[]> {
  const records: HeuristicRecord[] = [];
  const log = {
    recordHeuristic: (record: HeuristicRecord) => Promise.resolve(records.push(record) > 0),
  } as unknown as DecisionLog;
  const billing = {
    fateHere: () => Promise.resolve({ server: { ...RECORDED, databaseOid: '5', ...server }, fate }),
  } as unknown as Participant;
  const siblings = new Siblings({
    log,
    participants: new Map([['billing', billing]]),
    runtime: systemRuntime,
    publish: () => undefined,
    name: 'test',
  });
  siblings.compare(COMMITTED, {
    decision: 'commit',
    decidedBy: 'coordinator',
    decidedAt: new Date(),
    label: undefined,
    branches: [{ participant: 'billing', branch: 2, xid: '700', ...RECORDED }],
  });
  await siblings.ask();
  expect(siblings.takeFound()).toHaveLength(records.length);
  return records.map(({ kind }) => kind);
}

it('rolled back, on the recorded server and timeline: recorded', async () => {
  expect(await recordedWhen({}, 'aborted')).toEqual(['rollback']);
});

it.each([
  ['another timeline', { timeline: '00000002' }],
  ['another server', { systemIdentifier: '8' }],
])('rolled back, on %s: not recorded', async (_, server) => {
  expect(await recordedWhen(server, 'aborted')).toEqual([]);
});

it.each(['committed', 'in progress', 'never-issued', 'too-old'] as const)(
  '%s: not recorded',
  async (fate) => {
    expect(await recordedWhen({}, fate)).toEqual([]);
  },
);
