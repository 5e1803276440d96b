/**
 * `pgxa force` where nobody can tell how a branch has ended: between the last look at it and the command, orders fails
 * over to an asynchronous standby that never had the branch.
 */
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';

import type { ForceResult } from '../../src/index.ts';
import { BUILD_TIMEOUT_MS, builtCli, startBuilt } from '../support/built-cli.ts';
import { startControlledServer, type TestServer } from '../support/servers.ts';
import { sharedServer } from '../support/shared-server.ts';
import { stopFollowing } from '../support/following.ts';
import { createTriageBank, type Printed, type TriageBank } from '../support/triage-bank.ts';
import { waitFor } from '../support/wait.ts';
import { WireProxy } from '../support/wire-proxy.ts';

vi.setConfig({ testTimeout: 120_000 });

describe('pgxa force of a branch that is lost', () => {
  let primary: TestServer;
  let standby: TestServer;
  let bank: TriageBank;
  let links: Record<'orders' | 'billing', WireProxy>;
  let config: string;
  beforeAll(builtCli, BUILD_TIMEOUT_MS);
  beforeEach(async () => {
    primary = await startControlledServer({ name: 'orders' });
    bank = await createTriageBank({ servers: [primary, await sharedServer()] });
    standby = await primary.createStandby({ name: 'orders-standby' });
    // It never gets the transaction.
    await stopFollowing(standby);
    const linkTo = (name: string): Promise<WireProxy> =>
      WireProxy.inFrontOf(bank.participant(name).connectionString);
    links = { orders: await linkTo('orders'), billing: await linkTo('billing') };
    config = await bank.writeConfig('links.yaml', {
      orders: links.orders.through(bank.participant('orders').connectionString),
      billing: links.billing.through(bank.participant('billing').connectionString),
    });
  });
  afterEach(async () => {
    await Promise.all(Object.values(links).map((link) => link.close()));
    // What is prepared there is rolled back when the bank closes.
    await primary.start();
    await bank.close();
    await standby.destroy();
    await primary.destroy();
  });

  it('exit code 3 and "unknown", recorded as hazard; the other branch is told as what it is', async () => {
    const { id } = await bank.plant({ coordinator: 'retired', decision: 'commit' });
    const failOver = async (): Promise<void> => {
      await primary.kill9();
      await standby.promote();
      links.orders.redirect(standby.connectionString());
    };
    let failedOver: Promise<void> | undefined;
    // The branches are listed once to show them and once more before anything is done; orders is listed first.
    const armed = links.billing.arm({
      kind: 'list',
      nth: 2,
      action: 'hold-request',
      holdMs: 4_000,
      onFired: () => {
        failedOver = failOver();
      },
    });
    const { ended } = await startBuilt(
      ['force', 'rollback', id, '--yes', '--reason', 'x', '--override', '-o', 'json'],
      { PGXA_CONFIG: config },
    );
    const { code, stdout } = await ended;
    expect(armed.fired()).toBe(1);
    await failedOver;
    const result = JSON.parse(stdout) as Printed<ForceResult>;
    expect(result).toMatchObject({
      kind: 'branches',
      branches: [
        {
          participant: 'orders',
          result: 'unknown',
          detail: expect.stringMatching(/timeline .*a failover may have lost it/) as string,
        },
        { participant: 'billing', result: 'forced' },
      ],
    });
    expect(code).toBe(3);
    expect(
      await bank.log.query('select participant, kind from pgxa.heuristic order by participant'),
    ).toEqual([
      { participant: 'billing', kind: 'rollback' },
      { participant: 'orders', kind: 'hazard' },
    ]);
    const ending = await waitFor('the audit of its end', async () => {
      const [row] = await bank.log.query(
        `select after from pgxa.audit where action = 'force rollback ended'`,
      );
      return row;
    });
    expect(ending).toMatchObject({ after: { kind: 'branches' } });
  });
});
