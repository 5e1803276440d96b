/**
 * One transaction at a time, over branches and a log that answer what the test says: which steps the protocol takes, what
 * it tells to whom, and when the sessions are given back. That its steps are safe is shown elsewhere (docs/testing.md).
 */
import { describe, expect, it } from 'vitest';

import type { Decision } from '../../src/states.ts';
import { LOST, play } from './scripted-commit.ts';

const COMMIT_BILLING = 'finish commit e-t-2 billing';
/** As somebody else has seen it prepared: behind a failover, with its own xid. */
const RECORDED = {
  participant: 'billing',
  branch: 2,
  xid: '701',
  systemIdentifier: '7',
  timeline: '00000002',
};

const voted = (participant: string, vote: string) =>
  expect.objectContaining({
    name: 'branch:voted',
    transactionId: 't',
    participant,
    vote,
  }) as object;
const decided = (decision: Decision, decidedBy: string) =>
  expect.objectContaining({
    name: 'transaction:decided',
    transactionId: 't',
    decision,
    decidedBy,
  }) as object;

describe('two writers', () => {
  it('both say yes: voted, decided with the evidence of both, finished; every step is told', async () => {
    const { answer, steps, states, events, points } = await play({});
    expect(answer).toEqual({ mode: 'two-phase', pending: [] });
    expect(steps).toEqual([
      'prepare e-t-1 orders',
      'prepare e-t-2 billing',
      'release',
      'decide order 456 2',
      'release',
      'finish commit e-t-1 orders',
      'finish commit e-t-2 billing',
    ]);
    expect(states).toEqual(['active', 'voting', 'deciding', 'committing', 'committed']);
    expect(events).toEqual(
      expect.arrayContaining([
        voted('orders', 'yes'),
        voted('billing', 'yes'),
        decided('commit', 'coordinator'),
      ]),
    );
    expect(points.filter((point) => !point.includes('branch'))).toEqual([
      'before-vote',
      'after-votes',
      'before-decide',
      'after-decide',
      'after-finish',
    ]);
    expect(points.filter((point) => point === 'after-branch-vote')).toHaveLength(2);
  });

  it('one says no: the other is rolled back behind a durable abort, and the error names who refused', async () => {
    const { answer, steps, states, events, points } = await play({ votes: { billing: 'no' } });
    expect(answer).toMatchObject({ code: 'PGXA_VOTE_NO', participant: 'billing', cause: LOST });
    expect(steps.slice(-2)).toEqual(['settle', 'finish abort e-t-1 orders']);
    expect(states).toEqual(['active', 'voting', 'deciding', 'rolling-back', 'rolled-back']);
    expect(events).toContainEqual(decided('abort', 'coordinator'));
    expect(points).toContain('before-rollback-prepared');
  });

  it('both say no: nothing is prepared, so nothing is written', async () => {
    const { answer, steps } = await play({ votes: { orders: 'no', billing: 'no' } });
    expect(answer).toMatchObject({ code: 'PGXA_VOTE_NO', participant: 'orders' });
    expect(steps).not.toContain('settle');
  });

  it('one vote is lost: its backend is ended before it is rolled back', async () => {
    const { answer, steps } = await play({ votes: { billing: 'unknown' } });
    expect(answer).toMatchObject({ code: 'PGXA_VOTE_UNKNOWN', participant: 'billing' });
    expect(steps).toContain('fence billing');
    expect(steps.indexOf('fence billing')).toBeLessThan(
      steps.indexOf('finish abort e-t-2 billing'),
    );
    expect(steps).not.toContain('fence orders');
  });

  it('the deadline passes behind the votes: its own error; behind the decision it is not heard', async () => {
    expect((await play({ deadlineAt: 'after-votes' })).answer).toMatchObject({
      code: 'PGXA_TIMEOUT',
    });
    expect((await play({ deadlineAt: 'after-decide' })).answer).toMatchObject({
      mode: 'two-phase',
    });
  });

  it('a branch has failed already: all are rolled back, and no vote is asked for', async () => {
    const { answer, steps } = await play({ failed: 'billing' });
    expect(answer).toMatchObject({ code: 'PGXA_BRANCH_FAILED', participant: 'billing' });
    expect(steps).toEqual(['rollback orders', 'rollback billing', 'release']);
  });

  it('one is not finished in time: committed, and it is named as pending', async () => {
    const { answer, steps } = await play({ finish: { kind: 'pending', error: LOST } });
    expect(answer).toEqual({ mode: 'two-phase', pending: ['orders', 'billing'] });
    expect(steps).toContain('background');
  });

  it('one ended against the decision: heuristic, with the state of the decision', async () => {
    const { answer, states } = await play({
      finish: { kind: 'heuristic', heuristic: 'rollback', evidence: 'by hand' },
    });
    expect(answer).toMatchObject({ name: 'HeuristicOutcomeError', kind: 'rollback' });
    expect(states.at(-1)).toBe('committed');
  });
});

describe('the log answers the decision with', () => {
  it.each([
    ['an abort that stands', { kind: 'abort', decidedBy: 'recovery' }, 'PGXA_DECIDED_ABORT'],
    ['an abort of an operator', { kind: 'abort', decidedBy: 'operator' }, 'PGXA_DECIDED_ABORT'],
    ['a retired epoch', { kind: 'fenced' }, 'PGXA_DECIDED_ABORT'],
    ['a taken key', { kind: 'already-done', transactionId: 'x' }, 'PGXA_ALREADY_DONE'],
    ['a refusal', { kind: 'refused', error: LOST }, 'PGXA_LOG_REFUSED'],
    ['silence', { kind: 'unknown', error: LOST }, 'PGXA_DECIDED_ABORT'],
  ] as const)('%s: rolled back, and said so', async (_, decide, code) => {
    const { answer, steps, states } = await play({ decide });
    expect(answer).toMatchObject({ name: 'RolledBackError', code });
    expect(steps.filter((step) => step.startsWith('finish abort'))).toHaveLength(2);
    expect(steps.includes('settle')).toBe(decide.kind !== 'abort');
    expect(states.slice(-2)).toEqual(['rolling-back', 'rolled-back']);
  });

  it('a retired epoch: the cause says so', async () => {
    const { answer } = await play({ decide: { kind: 'fenced' } });
    expect((answer as Error).cause).toMatchObject({
      message: expect.stringMatching(/retired/) as string,
    });
  });

  it('a taken key: the error has the transaction that used it', async () => {
    const { answer } = await play({
      decide: { kind: 'already-done', transactionId: 'x' },
      idempotencyKey: 'k',
    });
    expect(answer).toMatchObject({ existingTransactionId: 'x' });
  });

  it('a refusal, and recovery was first with its abort: its abort is told', async () => {
    const { answer } = await play({
      decide: { kind: 'refused', error: LOST },
      standsBy: 'recovery',
    });
    expect(answer).toMatchObject({ code: 'PGXA_DECIDED_ABORT' });
  });

  it.each(['unknown', 'refused'] as const)('%s, and a commit stands: committed', async (kind) => {
    const { answer, states, events } = await play({
      decide: { kind, error: LOST },
      stands: 'commit',
      standsBy: 'operator',
    });
    expect(answer).toEqual({ mode: 'two-phase', pending: [] });
    expect(states.at(-1)).toBe('committed');
    expect(events).toContainEqual(decided('commit', 'operator'));
  });

  it('silence, and a commit stands that was recorded on a later timeline: finished by what it recorded', async () => {
    const { evidence } = await play({
      decide: { kind: 'unknown', error: LOST },
      stands: 'commit',
      standsBy: 'operator',
      recorded: [RECORDED],
    });
    expect(evidence).toMatchObject([
      { participant: 'orders', server: { timeline: '00000001' } },
      { participant: 'billing', server: { timeline: '00000002' } },
    ]);
  });

  it('silence, and then it is away: unknown, and settled in the background', async () => {
    const { answer, steps, states } = await play({
      decide: { kind: 'unknown', error: LOST },
      stands: 'away',
    });
    expect(answer).toMatchObject({ name: 'OutcomeUnknownError', transactionId: 't', cause: LOST });
    expect(steps).toContain('background');
    expect(steps.join()).not.toContain('finish');
    expect(states.at(-1)).toBe('unknown');
  });
});

describe('a transaction that is abandoned', () => {
  it('while the log is away: unknown, settled in the background, nothing is rolled back', async () => {
    const { answer, steps, states } = await play({ votes: { billing: 'no' }, stands: 'away' });
    expect(answer).toMatchObject({ name: 'OutcomeUnknownError', transactionId: 't' });
    expect(steps).toContain('background');
    expect(steps.join()).not.toContain('finish');
    expect(states.at(-1)).toBe('unknown');
  });

  it('and an operator has decided commit: obeyed; who refused is recorded, and told', async () => {
    const { answer, steps, events } = await play({
      votes: { billing: 'no' },
      stands: 'commit',
      standsBy: 'operator',
    });
    expect(answer).toMatchObject({
      name: 'HeuristicOutcomeError',
      kind: 'mixed',
      transactionId: 't',
    });
    expect(steps.slice(-2)).toEqual(['record rollback billing', 'finish commit e-t-1 orders']);
    expect(events).toContainEqual(decided('commit', 'operator'));
    expect(events).toContainEqual(
      expect.objectContaining({ name: 'heuristic:found', gid: 'e-t-2', participant: 'billing' }),
    );
  });

  it('because a vote was lost, and an operator has decided commit: committed', async () => {
    const { answer, steps } = await play({
      votes: { billing: 'unknown' },
      stands: 'commit',
      standsBy: 'operator',
    });
    expect(answer).toEqual({ mode: 'two-phase', pending: [] });
    expect(steps.join()).not.toContain('record');
    expect(steps.indexOf('fence billing')).toBeLessThan(steps.indexOf(COMMIT_BILLING));
    expect(steps).toContain('fence billing');
  });

  it('the same, and the commit names the branch of the lost vote: finished by that, as after a yes', async () => {
    const { answer, steps, evidence } = await play({
      votes: { orders: 'yes', billing: 'unknown' },
      stands: 'commit',
      standsBy: 'operator',
      recorded: [RECORDED],
    });
    expect(answer).toEqual({ mode: 'two-phase', pending: [] });
    expect(steps.slice(-2)).toEqual(['finish commit e-t-1 orders', COMMIT_BILLING]);
    expect(steps.join()).not.toContain('fence');
    expect(evidence).toMatchObject([
      { participant: 'orders', xid: '700', server: { timeline: '00000001' } },
      { participant: 'billing', xid: '701', server: { timeline: '00000002', databaseOid: '5' } },
    ]);
  });
});

describe('readers', () => {
  it('alone: committed without the log', async () => {
    const { answer, steps } = await play({ writers: [], readers: ['orders', 'billing'] });
    expect(answer).toMatchObject({ mode: 'read-only' });
    expect(steps.join()).not.toMatch(/prepare|decide/);
  });

  it('beside two writers: they outlive the deadline, and follow the decision', async () => {
    const { answer, steps, events } = await play({ readers: ['stock'] });
    expect(answer).toMatchObject({ mode: 'two-phase' });
    expect(steps.indexOf('outlive stock')).toBeLessThan(steps.indexOf('decide order 456 2'));
    expect(steps.indexOf('commit-reader stock')).toBeGreaterThan(
      steps.indexOf('decide order 456 2'),
    );
    // Its session is still held while the votes are asked for.
    expect(steps.indexOf('release')).toBeGreaterThan(steps.indexOf('commit-reader stock'));
    expect(events).toContainEqual(voted('stock', 'read-only'));
  });

  it.each([
    { votes: { billing: 'no' } },
    { decide: { kind: 'abort', decidedBy: 'recovery' } },
  ] as const)('beside writers that are rolled back (%o): rolled back too', async (given) => {
    const { steps } = await play({ ...given, readers: ['stock'] });
    expect(steps).toContain('rollback stock');
    expect(steps).not.toContain('commit-reader stock');
  });

  it('serializable: their COMMIT is a vote', async () => {
    const given = { readers: ['stock'], readersVote: true } as const;
    const { steps } = await play(given);
    expect(steps.indexOf('commit-reader stock')).toBeLessThan(steps.indexOf('decide order 456 2'));
    expect(steps).toContain('decide order 456 2');
    const refused = await play({ ...given, votes: { stock: 'no' } });
    expect(refused.answer).toMatchObject({ code: 'PGXA_VOTE_NO', participant: 'stock' });
  });

  it('serializable, lost, and an operator has decided commit: committed, and nothing is recorded', async () => {
    const { answer, steps } = await play({
      readers: ['stock'],
      readersVote: true,
      votes: { stock: 'no' },
      stands: 'commit',
      standsBy: 'operator',
    });
    expect(answer).toEqual({ mode: 'two-phase', pending: [] });
    expect(steps.join()).not.toContain('record');
  });
});

describe('one writer', () => {
  it('its own COMMIT is the decision; readers follow', async () => {
    const { answer, steps, states, points } = await play({
      writers: ['orders'],
      readers: ['stock'],
    });
    expect(answer).toEqual({ mode: 'one-phase', pending: [] });
    expect(steps).toEqual(['outlive stock', 'commit orders', 'commit-reader stock', 'release']);
    expect(states).toEqual(['active', 'voting', 'committing-one-phase', 'committed']);
    expect(points).toEqual(['before-one-phase-commit', 'after-one-phase-commit']);
  });

  it('with a key it is decided', async () => {
    const { answer, steps } = await play({ writers: ['orders'], idempotencyKey: 'k' });
    expect(answer).toMatchObject({ mode: 'two-phase' });
    expect(steps).toContain('decide order 456 1');
  });

  it('a reader with a key: nothing to decide', async () => {
    const { answer } = await play({ writers: [], readers: ['stock'], idempotencyKey: 'k' });
    expect(answer).toMatchObject({ mode: 'read-only' });
  });

  it('refuses: rolled back, and readers too', async () => {
    const { answer, steps, states } = await play({
      writers: ['orders'],
      readers: ['stock'],
      onePhase: 'rolled-back',
    });
    expect(answer).toMatchObject({ code: 'PGXA_VOTE_NO', participant: 'orders', cause: LOST });
    expect(steps).toContain('rollback stock');
    expect(states.at(-1)).toBe('rolled-back');
  });

  it('its reply is lost, and its server says committed: committed', async () => {
    const { answer, steps } = await play({ writers: ['orders'], onePhase: 'unknown' });
    expect(answer).toEqual({ mode: 'one-phase', pending: [] });
    expect(steps).toContain('fence orders');
  });
});
