import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { v7 as uuidv7 } from 'uuid';

import { PostgresDaemonLog } from '../../src/decision-log/postgres-daemon-log.ts';
import type { PostgresDecisionLog } from '../../src/decision-log/postgres-decision-log.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { waitFor } from '../support/wait.ts';
import { commitRequest, newEpoch, register } from './conformance.ts';
import { postgresLog, type PostgresLogUnderTest } from './postgres-log.ts';

const DAY_MS = 86_400_000;
const idOfDay = (daysAgo: number): string => uuidv7({ msecs: Date.now() - daysAgo * DAY_MS });

/**
 * One log that has decided for ten days, with one participant. Expected of retention: days are dropped whole,
 * with the keys and epochs that belong to them, and none that a participant could need; the register is
 * shut for a day that was dropped; nobody who decides meanwhile is disturbed.
 */
describe('retention', () => {
  let under: PostgresLogUnderTest;
  let log: PostgresDecisionLog;
  let daemonLog: PostgresDaemonLog;
  let epoch: string;

  beforeEach(async () => {
    under = await postgresLog();
    log = await under.open();
    epoch = await register(log);
    daemonLog = new PostgresDaemonLog({
      settings: { connectionString: under.server.connectionString(under.database) },
      name: 'test',
      connectTimeoutMs: 5_000,
      runtime: systemRuntime,
    });
  });
  afterEach(async () => {
    await daemonLog.close();
    await under.close();
  });

  /** As if it had been decided then: today the register refuses a commit that late. */
  const decidedOnDay = async (daysAgo: number, idempotencyKey?: string): Promise<string> => {
    const transactionId = idOfDay(daysAgo);
    await under.query('select pgxa.make_partition(pgxa.moment_of($1))', [transactionId]);
    await under.query(
      `insert into pgxa.decision (transaction_id, epoch, outcome, decided_by)
       values ($1, $2, 'commit', 'operator')`,
      [transactionId, epoch],
    );
    if (idempotencyKey !== undefined) {
      await under.query('insert into pgxa.idempotency values ($1, $2)', [
        idempotencyKey,
        transactionId,
      ]);
    }
    return transactionId;
  };
  const registerParticipant = (name: string): Promise<unknown> =>
    log.registerParticipant(
      name,
      { systemIdentifier: name, databaseOid: '5', timeline: '00000001' },
      'database',
    );
  const noteList = (participant: string, oldest?: string, ageMs = 0): Promise<void> =>
    daemonLog.noteListings([
      {
        participant,
        systemIdentifier: participant,
        databaseOid: '5',
        oldest,
        ageMs,
        timeline: undefined,
      },
    ]);

  it('drops days whole that are older than it, with their keys and their epochs', async () => {
    const old = await decidedOnDay(9, 'old key');
    const young = await decidedOnDay(6, 'young key');
    await under.query(
      `insert into pgxa.coordinator (epoch, name, host, pid, version, retired_at, retired_by)
       values ($1, 'old', 'here', 1, '1', now() - interval '9 days', 'recovery')`,
      [newEpoch()],
    );
    await registerParticipant('orders');
    await noteList('orders');
    const kept = await daemonLog.keepHouse(7);
    expect(kept).toMatchObject({ heldBy: undefined, forgottenKeys: 1, forgottenEpochs: 1 });
    expect(kept.dropped).toHaveLength(1);
    expect(kept.forgottenBefore?.getTime()).toBeLessThan(Date.now() - 7 * DAY_MS);
    expect(kept.forgottenBefore?.getTime()).toBeGreaterThan(Date.now() - 9.01 * DAY_MS);
    const standing = await log.decisionsOf([old, young]);
    expect([...standing.keys()]).toEqual([young]);
    expect(await log.findByIdempotencyKey('old key')).toBeUndefined();
    expect(await log.findByIdempotencyKey('young key')).toBe(young);
    expect(await daemonLog.keepHouse(7)).toMatchObject({ dropped: [], made: [] });
  });

  it('makes days ahead, and whoever decides on a day without a partition makes it', async () => {
    const { made } = await daemonLog.keepHouse(7);
    // The migration made yesterday, today and three days more.
    expect(made).toEqual([]);
    const ahead = commitRequest(epoch, { transactionId: idOfDay(-10) });
    expect(await log.decide(ahead)).toEqual({ kind: 'commit' });
    const day = new Date(Date.now() + 10 * DAY_MS).toISOString().slice(0, 10).replaceAll('-', '');
    const [row] = await under.query(
      `select to_regclass('pgxa.decision_${day}') is not null as made`,
    );
    expect(row).toEqual({ made: true });
    // Both at once: one makes it, the other finds it.
    const at20 = await Promise.all(
      Array.from({ length: 20 }, () =>
        log.settle([{ transactionId: idOfDay(-20), epoch }], 'recovery'),
      ),
    );
    expect(at20.map(({ size }) => size)).toEqual(Array.from({ length: 20 }, () => 1));
  });

  it.each([
    ['was never listed', undefined, false],
    ['was listed two hours ago', { ageMs: 7_200_000, oldest: undefined }, false],
    ['holds a branch of that day', { ageMs: 0, oldest: idOfDay(9) }, false],
    ['holds a younger branch', { ageMs: 0, oldest: idOfDay(3) }, true],
    ['was listed, and holds nothing', { ageMs: 0, oldest: undefined }, true],
  ])('with a participant that %s: dropped = %s', async (_, list, isDropped) => {
    const old = await decidedOnDay(9);
    await registerParticipant('orders');
    await registerParticipant('billing');
    await noteList('billing');
    if (list !== undefined) await noteList('orders', list.oldest, list.ageMs);
    const kept = await daemonLog.keepHouse(7);
    expect(kept.dropped.length).toBe(isDropped ? 1 : 0);
    if (!isDropped) expect(kept.heldBy).toContain('participant "orders"');
    expect((await log.decisionsOf([old])).has(old)).toBe(!isDropped);
  });

  it('does not wait for a participant that an operator has retired, nor for a server that was replaced', async () => {
    await decidedOnDay(9);
    await registerParticipant('orders');
    await registerParticipant('gone');
    await under.query(`update pgxa.participant set retired_at = now() where name = 'gone'`);
    await log.registerParticipant(
      'orders',
      { systemIdentifier: 'new', databaseOid: '5', timeline: '00000001' },
      'database',
    );
    await daemonLog.noteListings([
      {
        participant: 'orders',
        systemIdentifier: 'new',
        databaseOid: '5',
        oldest: undefined,
        ageMs: 0,
        timeline: undefined,
      },
    ]);
    expect((await daemonLog.keepHouse(7)).dropped).toHaveLength(1);
  });

  it('shuts the register for a day that was dropped: refused, and settled by nobody', async () => {
    await decidedOnDay(9);
    await daemonLog.keepHouse(7);
    const late = commitRequest(epoch, { transactionId: idOfDay(9) });
    const today = commitRequest(epoch);
    const [refused, decided] = await Promise.all([log.decide(late), log.decide(today)]);
    expect(refused).toMatchObject({ kind: 'refused', error: { code: 'PX001' } });
    expect(decided).toEqual({ kind: 'commit' });
    const young = { transactionId: idOfDay(0), epoch };
    const standing = await log.settle(
      [{ transactionId: late.transactionId, epoch }, young],
      'recovery',
    );
    expect([...standing.keys()]).toEqual([young.transactionId]);
  });

  it('refuses a commit that is late by its id, so that no decision is ever younger than its day', async () => {
    // A coordinator whose clock is behind, on a log that remembers everything.
    const late = commitRequest(epoch, { transactionId: idOfDay(2) });
    expect(await log.decide(late)).toMatchObject({ kind: 'refused', error: { code: 'PX001' } });
    const yesterday = commitRequest(epoch, { transactionId: idOfDay(1) });
    expect(await log.decide(yesterday)).toEqual({ kind: 'commit' });
    // Recovery may still abort it.
    const standing = await log.settle([{ ...late, epoch }], 'recovery');
    expect(standing.get(late.transactionId)?.decision).toBe('abort');
  });

  it.each(['2999-01-01T00:00:00Z', '1969-12-31T00:00:00Z'])(
    'makes no partition for %s: a clock that is so wrong is refused',
    async (moment) => {
      await expect(under.query('select pgxa.make_partition($1)', [moment])).rejects.toMatchObject({
        code: 'PX001',
      });
    },
  );

  it('in Berlin: every hour around both changes of the clock has its day, and one only', async () => {
    await under.query(`alter database ${under.database} set timezone = 'Europe/Berlin'`);
    const berlin = await under.open('berlin');
    const changes = ['2027-03-28', '2027-10-31'].filter(
      (day) => Date.parse(day) - Date.now() < 360 * DAY_MS && Date.parse(day) > Date.now(),
    );
    const hours = changes.flatMap((day) =>
      Array.from({ length: 72 }, (_, hour) => Date.parse(day) + (hour - 24) * 3_600_000),
    );
    const replies = await Promise.all(
      hours.map((msecs) =>
        berlin.decide(commitRequest(epoch, { transactionId: uuidv7({ msecs: msecs + 1 }) })),
      ),
    );
    expect(new Set(replies.map(({ kind }) => kind))).toEqual(new Set(['commit']));
    const placed = await under.query(
      `select count(*)::int as wrong from pgxa.decision
        where tableoid::regclass::text <> 'pgxa.decision_'
              || to_char(pgxa.moment_of(transaction_id) at time zone 'UTC', 'YYYYMMDD')`,
    );
    expect(placed).toEqual([{ wrong: 0 }]);
  });

  it('a day whose table somebody has detached: decide answers, and does not try for ever', async () => {
    const day = new Date().toISOString().slice(0, 10).replaceAll('-', '');
    await under.query(`alter table pgxa.decision detach partition pgxa.decision_${day}`);
    expect(await log.decide(commitRequest(epoch))).toMatchObject({ kind: 'unknown' });
  });

  it('a snapshot that is older than a drop does not make the day again', async () => {
    const old = await decidedOnDay(9);
    const session = await under.session();
    await session.query('begin isolation level repeatable read');
    await session.query('select 1 from pgxa.horizon');
    await daemonLog.keepHouse(7);
    await expect(
      session.query('select pgxa.make_partition(pgxa.moment_of($1))', [old]),
    ).rejects.toMatchObject({ code: '40001' });
    await session.query('rollback');
  });

  it('the clock of the log is a month ahead: nothing is dropped, and the reason is told', async () => {
    const old = await decidedOnDay(9);
    // The daemon's own clock is the witness.
    const [row] = await under.query(
      `select dropped, held_by from pgxa.drop_oldest_day('7 days', now() - interval '30 days')`,
    );
    expect(row).toMatchObject({
      dropped: null,
      held_by: expect.stringContaining('the clock of the log') as string,
    });
    expect((await log.decisionsOf([old])).has(old)).toBe(true);
  });

  it('a server that holds an old branch is waited for, replaced or retired too early as it may be', async () => {
    await decidedOnDay(9);
    const register2 = (systemIdentifier: string): Promise<unknown> =>
      log.registerParticipant(
        'billing',
        { systemIdentifier, databaseOid: '5', timeline: '00000001' },
        'database',
      );
    const note = (systemIdentifier: string, oldest?: string): Promise<void> =>
      daemonLog.noteListings([
        {
          participant: 'billing',
          systemIdentifier,
          databaseOid: '5',
          oldest,
          ageMs: 0,
          timeline: undefined,
        },
      ]);
    const retire = (systemIdentifier: string): Promise<unknown> =>
      under.query(`update pgxa.participant set retired_at = now() where system_identifier = $1`, [
        systemIdentifier,
      ]);
    await register2('old');
    await note('old', idOfDay(9));
    await register2('live');
    await note('live');
    // Replaced, and it still holds the branch.
    expect((await daemonLog.keepHouse(7)).heldBy).toContain('holds a branch');
    await retire('old');
    // Retired, and a program that still has the old configuration starts.
    await register2('old');
    expect((await daemonLog.keepHouse(7)).heldBy).toContain('holds a branch');
    await retire('old');
    expect((await daemonLog.keepHouse(7)).dropped).toHaveLength(1);
  });

  it('drops many days, each for itself; who decides meanwhile waits for one at most', async () => {
    await under.query(
      `select count(pgxa.make_partition(now() - n * interval '24 hours'))
         from generate_series(9, 68) n`,
    );
    const done = new AbortController();
    const replies: string[] = [];
    const deciding = (async () => {
      while (!done.signal.aborted) replies.push((await log.decide(commitRequest(epoch))).kind);
    })();
    expect((await daemonLog.keepHouse(7)).dropped).toHaveLength(60);
    done.abort();
    await deciding;
    expect(replies.length).toBeGreaterThan(20);
    expect(new Set(replies)).toEqual(new Set(['commit']));
  });

  it('refuses less than two days, and a key of a day that is remembered cannot be deleted', async () => {
    await expect(daemonLog.keepHouse(1)).rejects.toMatchObject({ code: '22023' });
    await decidedOnDay(0, 'key');
    await expect(under.query('delete from pgxa.idempotency')).rejects.toMatchObject({
      code: '42501',
    });
  });

  it('never remembers again what it has forgotten', async () => {
    await decidedOnDay(9);
    await daemonLog.keepHouse(7);
    await expect(
      under.query(`update pgxa.horizon set forgotten_before = '-infinity'`),
    ).rejects.toMatchObject({ code: '42501' });
  });

  it('gives up at once while somebody reads the register; every decision meanwhile goes through', async () => {
    await decidedOnDay(9);
    const reader = await under.session();
    await reader.query('begin');
    await reader.query('select count(*) from pgxa.decision');
    const dropped = new AbortController();
    const replies: string[] = [];
    const deciding = (async () => {
      while (!dropped.signal.aborted) replies.push((await log.decide(commitRequest(epoch))).kind);
    })();
    await expect(daemonLog.keepHouse(7)).rejects.toMatchObject({ code: '55P03' });
    await expect(daemonLog.keepHouse(7)).rejects.toMatchObject({ code: '55P03' });
    await reader.query('commit');
    expect((await daemonLog.keepHouse(7)).dropped).toHaveLength(1);
    dropped.abort();
    await deciding;
    expect(replies.length).toBeGreaterThan(0);
    expect(new Set(replies)).toEqual(new Set(['commit']));
  });
});

/** Two daemons on one log. Expected: one holds a lease, and the other gets it when its time is over or it is given back. */
describe('a lease', () => {
  let under: PostgresLogUnderTest;
  let daemonLog: PostgresDaemonLog;

  beforeEach(async () => {
    under = await postgresLog();
    daemonLog = new PostgresDaemonLog({
      settings: { connectionString: under.server.connectionString(under.database) },
      name: 'test',
      connectTimeoutMs: 5_000,
      runtime: systemRuntime,
    });
  });
  afterEach(async () => {
    await daemonLog.close();
    await under.close();
  });

  const ask = async (holder: string, leaseMs: number): Promise<Record<string, unknown>[]> => {
    const states = await daemonLog.lease({
      names: ['a', 'b'],
      holder,
      holderId: holder,
      leaseMs,
    });
    return states.map(({ name, isOurs, term }) => ({ name, isOurs, term }));
  };

  it('belongs to who came first, is renewed in its term, and ends by its time', async () => {
    const held = [
      { name: 'a', isOurs: true, term: '1' },
      { name: 'b', isOurs: true, term: '1' },
    ];
    expect(await ask('one', 60_000)).toEqual(held);
    expect(await ask('two', 60_000)).toEqual(held.map((one) => ({ ...one, isOurs: false })));
    expect(await ask('one', 1)).toEqual(held);
    await waitFor('the term of one to end', async () =>
      (await ask('two', 60_000)).every(({ isOurs }) => isOurs),
    );
    expect(await ask('two', 60_000)).toEqual(held.map((one) => ({ ...one, term: '2' })));
  });

  it('that is given back is free at once; that of another daemon is not given back', async () => {
    await ask('one', 60_000);
    await daemonLog.release(['a', 'b'], 'two');
    expect(await ask('two', 60_000)).toMatchObject([{ isOurs: false }, { isOurs: false }]);
    await daemonLog.release(['a', 'b'], 'one');
    expect(await ask('two', 60_000)).toMatchObject([{ isOurs: true }, { isOurs: true }]);
  });
});
