/**
 * `pgxa doctor` on real servers, about who works and what is prepared: each test makes one thing wrong and expects the
 * finding, what to do, and the exit code.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';

import type { Diagnosis, RecoveryDaemon } from '../../src/index.ts';
import { startDaemon } from '../support/bank-daemon.ts';
import { findingsOf as of, wordsOf as saying } from '../support/diagnosis.ts';
import { BUILD_TIMEOUT_MS, builtCli } from '../support/built-cli.ts';
import { plant } from '../support/planted.ts';
import { startControlledServer, type TestServer } from '../support/servers.ts';
import { createTriageBank, type TriageBank } from '../support/triage-bank.ts';

// Each command is a process of its own, and the machine may be busy.
vi.setConfig({ testTimeout: 120_000, hookTimeout: BUILD_TIMEOUT_MS });

describe('pgxa doctor, of work and doubt', () => {
  let server: TestServer;
  let bank: TriageBank;
  let daemon: RecoveryDaemon | undefined;

  beforeAll(async () => {
    await builtCli();
    server = await startControlledServer({ settings: { max_prepared_transactions: '5' } });
  });
  afterAll(() => server.destroy());
  beforeEach(async () => {
    bank = await createTriageBank({ servers: [server], logServer: server });
  });
  afterEach(async () => {
    await daemon?.stop();
    daemon = undefined;
    await bank.close();
  });

  const examine = (...args: readonly string[]) => bank.json<Diagnosis>('doctor', ...args);

  it('names: another server, one database under two names, one that is not configured, branches elsewhere', async () => {
    const tm = await bank.manager();
    await tm.close();
    const billing = bank.participant('billing');
    const gid = `pgxa_${bank.installation}_${'b'.repeat(16)}_01a1fdf0b3dd7031b78706a1f3277536_1`;
    await plant(billing, gid);
    const swapped = await bank.writeConfig('swapped.yaml', { orders: bank.log.connectionString });
    const other = await examine('--config', swapped);
    expect(other.code).toBe(1);
    expect(of(other.data, 'identity')).toEqual(['orders fault']);
    expect(of(other.data, 'unconfigured')).toEqual(['billing warning']);
    expect(saying(other.data, 'elsewhere')).toMatch(
      new RegExp(
        `database "${billing.database}" of its server holds prepared branches of this log \\(1\\)`,
      ),
    );
    // A log that does not answer cannot tell whose branches they are.
    const dark = await bank.writeConfig(
      'dark.yaml',
      { orders: bank.log.connectionString },
      'postgresql://localhost:1/log',
    );
    expect(saying((await examine('--config', dark)).data, 'elsewhere')).toMatch(
      /prepared branches of some pgxa installation \(1; which one is not known while the log is unreadable\)/,
    );
    const twins = await bank.writeConfig('twins.yaml', {
      orders: bank.participant('orders').connectionString,
      shop: bank.participant('orders').connectionString,
    });
    const both = await examine('--config', twins);
    expect(both.code).toBe(1);
    expect(of(both.data, 'duplicate_name')).toEqual(['orders fault']);
    expect(saying(both.data, 'duplicate_name')).toMatch(/orders and shop are the same database/);
  });

  it('daemons: none ever, one at work, one that is gone; and what it could not do', async () => {
    expect(of((await examine()).data, 'lease')).toEqual(['warning']);
    daemon = await startDaemon(bank);
    expect(of((await examine()).data, 'lease')).toEqual(['billing ok', 'orders ok']);
    await daemon.stop();
    const { code, data } = await examine();
    expect(code).toBe(1);
    expect(of(data, 'lease')).toEqual(['billing fault', 'orders fault']);
    expect(of(data, 'housekeeping')).toEqual(['fault']);
    expect(saying(data, 'lease')).toMatch(/the daemon of box1 is gone since .* -> start it/);
    await bank.log.query(
      `update pgxa.lease set expires_at = now() + interval '1 hour';
       update pgxa.participant set listed_at = now() - interval '10 min'`,
    );
    expect(of((await examine()).data, 'last_pass')).toEqual(['billing fault', 'orders fault']);
  });

  it('coordinators: alive, twice under one name, stale, and of the future', async () => {
    await bank.manager({ coordinator: 'twin' });
    await bank.manager({ coordinator: 'twin' });
    await bank.plant({ coordinator: 'silent', on: ['orders'] });
    const { data } = await examine();
    expect(saying(data, 'coordinators')).toMatch(/2 alive/);
    expect(saying(data, 'duplicate_name')).toMatch(/2 are called twin/);
    expect(of(data, 'stale_epochs')).toEqual(['warning']);
    expect(saying(data, 'stale_epochs')).toMatch(/checkout on app1 pid 4711/);
    await bank.plant({ coordinator: 'live', on: ['orders'] });
    expect(of((await examine()).data, 'future_heartbeat')).toEqual(['warning']);
  });

  it('prepared transactions: foreign ones, a hazard, slots that run out; hostile names are shown escaped', async () => {
    const orders = bank.participant('orders');
    await plant(orders, 'x\u001b[2J\u202epg_gid');
    await bank.plant({ coordinator: 'unregistered' });
    const { code, data } = await examine();
    expect(code).toBe(1);
    expect(of(data, 'foreign')).toEqual(['billing ok', 'orders info']);
    expect(of(data, 'in_doubt')).toEqual(['fault']);
    expect(saying(data, 'in_doubt')).toMatch(
      /contradictory, or a hazard: .* -> pgxa explain [0-9a-f-]{36}/,
    );
    expect(of(data, 'slots')).toEqual(['billing ok', 'orders ok']);
    const escapes = {
      table: '\\u{1b}',
      wide: '\\u{1b}',
      json: '\\u001b',
      jsonl: '\\u001b',
      yaml: '\\e',
    };
    for (const [format, escape] of Object.entries(escapes)) {
      const { stdout } = await bank.pgxa('doctor', '-o', format);
      expect(stdout).toContain(`x${escape}[2J`);
      // eslint-disable-next-line no-control-regex -- that is what must not be there
      expect(stdout).not.toMatch(/[\x1b\u202e]/);
    }
    await plant(orders, 'fourth');
    expect(of((await examine()).data, 'slots')).toEqual(['billing warning', 'orders warning']);
    await plant(orders, 'fifth');
    expect(of((await examine()).data, 'slots')).toEqual(['billing fault', 'orders fault']);
  });
});
