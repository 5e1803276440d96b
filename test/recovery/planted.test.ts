import { randomBytes } from 'node:crypto';
import { v7 as uuidv7 } from 'uuid';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { subscribe, type TransactionManager } from '../../src/index.ts';
import { formatGid } from '../../src/participant/gid.ts';
import { createBank, type Bank } from '../support/bank.ts';
import { plant, rollbackAll } from '../support/planted.ts';

/**
 * Branches planted by hand, as a dead coordinator would have left them, and canaries that look almost like
 * ours. Expected: each of ours ends as its decision says, and no canary is touched.
 */
describe('recovery of planted branches', () => {
  let bank: Bank;
  let tm: TransactionManager;
  let installation = '';

  beforeEach(async () => {
    bank = await createBank();
    tm = await bank.manager();
    const [row] = await bank.log.query('select id from pgxa.installation');
    installation = String(row?.['id']);
  });
  afterEach(async () => {
    for (const participant of bank.participants) await rollbackAll(participant);
    await bank.close();
  });

  async function registerEpoch(retired: boolean): Promise<string> {
    const epoch = randomBytes(8).toString('hex');
    await bank.log.query(
      `insert into pgxa.coordinator (epoch, name, host, pid, version, heartbeat_at, retired_at, retired_by)
       values ($1, 'planted', 'nowhere', 1, '0', clock_timestamp() - interval '1 hour',
               case when $2 then now() end, case when $2 then 'recovery' end)`,
      [epoch, retired],
    );
    return epoch;
  }

  async function decideBy(transactionId: string, epoch: string, outcome: string): Promise<void> {
    await bank.log.query(
      `insert into pgxa.decision (transaction_id, epoch, outcome, decided_by)
       values ($1, $2, $3, 'coordinator')`,
      [transactionId, epoch, outcome],
    );
  }

  const gidOf = (epoch: string, transactionId: string, branch: number): string =>
    formatGid({ installation, epoch, transactionId, branch });

  it.each([
    { fate: 'commit decision', decision: 'commit', retired: true, markers: 1 },
    { fate: 'abort decision', decision: 'abort', retired: true, markers: 0 },
    {
      fate: 'commit decision of an epoch that has run out',
      decision: 'commit',
      retired: false,
      markers: 1,
    },
    { fate: 'no decision, retired epoch', decision: undefined, retired: true, markers: 0 },
    {
      fate: 'no decision, epoch that has run out',
      decision: undefined,
      retired: false,
      markers: 0,
    },
  ])(
    '$fate: $markers markers on each of two participants',
    async ({ decision, retired, markers }) => {
      const epoch = await registerEpoch(retired);
      const transactionId = uuidv7();
      for (const [index, participant] of bank.participants.entries()) {
        await plant(participant, gidOf(epoch, transactionId, index + 1));
      }
      if (decision !== undefined) await decideBy(transactionId, epoch, decision);
      const report = await tm.recover();
      expect(report).toMatchObject({
        complete: true,
        committed: markers * 2,
        rolledBack: markers === 0 ? 2 : 0,
      });
      expect(await bank.inDoubt()).toEqual([]);
      for (const participant of bank.participants) {
        expect(await participant.query('select 1 from marker')).toHaveLength(markers);
      }
      // An abort that recovery decided stands in the register before any branch is rolled back.
      const rows = await bank.log.query(
        'select outcome, decided_by from pgxa.decision where transaction_id = $1',
        [transactionId],
      );
      expect(rows).toEqual([
        decision === undefined
          ? { outcome: 'abort', decided_by: 'recovery' }
          : { outcome: decision, decided_by: 'coordinator' },
      ]);
    },
  );

  it('a branch of a live coordinator that has not decided is left alone', async () => {
    const other = await bank.manager({ coordinator: 'live' });
    const [row] = await bank.log.query(`select epoch from pgxa.coordinator where name = 'live'`);
    const gid = gidOf(String(row?.['epoch']), uuidv7(), 1);
    await plant(bank.participant('orders'), gid);
    const report = await tm.recover();
    expect(report).toMatchObject({ complete: false, left: 1, rolledBack: 0 });
    expect(report.participants['orders']?.left).toMatchObject([{ gid, row: 'F' }]);
    expect(await bank.inDoubt()).toEqual([{ participant: 'orders', gid }]);
    // Its own coordinator knows that it has no such transaction: there it is an orphan.
    expect(await other.recover()).toMatchObject({ complete: true, rolledBack: 1 });
  });

  it('an epoch that the log does not know is reported, not presumed aborted', async () => {
    const gid = gidOf(randomBytes(8).toString('hex'), uuidv7(), 1);
    await plant(bank.participant('orders'), gid);
    const report = await tm.recover();
    expect(report.participants['orders']?.left).toMatchObject([{ gid, row: 'I' }]);
    expect(await bank.inDoubt()).toEqual([{ participant: 'orders', gid }]);
  });

  it('a branch in another database of the same server is not listed', async () => {
    const gid = gidOf(randomBytes(8).toString('hex'), uuidv7(), 1);
    await plant(bank.participant('billing'), gid);
    const { participants } = await tm.recover();
    expect(participants['billing']?.left).toMatchObject([{ gid }]);
    expect(participants['orders']?.left).toEqual([]);
  });

  it('a branch of a day that the log has forgotten is reported, not presumed aborted', async () => {
    const epoch = await registerEpoch(true);
    await bank.log.query(
      `update pgxa.horizon set forgotten_before = date_trunc('day', now() - interval '5 days')`,
    );
    const transactionId = uuidv7({ msecs: Date.now() - 10 * 86_400_000 });
    await plant(bank.participant('orders'), gidOf(epoch, transactionId, 1));
    const { participants, complete } = await tm.recover();
    expect(complete).toBe(false);
    expect(participants['orders']?.left).toMatchObject([{ row: 'J' }]);
    expect(await bank.inDoubt()).toHaveLength(1);
  });

  it('foreign and near-miss names stay', async () => {
    const epoch = await registerEpoch(true);
    const ours = gidOf(epoch, uuidv7(), 1);
    const otherInstallation = installation.replace(/^./, (digit) => (digit === 'a' ? 'b' : 'a'));
    const canaries = [
      ours.toUpperCase(),
      ours.replace('pgxa_', 'pgxaX'),
      ours.replaceAll('_', 'x'),
      `${ours}_1`,
      `${ours} `,
      ` ${ours}`,
      `${ours}'; drop table marker; --`,
      ours.replace(installation, otherInstallation),
      `pgxa_${installation}`,
      `pgxa_${installation}_`,
      'x'.repeat(199),
      '',
      'pg_gid_16394_741',
      'citus_0_1234_4_1',
      '1095_ZXhhbXBsZQ==_YnJhbmNo',
    ];
    const orders = bank.participant('orders');
    for (const gid of canaries) await plant(orders, gid);
    await plant(orders, ours);
    const report = await tm.recover();
    expect(report.participants['orders']).toMatchObject({
      rolledBack: 1,
      foreign: canaries.length,
    });
    expect((await bank.inDoubt()).map(({ gid }) => gid).sort()).toEqual([...canaries].sort());
  });

  it('a branch that somebody rolls back against a commit decision is recorded as heuristic', async () => {
    // Coordinator is held between decision and phase two; a person rolls billing back by hand. Expected:
    // HeuristicOutcomeError (mixed), one row in pgxa.heuristic, and the event.
    const found: unknown[] = [];
    const unsubscribe = subscribe('heuristic:found', (event) => found.push(event));
    const held = await bank.manager(
      { coordinator: 'held' },
      {
        faultHook: async (point) => {
          if (point === 'after-decide') await rollbackAll(bank.participant('billing'));
        },
      },
    );
    await expect(
      held.run(async (tx) => {
        await tx.on('orders').query('insert into marker values ($1)', [tx.id]);
        await tx.on('billing').query('insert into marker values ($1)', [tx.id]);
      }),
    ).rejects.toMatchObject({ name: 'HeuristicOutcomeError', kind: 'mixed' });
    unsubscribe();
    expect(found).toMatchObject([{ participant: 'billing', kind: 'rollback' }]);
    expect(
      await bank.log.query('select participant, kind, decision, found_by from pgxa.heuristic'),
    ).toEqual([
      { participant: 'billing', kind: 'rollback', decision: 'commit', found_by: 'coordinator' },
    ]);
    expect(await bank.participant('orders').query('select 1 from marker')).toHaveLength(1);
  });

  it('recovery that is faster than phase two is no heuristic outcome', async () => {
    const held = await bank.manager(
      { coordinator: 'held' },
      {
        faultHook: async (point) => {
          if (point === 'after-decide') {
            expect(await tm.recover()).toMatchObject({ committed: 2, heuristics: 0 });
          }
        },
      },
    );
    await held.run(async (tx) => {
      await tx.on('orders').query('insert into marker values ($1)', [tx.id]);
      await tx.on('billing').query('insert into marker values ($1)', [tx.id]);
    });
    expect(await bank.log.query('select 1 from pgxa.heuristic')).toEqual([]);
    expect(await bank.inDoubt()).toEqual([]);
  });

  it('recovery that decides abort before the coordinator decides: rolled back, everywhere', async () => {
    // The coordinator is retired while it is held between votes and decision.
    const held = await bank.manager(
      { coordinator: 'held' },
      {
        faultHook: async (point) => {
          if (point !== 'before-decide') return;
          await bank.log.query(
            `update pgxa.coordinator set retired_at = now(), retired_by = 'recovery' where name = 'held'`,
          );
          expect(await tm.recover()).toMatchObject({ rolledBack: 2 });
        },
      },
    );
    let id = '';
    await expect(
      held.run(async (tx) => {
        ({ id } = tx);
        await tx.on('orders').query('insert into marker values ($1)', [tx.id]);
        await tx.on('billing').query('insert into marker values ($1)', [tx.id]);
      }),
    ).rejects.toMatchObject({ code: 'PGXA_DECIDED_ABORT', retryable: true });
    expect(await tm.outcomeOf(id)).toBe('aborted');
    for (const participant of bank.participants) {
      expect(await participant.query('select 1 from marker')).toEqual([]);
    }
  });
});
