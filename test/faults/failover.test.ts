import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { FaultPoint } from '../../src/coordinator/protocol-context.ts';
import {
  createRecoveryDaemon,
  subscribe,
  type TransactionManager,
  type TransactionScope,
} from '../../src/index.ts';
import { checkMarkers } from '../support/atomicity.ts';
import { createBank, type Bank } from '../support/bank.ts';
import { FaultProxy } from '../support/proxy.ts';
import { startControlledServer, type TestServer } from '../support/servers.ts';
import { sharedServer } from '../support/shared-server.ts';
import { catchUp, stopFollowing as stopFollowingOf } from '../support/following.ts';
import { waitFor } from '../support/wait.ts';

/**
 * Billing has an asynchronous standby. At one point of the protocol the standby stops following; later
 * the primary dies, the standby is promoted, and stands behind the same address.
 */
describe('asynchronous failover of a participant', () => {
  let primary: TestServer;
  let standby: TestServer;
  let bank: Bank;
  let address: FaultProxy;

  beforeEach(async () => {
    primary = await startControlledServer({ name: 'billing' });
    bank = await createBank({ servers: [await sharedServer(), primary] });
    standby = await primary.createStandby({ name: 'billing-standby' });
    address = await FaultProxy.inFrontOf(bank.participant('billing').connectionString);
    await catchUp(primary, standby);
  });
  afterEach(async () => {
    await bank.close();
    await address.close();
    await standby.destroy();
    await primary.destroy();
  });

  const stopFollowing = (): Promise<void> => stopFollowingOf(standby);

  async function failOver(): Promise<void> {
    await primary.kill9();
    await standby.promote();
    address.redirect({ host: '127.0.0.1', port: Number(new URL(standby.connectionString()).port) });
  }

  const managerWith = (
    acts: Partial<Record<FaultPoint, () => Promise<void>>>,
  ): Promise<TransactionManager> => {
    const [orders, billing] = [bank.participant('orders'), bank.participant('billing')];
    return bank.manager(
      {
        participants: {
          orders: { connectionString: orders.connectionString },
          billing: { connectionString: address.through(billing.connectionString) },
        },
      },
      {
        faultHook: async (point) => {
          const act = acts[point];
          // Once: later transactions of the same manager run undisturbed.
          acts[point] = undefined as never;
          await act?.();
        },
      },
    );
  };

  const both = async (tx: TransactionScope): Promise<string> => {
    for (const name of ['orders', 'billing']) {
      await tx.on(name).query('insert into marker values ($1)', [tx.id]);
    }
    return tx.id;
  };

  const markersOnStandby = async (): Promise<number> =>
    (await standby.query(bank.participant('billing').database, 'select 1 from marker')).length;

  it('a voted branch is lost: recorded as hazard, told to the caller, nothing guessed', async () => {
    const tm = await managerWith({ 'before-vote': stopFollowing, 'after-decide': failOver });
    await expect(tm.run(both)).rejects.toMatchObject({
      name: 'HeuristicOutcomeError',
      kind: 'hazard',
    });
    expect(await markersOnStandby()).toBe(0);
    expect(await bank.log.query('select participant, kind, decision from pgxa.heuristic')).toEqual([
      { participant: 'billing', kind: 'hazard', decision: 'commit' },
    ]);
  });

  it('a transaction that was committed on both is lost with billing: the daemon notices the new timeline', async () => {
    const daemon = await createRecoveryDaemon({
      name: 'daemon',
      decisionLog: { connectionString: bank.log.connectionString },
      participants: {
        billing: {
          connectionString: address.through(bank.participant('billing').connectionString),
        },
      },
    });
    const changes: unknown[] = [];
    const unsubscribe = subscribe('participant:timeline-changed', (event) => changes.push(event));
    try {
      const tm = await managerWith({});
      await tm.run(both);
      await catchUp(primary, standby);
      await waitFor(
        'the daemon to know the timeline',
        () => daemon.status().participants['billing']?.state === 'listed',
      );
      await stopFollowing();
      const lost = await tm.run(both);
      await failOver();
      await waitFor('the daemon to notice', () => changes.length === 1, { timeoutMs: 20_000 });
      expect(changes).toMatchObject([
        { participant: 'billing', from: '00000001', to: '00000002', lost: 1 },
      ]);
      expect(
        await bank.log.query(
          'select transaction_id::text as id, participant, kind, decision from pgxa.heuristic',
        ),
      ).toEqual([
        {
          id: lost,
          participant: 'billing',
          kind: expect.stringMatching(/^(rollback|hazard)$/) as string,
          decision: 'commit',
        },
      ]);
      expect(await markersOnStandby()).toBe(1);
    } finally {
      unsubscribe();
      await daemon.stop();
    }
  });

  it('a committed branch is prepared again: recovery commits it, the decision was kept', async () => {
    const tm = await managerWith({
      'before-decide': async () => {
        await catchUp(primary, standby);
        await stopFollowing();
      },
    });
    const id = await tm.run(both);
    expect((await checkMarkers(bank, 2)).whole).toEqual(new Set([id]));
    await failOver();
    expect(await markersOnStandby()).toBe(0);
    const report = await tm.recover();
    expect(report).toMatchObject({ complete: true, committed: 1, heuristics: 0 });
    expect(await markersOnStandby()).toBe(1);
    // The manager goes on with the promoted server: same system, another timeline.
    await tm.run({ retry: { attempts: 5 } }, both);
    expect(await markersOnStandby()).toBe(2);
  });

  it('the standby itself is no participant: its empty list is no information', async () => {
    const tm = await managerWith({
      'after-decide': async () => {
        await catchUp(primary, standby);
        // Stale DNS: the address leads to the standby, which is not promoted.
        address.redirect({
          host: '127.0.0.1',
          port: Number(new URL(standby.connectionString()).port),
        });
      },
    });
    const tx = await tm.begin();
    await both(tx);
    expect(await tx.commit()).toMatchObject({ pending: ['billing'] });
    const report = await tm.recover({ wait: false });
    expect(report.participants['billing']).toMatchObject({ status: 'standby' });
    expect(report.complete).toBe(false);
    address.redirect({ host: '127.0.0.1', port: Number(new URL(primary.connectionString()).port) });
    await waitFor('the branch to be committed', async () => {
      const rows = await bank.participant('billing').query('select 1 from marker');
      return rows.length === 1;
    });
    expect(await bank.log.query('select * from pgxa.heuristic')).toEqual([]);
  });
});
