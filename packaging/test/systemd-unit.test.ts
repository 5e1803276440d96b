/**
 * The real unit under a real systemd: one container, one PostgreSQL server beside it with a log and two participants,
 * coordinators in processes that are killed. scripts/packaging.sh makes image and engine.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { createBank, type Bank } from '../../test/support/bank.ts';
import { startCoordinator } from '../../test/support/child.ts';
import { FaultProxy } from '../../test/support/proxy.ts';
import { waitFor } from '../../test/support/wait.ts';
import { SystemdContainer, type UnitState } from './systemd-container.ts';

const IMAGE = process.env['PGXA_SYSTEMD_IMAGE'] ?? 'pgxa/systemd:local';
const PASSWORD = 'Pa55word-of-the-test';
const UNIT = 'pgxa-daemon.service';

describe('the unit pgxa-daemon.service', () => {
  let container: SystemdContainer;
  let bank: Bank;

  beforeAll(async () => {
    bank = await createBank();
    container = await SystemdContainer.boot(IMAGE);
    await container.write('/etc/pgxa/pgxa.yaml', config());
    for (const { name, connectionString } of [bank.log, ...bank.participants]) {
      await container.write(`/etc/pgxa/credentials/${name}`, withPassword(connectionString), 0o600);
    }
    // For the test alone: seconds in place of minutes. Nothing else of the unit is changed.
    await container.write(
      `/etc/systemd/system/${UNIT}.d/test.conf`,
      '[Service]\nWatchdogSec=6\nRestartSec=100ms\n',
    );
    await container.sh('systemctl daemon-reload');
  }, 240_000);
  afterAll(async () => {
    await container.remove();
    await bank.close();
  });

  const config = (interval = 500): string => `
decisionLog: { connectionString: { credential: pgxa_log } }
participants:
  orders: { connectionString: { credential: pgxa_orders } }
  billing: { connectionString: { credential: pgxa_billing } }
daemon: { name: under-systemd, intervalMs: ${interval}, leaseMs: 1000, http: { port: 0 } }
`;

  const active = (description: string, is: (state: UnitState) => boolean) =>
    waitFor(
      description,
      async () => {
        const state = await container.state();
        return state.ActiveState === 'active' && is(state);
      },
      { timeoutMs: 40_000, intervalMs: 200 },
    );

  /** A coordinator in its own process is killed between its decision and its second phase. */
  const crashCoordinator = async (): Promise<void> => {
    const child = startCoordinator(bank, {
      fault: { point: 'after-decide', hit: 3, signal: 'SIGKILL' },
      transactions: 3,
      concurrency: 1,
      writers: 2,
    });
    expect(await child.ended).toBe('SIGKILL');
    expect(child.count('fault')).toBe(1);
    const id = child.events.at(-1)?.id ?? '';
    await waitFor('nothing in doubt', async () => (await bank.inDoubt()).length === 0, {
      timeoutMs: 15_000,
    });
    for (const one of bank.participants) {
      const rows = await one.query('select 1 from marker where transaction_id = $1', [id]);
      expect(rows).toHaveLength(1);
    }
  };

  it('starts as it is, tells READY and its state, and is exposed no more than 2.0', async () => {
    await container.sh(`systemctl start ${UNIT}`);
    await active('the status line', ({ StatusText }) =>
      StatusText.includes('0 in doubt; working on 2 of 2'),
    );
    const security = await container.sh(`systemd-analyze security --threshold=20 ${UNIT}`);
    expect(security).toMatch(/Overall exposure level for .*: [01]\.\d/);
    const { MainPID } = await container.state();
    const user = await container.sh(`stat -c %u /proc/${MainPID}`);
    expect(Number(user.trim())).toBeGreaterThan(60_000);
  });

  it('finishes what a killed coordinator left in doubt', async () => {
    await crashCoordinator();
  });

  it('killed with SIGKILL it is started again, and goes on finishing', async () => {
    const before = await container.state();
    await container.sh(`kill -KILL ${before.MainPID}`);
    await active('another process', ({ MainPID, NRestarts }) => {
      return MainPID !== before.MainPID && Number(NRestarts) > Number(before.NRestarts);
    });
    await crashCoordinator();
  });

  it('frozen it is killed by the watchdog and started again', async () => {
    const before = await container.state();
    await container.sh(`kill -STOP ${before.MainPID}`);
    await active('another process', ({ MainPID }) => MainPID !== before.MainPID);
    const journal = await container.journal();
    expect(journal.map(({ MESSAGE }) => MESSAGE).join('\n')).toMatch(/Watchdog timeout/);
    await crashCoordinator();
  });

  it('refuses a bad new configuration and takes a good one, without a restart', async () => {
    const before = await container.state();
    await container.write('/etc/pgxa/pgxa.yaml', `${config()}bogus: 1\n`);
    await container.sh(`systemctl reload ${UNIT}`);
    await waitFor('the refusal in the journal', async () =>
      (await container.journal()).some(
        ({ MESSAGE, PRIORITY }) =>
          PRIORITY === '3' && MESSAGE.includes('refused') && MESSAGE.includes('bogus: unknown key'),
      ),
    );
    await active('to say so', ({ StatusText }) =>
      StatusText.startsWith('new configuration refused'),
    );
    await container.write('/etc/pgxa/pgxa.yaml', config(400));
    await container.sh(`systemctl reload ${UNIT}`);
    await waitFor('the reload in the journal', async () =>
      (await container.journal()).some(({ MESSAGE }) => MESSAGE.includes('reloaded the config')),
    );
    await active('the same process', ({ MainPID }) => MainPID === before.MainPID);
    await crashCoordinator();
  });

  it('writes its log with priorities, as JSON, and no secret in it', async () => {
    const journal = await container.journal();
    const lines = journal.filter(({ MESSAGE }) => MESSAGE.startsWith('{'));
    const entries = lines.map(({ MESSAGE, PRIORITY }) => ({
      priority: PRIORITY,
      level: (JSON.parse(MESSAGE) as { level: string }).level,
    }));
    expect(entries).toContainEqual({ priority: '6', level: 'info' });
    expect(entries).toContainEqual({ priority: '3', level: 'error' });
    expect(journal.map(({ MESSAGE }) => MESSAGE).join('\n')).not.toContain(PASSWORD);
  });

  it('asked to stop it says so, gives its leases back and ends with 0', async () => {
    await container.sh(`systemctl stop ${UNIT}`);
    expect(await container.state()).toMatchObject({
      ActiveState: 'inactive',
      Result: 'success',
      ExecMainStatus: '0',
    });
    const leases = await bank.log.query(
      'select 1 from pgxa.lease where expires_at > clock_timestamp()',
    );
    expect(leases).toHaveLength(0);
  });

  it('started while the log is away it waits, is not ready, and says why, until the log is there', async () => {
    const proxy = await FaultProxy.inFrontOf(bank.log.connectionString);
    try {
      proxy.goAway();
      await container.write('/etc/pgxa/pgxa.yaml', config());
      await container.write(
        '/etc/pgxa/credentials/log',
        withPassword(proxy.through(bank.log.connectionString)),
        0o600,
      );
      await container.sh(`systemctl start --no-block ${UNIT}`);
      await waitFor('to say what it waits for', async () => {
        const { ActiveState, StatusText } = await container.state();
        return ActiveState === 'activating' && StatusText.includes('waits for the decision log');
      });
      proxy.comeBack();
      await active('ready', ({ StatusText }) => StatusText.includes('0 in doubt'));
    } finally {
      await container.sh(`systemctl stop ${UNIT}`);
      await proxy.close();
    }
  });

  it('with a configuration that cannot work it is not started again and again', async () => {
    await container.write('/etc/pgxa/pgxa.yaml', 'participants: {}\n');
    await container.say(`systemctl start ${UNIT}`);
    await waitFor('the unit to have failed', async () => {
      const { ActiveState, ExecMainStatus } = await container.state();
      return ActiveState === 'failed' && ExecMainStatus === '2';
    });
  });
});

/** The server trusts whoever comes: the password is there to be looked for. */
function withPassword(connectionString: string): string {
  const url = new URL(connectionString);
  url.password = PASSWORD;
  return url.href;
}
