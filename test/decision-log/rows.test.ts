/** Which requests share a statement, what is sent for them, and what a row and an error mean: without a server. */
import { describe, expect, it } from 'vitest';

import type { CommitRequest } from '../../src/decision-log/decision-log.ts';
import {
  answerAll,
  decideCommand,
  isWithoutPartition,
  sqlstateOf,
  standingOf,
  statementGroups,
  unanswered,
} from '../../src/decision-log/rows.ts';

function request(transactionId: string, more: Partial<CommitRequest> = {}): CommitRequest {
  return {
    transactionId,
    epoch: 'one',
    label: undefined,
    idempotencyKey: undefined,
    branches: [],
    ...more,
  };
}
const idsOf = (groups: readonly (readonly CommitRequest[])[]): string[][] =>
  groups.map((group) => group.map(({ transactionId }) => transactionId));

describe('requests of one batch', () => {
  it('of one epoch, with different keys or none: one statement', () => {
    const batch = [
      request('a'),
      request('b', { idempotencyKey: 'k' }),
      request('c'),
      request('d', { idempotencyKey: 'l' }),
    ];
    expect(idsOf(statementGroups(batch))).toEqual([['a', 'b', 'c', 'd']]);
  });

  it('of two epochs: a statement each, since each locks and checks its own epoch', () => {
    const batch = [request('a'), request('b', { epoch: 'two' }), request('c')];
    expect(idsOf(statementGroups(batch))).toEqual([['a', 'c'], ['b']]);
  });

  it('with one key: a statement each; the later ones find the key taken', () => {
    const keyed = (id: string) => request(id, { idempotencyKey: 'k' });
    const batch = [keyed('a'), keyed('b'), request('c'), keyed('d')];
    expect(idsOf(statementGroups(batch))).toEqual([['a', 'c'], ['b'], ['d']]);
  });

  it('none: no statement', () => {
    expect(statementGroups([])).toEqual([]);
  });
});

it('the values of a decision: epoch, ids, labels, evidence and keys, in one order', () => {
  const evidence = {
    participant: 'orders',
    branch: 2,
    xid: '700',
    incarnation: '1 ',
    server: { systemIdentifier: '7', timeline: '00000001', databaseOid: '5' },
    backend: { pid: 1, startedAt: '1' },
  };
  const group = [
    request('a', { label: 'order 456', branches: [evidence] }),
    request('b', { idempotencyKey: 'k' }),
  ];
  const [epoch, ids, labels, branches, keys] = decideCommand(group).values ?? [];
  expect([epoch, ids, labels, keys]).toEqual(['one', ['a', 'b'], ['order 456', null], [null, 'k']]);
  const recorded = { participant: 'orders', branch: 2, xid: '700', system: '7' };
  expect((branches as string[]).map((text) => JSON.parse(text) as unknown)).toEqual([
    [{ ...recorded, timeline: '00000001' }],
    [],
  ]);
  // Without a key in the group the statement that knows none.
  expect(decideCommand(group).name).toBe('pgxa_decide');
  const unkeyed = decideCommand(group.slice(0, 1));
  expect(unkeyed.name).toBe('pgxa_decide_unkeyed');
  expect(unkeyed.values).toHaveLength(4);
});

it('a row is read back as it was written', () => {
  const decidedAt = new Date();
  const row = {
    transaction_id: 'a',
    outcome: 'commit',
    decided_by: 'operator',
    decided_at: decidedAt,
    label: null,
    branches: [{ participant: 'orders', branch: 1, xid: '700', system: '7', timeline: '00000001' }],
  } as const;
  expect(standingOf(row)).toEqual({
    decision: 'commit',
    decidedBy: 'operator',
    decidedAt,
    label: undefined,
    branches: [
      {
        participant: 'orders',
        branch: 1,
        xid: '700',
        systemIdentifier: '7',
        timeline: '00000001',
      },
    ],
  });
  expect(standingOf({ ...row, label: 'order 456' }).label).toBe('order 456');
});

it('a missing day is 23514 without a constraint; a broken check names one', () => {
  expect(isWithoutPartition({ code: '23514' })).toBe(true);
  expect(isWithoutPartition({ code: '23514', constraint: 'decision_label_check' })).toBe(false);
  expect(isWithoutPartition({ code: '23505' })).toBe(false);
  expect(sqlstateOf({ code: 5 })).toBeUndefined();
  expect(sqlstateOf({ code: '57014' })).toBe('57014');
});

it('who got no answer does not know the fate of its decision', () => {
  expect(unanswered()).toMatchObject({ kind: 'unknown' });
  const group = [request('a'), request('b')];
  expect([...answerAll(group, { kind: 'fenced' })]).toEqual(
    group.map((one) => [one, { kind: 'fenced' }]),
  );
});
