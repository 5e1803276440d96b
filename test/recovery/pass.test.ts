/**
 * pg_prepared_xacts reads a name first and an xid later, from a slot that may be another branch's by then: no server can be
 * made to do so when a test wants it.
 */
import { expect, it } from 'vitest';

import type { DecisionLog, StandingDecision } from '../../src/decision-log/decision-log.ts';
import { parseGid } from '../../src/participant/gid.ts';
import type { FinishRequest, Participant } from '../../src/participant/participant.ts';
import { Pass } from '../../src/recovery/pass.ts';
import { systemRuntime } from '../../src/runtime.ts';

const SERVER = { systemIdentifier: '7', timeline: '00000001', databaseOid: '5' };
const GID = `pgxa_c0ffee123456_${'0'.repeat(16)}_${'1'.repeat(32)}_2`;

async function evidenceOfFinish(branches: StandingDecision['branches']): Promise<unknown> {
  const gid = parseGid(GID);
  if (gid === undefined) throw new Error('it is a gid');
  const stands: StandingDecision = {
    decision: 'commit',
    decidedBy: 'coordinator',
    decidedAt: new Date(),
    label: undefined,
    branches,
  };
  const requests: FinishRequest[] = [];
  const participant = {
    name: 'orders',
    finish: (request: FinishRequest) => {
      requests.push(request);
      return Promise.resolve({ kind: 'done' });
    },
  } as unknown as Participant;
  const pass = new Pass(
    {
      log: {
        decisionsOf: () => Promise.resolve(new Map([[gid.transactionId, stands]])),
      } as unknown as DecisionLog,
      local: { isOwnEpoch: () => false, isAtWorkOn: () => false },
      heartbeatLimitMs: 1_000,
      runtime: systemRuntime,
      publish: () => undefined,
      name: 'test',
      signal: undefined,
      onCommitted: () => undefined,
    },
    participant,
    SERVER,
  );
  const prepared = { gid: GID, xid: '999', ageMs: 0, owner: 'app', ownedByOther: false };
  await pass.run([{ prepared, gid }]);
  return requests.map(({ evidence }) => evidence);
}

it('the xid of the vote is the evidence, whatever the list shows', async () => {
  const voted = { participant: 'orders', branch: 2, xid: '700', timeline: '00000001' };
  expect(await evidenceOfFinish([{ ...voted, systemIdentifier: '7' }])).toEqual([
    { xid: '700', server: SERVER },
  ]);
});

it('an xid of another server, or of another branch, is none', async () => {
  const voted = { participant: 'orders', xid: '700', timeline: '00000001' };
  const elsewhere = { ...voted, branch: 2, systemIdentifier: '8' };
  const other = { ...voted, branch: 1, systemIdentifier: '7' };
  expect(await evidenceOfFinish([elsewhere, other])).toEqual([{ xid: undefined, server: SERVER }]);
});
