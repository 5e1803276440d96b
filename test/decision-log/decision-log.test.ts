import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import type { PostgresDecisionLog } from '../../src/decision-log/postgres-decision-log.ts';
import { startControlledServer, type TestServer } from '../support/servers.ts';
import { waitFor } from '../support/wait.ts';
import {
  abortOf,
  commitRequest,
  decisionLogConformance,
  newEpoch,
  register,
  settleOne,
} from './conformance.ts';
import {
  backendThatWaits,
  holdCommits,
  postgresLog,
  type PostgresLogUnderTest,
} from './postgres-log.ts';

decisionLogConformance('PostgresDecisionLog', () => postgresLog());

const DECIDE = /insert into pgxa\.decision[^]*'commit'/;
const SETTLE = /insert into pgxa\.decision[^]*'abort'/;
const RETIRE = /update pgxa\.coordinator c set retired_at/;
const BARRIER = /pg_logical_emit_message/;

/**
 * A log on a server of its own and two processes on it: the coordinator `log`, and `other`, which
 * stands for recovery.
 */
describe('PostgresDecisionLog when its server misbehaves', () => {
  let server: TestServer;
  let under: PostgresLogUnderTest;
  let log: PostgresDecisionLog;
  let other: PostgresDecisionLog;
  let epoch: string;
  let release: (() => Promise<void>) | undefined;

  beforeAll(async () => {
    server = await startControlledServer();
  });
  beforeEach(async () => {
    under = await postgresLog(server);
    log = await under.open('coordinator');
    other = await under.open('recovery');
    epoch = await register(log);
  });
  afterEach(async () => {
    await release?.();
    release = undefined;
    await under.close();
  });
  afterAll(() => server.destroy());

  const hold = async (): Promise<void> => {
    release = await holdCommits(server);
  };
  const rows = (id: string): Promise<Record<string, unknown>[]> =>
    under.query('select outcome from pgxa.decision where transaction_id = $1', [id]);
  const cancel = (pid: number) => under.query('select pg_cancel_backend($1)', [pid]);
  const terminate = (pid: number) => under.query('select pg_terminate_backend($1)', [pid]);

  describe('a decision is still being written (its commit waits for a standby)', () => {
    it('a read sees nothing, settle waits for it and then obeys: never decide from a read', async () => {
      await hold();
      const request = commitRequest(epoch);
      const deciding = log.decide(request);
      await backendThatWaits(under, DECIDE, 'SyncRep');
      expect(await rows(request.transactionId)).toEqual([]);
      expect((await other.decisionsOf([request.transactionId])).size).toBe(0);
      const settling = settleOne(other, request);
      await backendThatWaits(under, SETTLE, 'transactionid');
      await release?.();
      expect(await settling).toBe('commit');
      expect(await deciding).toEqual({ kind: 'commit' });
    });

    it('retire waits for it; behind it the epoch decides no more', async () => {
      await hold();
      const request = commitRequest(epoch);
      const deciding = log.decide(request);
      await backendThatWaits(under, DECIDE, 'SyncRep');
      const retiring = other.retire(epoch, 0);
      await backendThatWaits(under, RETIRE, 'transactionid');
      await release?.();
      expect(await deciding).toEqual({ kind: 'commit' });
      expect(await retiring).toBe(true);
      expect(await log.decide(commitRequest(epoch))).toEqual({ kind: 'fenced' });
      expect(await log.heartbeat(epoch)).toBe(false);
    });

    it('two retire one epoch whose session is gone: the second waits for the first, and does not take it for the session', async () => {
      const mine = newEpoch();
      const dead = await under.open('dead');
      const where = { name: 'dead', host: 'here', pid: 7, version: '1' };
      await dead.registerCoordinator({ ...where, epoch: mine, heartbeatLimitMs: 60_000 });
      await dead.close();
      await under.query(
        `update pgxa.coordinator set heartbeat_at = heartbeat_at - interval '10 s' where epoch = $1`,
        [mine],
      );
      await waitFor('its session to be gone', async () => {
        return (await other.epochsOf([mine])).get(mine)?.sessionGone;
      });
      await hold();
      const first = other.retire(mine, 60_000);
      await backendThatWaits(under, RETIRE, 'SyncRep');
      const second = log.retire(mine, 60_000);
      await backendThatWaits(under, RETIRE, 'transactionid');
      await release?.();
      expect(await Promise.all([first, second])).toEqual([true, true]);
    });

    it('its wait is cancelled: unknown, and nobody vouches for the row before the standby confirms', async () => {
      await hold();
      const request = commitRequest(epoch, { idempotencyKey: 'key' });
      const deciding = log.decide(request);
      await cancel(await backendThatWaits(under, DECIDE, 'SyncRep'));
      expect(await deciding).toMatchObject({ kind: 'unknown' });
      // It is there for all to see, and may be lost with this server.
      expect(await rows(request.transactionId)).toEqual([{ outcome: 'commit' }]);
      for (const ask of [
        () => other.decisionsOf([request.transactionId]),
        () => other.findByIdempotencyKey('key'),
        () => settleOne(other, request),
      ]) {
        const asked = ask().then(
          () => 'answered',
          (error: unknown) => error,
        );
        await cancel(await backendThatWaits(under, BARRIER, 'SyncRep'));
        expect(await asked).toMatchObject({
          message: expect.stringContaining('could not confirm') as string,
        });
      }
      const again = other.decide(commitRequest(epoch, { idempotencyKey: 'key' }));
      await cancel(await backendThatWaits(under, BARRIER, 'SyncRep'));
      expect(await again).toMatchObject({ kind: 'unknown' });

      await release?.();
      const standing = await other.decisionsOf([request.transactionId]);
      expect(standing.get(request.transactionId)?.decision).toBe('commit');
      expect(await settleOne(other, request)).toBe('commit');
      expect(await other.findByIdempotencyKey('key')).toBe(request.transactionId);
      expect(await log.decide(request)).toEqual({ kind: 'commit' });
    });

    it('a tombstone whose wait is cancelled is not vouched for either', async () => {
      await hold();
      const request = commitRequest(epoch);
      const settling = settleOne(other, request).then(
        () => 'answered',
        (error: unknown) => error,
      );
      await cancel(await backendThatWaits(under, SETTLE, 'SyncRep'));
      await cancel(await backendThatWaits(under, BARRIER, 'SyncRep'));
      expect(await settling).toBeInstanceOf(Error);
      expect(await rows(request.transactionId)).toEqual([{ outcome: 'abort' }]);
      await release?.();
      expect(await settleOne(other, request)).toBe('abort');
      expect(await log.decide(request)).toMatchObject({ kind: 'abort' });
    });

    it('its backend is ended, with the row on disk: unknown, and settle finds commit', async () => {
      await hold();
      const request = commitRequest(epoch);
      const deciding = log.decide(request);
      await terminate(await backendThatWaits(under, DECIDE, 'SyncRep'));
      expect(await deciding).toMatchObject({ kind: 'unknown' });
      await release?.();
      expect(await settleOne(log, request)).toBe('commit');
      expect(await settleOne(other, request)).toBe('commit');
    });
  });

  it('the backend of the decider is ended before its row is written: unknown, and settle finds abort', async () => {
    const request = commitRequest(epoch, { idempotencyKey: 'key' });
    const blocker = await under.session();
    await blocker.query('begin');
    await blocker.query(
      `insert into pgxa.decision (transaction_id, epoch, outcome, decided_by)
       values ($1, $2, 'abort', 'operator')`,
      [request.transactionId, epoch],
    );
    const deciding = log.decide(request);
    await terminate(await backendThatWaits(under, DECIDE, 'transactionid'));
    expect(await deciding).toMatchObject({ kind: 'unknown' });
    await blocker.query('rollback');
    expect(await settleOne(log, request)).toBe('abort');
    expect(await other.decide(request)).toMatchObject({ kind: 'abort' });
    expect(await other.findByIdempotencyKey('key')).toBeUndefined();
  });

  it('an operator has forced the commit of a coordinator that slept: awake, it keeps the idempotency key', async () => {
    const request = commitRequest(epoch, { idempotencyKey: 'slept' });
    await under.query(
      `insert into pgxa.decision (transaction_id, epoch, outcome, decided_by)
       values ($1, $2, 'commit', 'operator')`,
      [request.transactionId, epoch],
    );
    expect(await log.decide(request)).toEqual({ kind: 'commit' });
    expect(await other.findByIdempotencyKey('slept')).toBe(request.transactionId);
    // Whoever runs it again finds it done.
    const again = await other.decide(commitRequest(epoch, { idempotencyKey: 'slept' }));
    expect(again).toEqual({ kind: 'already-done', transactionId: request.transactionId });
  });

  it('defaults of the database would weaken it (synchronous_commit off, serializable): overruled', async () => {
    for (const setting of [
      'synchronous_commit = off',
      `default_transaction_isolation = 'serializable'`,
    ]) {
      await server.query('postgres', `alter database ${under.database} set ${setting}`);
    }
    const [mine, its] = [await under.open('mine'), await under.open('its')];
    const own = await register(mine);
    // With synchronous_commit off this would not wait; in a serializable one settle would fail with 40001.
    await hold();
    const request = commitRequest(own);
    const deciding = mine.decide(request);
    await backendThatWaits(under, DECIDE, 'SyncRep');
    const settling = settleOne(its, request);
    await backendThatWaits(under, SETTLE, 'transactionid');
    await release?.();
    expect([(await deciding).kind, await settling]).toEqual(['commit', 'commit']);
  });

  it('500 concurrent decisions, submitted over many turns of the event loop, share few flushes', async () => {
    const requests = Array.from({ length: 500 }, (_, index) =>
      commitRequest(epoch, index % 2 === 0 ? { idempotencyKey: `key ${index}` } : {}),
    );
    const replies = [];
    for (const [index, request] of requests.entries()) {
      replies.push(log.decide(request));
      if (index % 10 === 9) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(new Set((await Promise.all(replies)).map(({ kind }) => kind))).toEqual(
      new Set(['commit']),
    );
    // One database transaction, hence one flush, for each distinct xmin.
    const [row] = await under.query(
      `select count(*)::int as decisions, count(distinct xmin::text)::int as commits
         from pgxa.decision where epoch = $1`,
      [epoch],
    );
    expect(row?.['decisions']).toBe(500);
    expect(Number(row?.['commits']) / 500).toBeLessThan(0.2);
  });

  it('the server is down, then up again: decide says unknown at once, all heals by itself', async () => {
    const before = commitRequest(epoch);
    expect(await log.decide(before)).toEqual({ kind: 'commit' });
    await server.stop('immediate');
    const request = commitRequest(epoch);
    const since = performance.now();
    expect(await log.decide(request)).toMatchObject({ kind: 'unknown' });
    await expect(log.settle([abortOf(request)], 'coordinator')).rejects.toThrow();
    await expect(log.decisionsOf([request.transactionId])).rejects.toThrow();
    await expect(log.heartbeat(epoch)).rejects.toThrow();
    // What each of them waits for a reply that does not come.
    expect(performance.now() - since).toBeLessThan(5_000);
    await server.start();

    expect(await settleOne(log, request)).toBe('abort');
    expect(await log.decide(request)).toMatchObject({ kind: 'abort' });
    expect(await log.decide(commitRequest(epoch))).toEqual({ kind: 'commit' });
    const standing = await log.decisionsOf([before.transactionId]);
    expect(standing.get(before.transactionId)?.decision).toBe('commit');
    expect(await log.heartbeat(epoch)).toBe(true);
    expect((await other.epochsOf([epoch])).get(epoch)).toMatchObject({ sessionGone: false });
  });

  it('the server hangs: decide says unknown within its limit; when it wakes up, one answer stands', async () => {
    await log.decide(commitRequest(epoch));
    const request = commitRequest(epoch);
    server.pause();
    const since = performance.now();
    try {
      expect(await log.decide(request)).toMatchObject({ kind: 'unknown' });
      // Its limit is 5 s.
      expect(performance.now() - since).toBeLessThan(20_000);
    } finally {
      server.resume();
    }
    const answers = await Promise.all([settleOne(log, request), settleOne(other, request)]);
    expect(new Set(answers).size).toBe(1);
    expect((await log.decide(request)).kind).toBe(answers[0]);
  });

  describe('the session of an epoch', () => {
    const goneness = async (one: string): Promise<boolean | undefined> =>
      (await other.epochsOf([one])).get(one)?.sessionGone;

    it('is killed: seen as gone; the next heartbeat makes a new one, and the epoch is not retired', async () => {
      expect(await goneness(epoch)).toBe(false);
      const [holder] = await under.query(
        `select pid from pg_locks where locktype = 'advisory' and granted
            and database = (select oid from pg_database where datname = current_database())`,
      );
      await terminate(Number(holder?.['pid']));
      await waitFor('the session to be gone', () => goneness(epoch));
      expect(await other.retire(epoch, 60_000)).toBe(false);
      await waitFor('a heartbeat', () => log.heartbeat(epoch));
      expect(await goneness(epoch)).toBe(false);
      expect(await log.decide(commitRequest(epoch))).toEqual({ kind: 'commit' });
    });

    it('ends with its process: retired two seconds after the last heartbeat, long before the limit', async () => {
      await log.close();
      await waitFor('the session to be gone', () => goneness(epoch));
      await waitFor('the epoch to be retired', () => other.retire(epoch, 60_000));
      const [row] = await under.query(
        `select extract(epoch from retired_at - heartbeat_at)::float8 as seconds, retired_by
           from pgxa.coordinator where epoch = $1`,
        [epoch],
      );
      expect(row).toMatchObject({ retired_by: 'recovery' });
      expect(row?.['seconds']).toBeGreaterThanOrEqual(2);
      expect(row?.['seconds']).toBeLessThan(60);
    });

    it('is alive without heartbeats: retired by the limit alone', async () => {
      expect(await other.retire(epoch, 60_000)).toBe(false);
      await waitFor('100 ms of silence', async () => {
        const status = (await other.epochsOf([epoch])).get(epoch);
        return (status?.heartbeatAgeMs ?? 0) > 100;
      });
      expect(await other.retire(epoch, 100)).toBe(true);
    });

    it('is not ours to hold (behind a pooler): then its end says nothing', async () => {
      const pooled = await under.open('pooled');
      const squatter = await under.session();
      const mine = 'f'.repeat(16);
      await squatter.query(`select pg_advisory_lock(('x' || $1)::bit(64)::bigint)`, [mine]);
      await pooled.registerCoordinator({
        epoch: mine,
        name: 'pooled',
        host: 'h',
        pid: 1,
        version: '1',
      });
      expect(await pooled.heartbeat(mine)).toBe(true);
      await squatter.query('select pg_advisory_unlock_all()');
      await pooled.close();
      expect(await goneness(mine)).toBe(false);
    });
  });
});
