/** What every implementation of DecisionLog has to do. */
import { randomBytes } from 'node:crypto';
import { v7 as uuidv7 } from 'uuid';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type {
  AbortRequest,
  CommitRequest,
  DecideReply,
  DecisionLog,
  HeuristicRecord,
} from '../../src/decision-log/decision-log.ts';
import type { BranchEvidence, Decision, ServerIdentity } from '../../src/states.ts';

export interface LogUnderTest {
  /** One more client of the same log, as another process would have it. */
  open(): Promise<DecisionLog>;
  close(): Promise<void>;
}

export const newId = (): string => uuidv7();
export const newEpoch = (): string => randomBytes(8).toString('hex');
export const server: ServerIdentity = {
  systemIdentifier: '1',
  timeline: '00000001',
  databaseOid: '5',
};

export function commitRequest(epoch: string, more: Partial<CommitRequest> = {}): CommitRequest {
  return {
    transactionId: newId(),
    epoch,
    label: undefined,
    idempotencyKey: undefined,
    branches: [],
    ...more,
  };
}

export async function register(log: DecisionLog): Promise<string> {
  const epoch = newEpoch();
  await log.registerCoordinator({ epoch, name: 'test', host: 'here', pid: 7, version: '1' });
  return epoch;
}

export function abortOf({ transactionId, epoch }: CommitRequest): AbortRequest {
  return { transactionId, epoch };
}

export async function settleOne(log: DecisionLog, request: CommitRequest): Promise<Decision> {
  const standing = await log.settle([abortOf(request)], 'recovery');
  const decision = standing.get(request.transactionId)?.decision;
  if (decision === undefined) throw new Error('settle() answered nothing');
  return decision;
}

export function decisionLogConformance(name: string, make: () => Promise<LogUnderTest>): void {
  describe(`${name} is a DecisionLog`, () => {
    let under: LogUnderTest;
    let logs: DecisionLog[];
    let log: DecisionLog;
    let epoch: string;
    beforeAll(async () => {
      under = await make();
      logs = await Promise.all([1, 2, 3, 4].map(() => under.open()));
      log = logs[0] as DecisionLog;
      epoch = await register(log);
    });
    afterAll(async () => {
      await Promise.all(logs.map((one) => one.close()));
      await under.close();
    });

    it('all clients of one log have one installation id', () => {
      expect(log.installation).toMatch(/^[0-9a-f]{12}$/);
      expect(new Set(logs.map(({ installation }) => installation)).size).toBe(1);
    });

    it('keeps a commit decision with its label and the evidence of its branches', async () => {
      const branch = (ordinal: number, xid: string | undefined): BranchEvidence => ({
        participant: `p${ordinal}`,
        branch: ordinal,
        xid,
        incarnation: undefined,
        server,
        backend: { pid: 1, startedAt: '2' },
      });
      const request = commitRequest(epoch, {
        label: `it's "quoted"; drop table \\ ☃`,
        branches: [branch(1, '4294967296777'), branch(2, undefined)],
      });
      expect(await log.decide(request)).toEqual({ kind: 'commit' });
      const found = await logs[1]?.decisionsOf([request.transactionId]);
      const recorded = { systemIdentifier: '1', timeline: '00000001' };
      expect(found?.get(request.transactionId)).toEqual({
        decision: 'commit',
        decidedBy: 'coordinator',
        decidedAt: expect.any(Date) as Date,
        label: request.label,
        branches: [
          { participant: 'p1', branch: 1, xid: '4294967296777', ...recorded },
          { participant: 'p2', branch: 2, xid: undefined, ...recorded },
        ],
      });
    });

    it('has nothing to say about what was not decided', async () => {
      expect((await log.decisionsOf([newId()])).size).toBe(0);
      expect((await log.decisionsOf([])).size).toBe(0);
      expect((await log.settle([], 'recovery')).size).toBe(0);
      expect(await log.findByIdempotencyKey('never used')).toBeUndefined();
    });

    it('decide is write-once: the second one, from another process, finds the first', async () => {
      const request = commitRequest(epoch, { label: 'first' });
      expect(await log.decide(request)).toEqual({ kind: 'commit' });
      expect(await logs[1]?.decide({ ...request, label: 'second' })).toEqual({ kind: 'commit' });
      const found = await log.decisionsOf([request.transactionId]);
      expect(found.get(request.transactionId)?.label).toBe('first');
    });

    it.each(['recovery', 'operator', 'coordinator'] as const)(
      'the tombstone of %s first: decide answers abort, for ever',
      async (decidedBy) => {
        const request = commitRequest(epoch, { idempotencyKey: newId() });
        const standing = await logs[1]?.settle([abortOf(request)], decidedBy);
        expect(standing?.get(request.transactionId)).toMatchObject({
          decision: 'abort',
          decidedBy,
        });
        expect(await log.decide(request)).toEqual({ kind: 'abort', decidedBy });
        expect(await log.decide(request)).toEqual({ kind: 'abort', decidedBy });
        expect(await log.findByIdempotencyKey(request.idempotencyKey ?? '')).toBeUndefined();
      },
    );

    it('the commit first: settle returns commit, and does not write', async () => {
      const request = commitRequest(epoch);
      await log.decide(request);
      const other = commitRequest(epoch);
      const standing = await logs[1]?.settle([abortOf(request), abortOf(other)], 'operator');
      expect(standing?.get(request.transactionId)).toMatchObject({
        decision: 'commit',
        decidedBy: 'coordinator',
      });
      expect(standing?.get(other.transactionId)).toMatchObject({
        decision: 'abort',
        decidedBy: 'operator',
      });
    });

    it('1,000 transactions, each decided and settled twice at once by four processes: one outcome each, all agree', async () => {
      const ours = await Promise.all(logs.map((one) => register(one)));
      const won = { commit: 0, abort: 0 };
      const race = async (number: number): Promise<void> => {
        const order = logs.map((_, index) => (index + number) % logs.length);
        const [a, b, c, d] = order.map((index) => logs[index]) as [
          DecisionLog,
          DecisionLog,
          DecisionLog,
          DecisionLog,
        ];
        const request = commitRequest(ours[order[0] as number] as string);
        const decide = async (one: DecisionLog): Promise<string> =>
          (await one.decide(request)).kind;
        // A batch gathers before it is written: without a head start now and then, settle always wins.
        const settle = async (one: DecisionLog): Promise<string> => {
          for (let turn = 0; turn < number % 8; turn += 1) await new Promise(setImmediate);
          return settleOne(one, request);
        };
        const calls = [() => decide(a), () => settle(b), () => decide(c), () => settle(d)];
        // Whoever is sent first has the better start: each of them in turn.
        const turned = calls.map(
          (_, index) => calls[(index + (number >> 2)) % 4] as () => Promise<string>,
        );
        const answers = await Promise.all(turned.map((call) => call()));
        const standing = (await a.decisionsOf([request.transactionId])).get(request.transactionId);
        expect([request.transactionId, ...new Set(answers)]).toEqual([
          request.transactionId,
          standing?.decision,
        ]);
        won[standing?.decision as Decision] += 1;
      };
      for (let first = 0; first < 1_000; first += 100) {
        await Promise.all(Array.from({ length: 100 }, (_, index) => race(first + index)));
      }
      // It was a race: both sides have won some.
      expect(won.commit + won.abort).toBe(1_000);
      expect(won.commit).toBeGreaterThan(10);
      expect(won.abort).toBeGreaterThan(10);
    });

    it('an unknown or retired epoch is fenced: it writes nothing, what it decided before stands', async () => {
      const ended = await register(log);
      const before = commitRequest(ended);
      expect(await log.decide(before)).toEqual({ kind: 'commit' });
      await log.endEpoch(ended);
      const late = commitRequest(ended, { idempotencyKey: newId() });
      expect(await log.decide(late)).toEqual({ kind: 'fenced' });
      expect(await log.decide(commitRequest(newEpoch()))).toEqual({ kind: 'fenced' });
      expect(await log.decide(before)).toEqual({ kind: 'commit' });
      expect((await log.decisionsOf([late.transactionId])).size).toBe(0);
      expect(await log.findByIdempotencyKey(late.idempotencyKey ?? '')).toBeUndefined();
    });

    it('epochs in one batch do not disturb each other', async () => {
      const [alive, ended] = [await register(log), await register(log)];
      await log.endEpoch(ended);
      const replies = await Promise.all(
        [alive, ended, epoch, ended].map((one) => log.decide(commitRequest(one))),
      );
      expect(replies.map(({ kind }) => kind)).toEqual(['commit', 'fenced', 'commit', 'fenced']);
    });

    it('an epoch is alive, beats, and ends once', async () => {
      const mine = await register(log);
      const status = async () => (await (logs[1] as DecisionLog).epochsOf([mine])).get(mine);
      const first = await status();
      expect(first).toMatchObject({ coordinator: 'test', retired: false, sessionGone: false });
      expect(first?.heartbeatAgeMs).toBeLessThan(60_000);
      expect(await log.heartbeat(mine)).toBe(true);
      expect((await status())?.heartbeat).not.toBe(first?.heartbeat);
      expect(await logs[1]?.retire(mine, 60_000)).toBe(false);
      await log.endEpoch(mine);
      await log.endEpoch(mine);
      expect(await status()).toMatchObject({ retired: true });
      expect(await log.heartbeat(mine)).toBe(false);
      expect(await logs[1]?.retire(mine, 60_000)).toBe(true);
      expect((await log.epochsOf([newEpoch()])).size).toBe(0);
      expect(await log.retire(newEpoch(), 0)).toBe(false);
    });

    it('an epoch that asked for a longer silence than the one who would retire it gets it', async () => {
      const patient = newEpoch();
      const info = { name: 'patient', host: 'here', pid: 7, version: '1' };
      await log.registerCoordinator({ ...info, epoch: patient, heartbeatLimitMs: 3_600_000 });
      const mine = await register(log);
      expect(await logs[1]?.retire(patient, 0)).toBe(false);
      expect(await logs[1]?.retire(mine, 0)).toBe(true);
      expect((await log.epochsOf([patient])).get(patient)).toMatchObject({
        retired: false,
        heartbeatLimitMs: 3_600_000,
      });
      expect(await log.decide(commitRequest(patient))).toEqual({ kind: 'commit' });
    });

    it('a key that is taken: the second run is told who has it, and has no decision', async () => {
      const key = newId();
      const first = commitRequest(epoch, { idempotencyKey: key });
      const second = commitRequest(epoch, { idempotencyKey: key });
      expect(await log.decide(first)).toEqual({ kind: 'commit' });
      const told: DecideReply = { kind: 'already-done', transactionId: first.transactionId };
      expect(await log.decide(second)).toEqual(told);
      expect(await logs[1]?.decide(second)).toEqual(told);
      expect(await logs[1]?.findByIdempotencyKey(key)).toBe(first.transactionId);
      expect((await log.decisionsOf([second.transactionId])).size).toBe(0);
    });

    it('one key 5 times in one batch, among 20 others: one commits, the others and the 20 are not harmed', async () => {
      const key = newId();
      const requests = Array.from({ length: 25 }, (_, index) =>
        commitRequest(epoch, { idempotencyKey: index % 5 === 0 ? key : newId() }),
      );
      const replies = await Promise.all(requests.map((request) => log.decide(request)));
      const kinds = replies.map(({ kind }) => kind);
      const winner = requests.find(
        (one, index) => one.idempotencyKey === key && kinds[index] === 'commit',
      );
      expect(kinds.filter((kind) => kind === 'commit')).toHaveLength(21);
      expect(replies.filter(({ kind }) => kind !== 'commit')).toEqual(
        Array.from({ length: 4 }, () => ({
          kind: 'already-done',
          transactionId: winner?.transactionId,
        })),
      );
    });

    it('200 keys, each from four processes at once: one commit for each, and a key for every one', async () => {
      const ours = await Promise.all(logs.map((one) => register(one)));
      const keys = Array.from({ length: 200 }, () => newId());
      await Promise.all(
        keys.map(async (key) => {
          const requests = ours.map((mine) => commitRequest(mine, { idempotencyKey: key }));
          const replies = await Promise.all(
            logs.map((one, index) => one.decide(requests[index] as CommitRequest)),
          );
          const winners = requests.filter((_, index) => replies[index]?.kind === 'commit');
          expect(replies.map(({ kind }) => kind).sort()).toEqual([
            ...Array.from({ length: 3 }, () => 'already-done'),
            'commit',
          ]);
          expect(await log.findByIdempotencyKey(key)).toBe(winners[0]?.transactionId);
          const standing = await log.decisionsOf(requests.map((one) => one.transactionId));
          expect([...standing.keys()]).toEqual([winners[0]?.transactionId]);
        }),
      );
    });

    it('remembers the servers behind a name', async () => {
      const name = `p-${newEpoch()}`;
      const promoted = { ...server, timeline: '00000002' };
      const other = { ...server, systemIdentifier: '2' };
      expect(await log.registerParticipant(name, server, 'db')).toBeUndefined();
      expect(await log.registerParticipant(name, promoted, 'db')).toBeUndefined();
      expect(await log.registerParticipant(name, other, 'db')).toContain('system 1');
      expect(await log.registerParticipant(name, other, 'db')).toBeUndefined();
      expect(await log.registerParticipant(name, server, 'db')).toContain('system 2');
    });

    it('records a heuristic outcome once, whoever finds it how often', async () => {
      const record: HeuristicRecord = {
        transactionId: newId(),
        gid: `gid ${newEpoch()}`,
        participant: 'p',
        decision: 'commit',
        kind: 'rollback',
        evidence: 'xid 7 is rolled back',
        foundBy: 'test',
      };
      const found = await Promise.all(logs.map((one) => one.recordHeuristic(record)));
      expect(found.filter(Boolean)).toHaveLength(1);
      expect(await log.recordHeuristic({ ...record, kind: 'hazard' })).toBe(true);
    });

    it('closed: it answers nothing, and decide still does not reject', async () => {
      const closed = await under.open();
      const mine = await register(closed);
      await closed.close();
      expect(await closed.decide(commitRequest(mine))).toMatchObject({ kind: 'unknown' });
      await expect(closed.decisionsOf([newId()])).rejects.toThrow();
      await closed.close();
    });
  });
}
