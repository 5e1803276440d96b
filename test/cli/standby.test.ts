/**
 * One server with the log and both participants, and a streaming standby of it. The configuration leads to the
 * standby, for a participant or for the log. Expected: nothing there is information, nothing is done, and it is
 * said what to do.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';

import type { Diagnosis, Survey } from '../../src/index.ts';
import { BUILD_TIMEOUT_MS, builtCli } from '../support/built-cli.ts';
import { catchUp } from '../support/following.ts';
import { startControlledServer, type TestServer } from '../support/servers.ts';
import { createTriageBank, type TriageBank } from '../support/triage-bank.ts';
import { rollbackAll } from '../support/planted.ts';

// Each command is a process of its own, and the machine may be busy.
vi.setConfig({ testTimeout: 120_000, hookTimeout: BUILD_TIMEOUT_MS });

const CONFIRMED = ['--yes', '--reason', 'incident 4711'];

describe('pgxa before a standby', () => {
  let primary: TestServer;
  let standby: TestServer;
  let bank: TriageBank;
  /** billing is the standby. */
  let before: readonly string[];

  beforeAll(async () => {
    await builtCli();
    primary = await startControlledServer();
    bank = await createTriageBank({ servers: [primary], logServer: primary });
    standby = await primary.createStandby();
    const [orders, billing] = [bank.participant('orders'), bank.participant('billing')];
    const config = await bank.writeConfig('standby.yaml', {
      orders: orders.connectionString,
      billing: standby.connectionString(billing.database),
    });
    before = ['--config', config];
  });
  afterAll(async () => {
    await standby.destroy();
    await bank.close();
    await primary.destroy();
  });
  beforeEach(async () => {
    for (const one of bank.participants) await rollbackAll(one);
  });

  it('list is partial, never empty good news', async () => {
    await bank.plant({ coordinator: 'silent', on: ['billing'] });
    await catchUp(primary, standby);
    const { code, data } = await bank.json<Survey>('list', ...before);
    expect(code).toBe(5);
    expect(data).toMatchObject({ complete: false, transactions: [] });
    expect(data.participants).toMatchObject([{ status: 'listed' }, { status: 'standby' }]);
  });

  it('force is refused, and says why; nothing is decided or ended', async () => {
    const { id } = await bank.plant({ coordinator: 'silent' });
    await catchUp(primary, standby);
    for (const way of ['commit', 'rollback']) {
      const end = await bank.pgxa('force', way, id, ...CONFIRMED, ...before);
      expect(end).toMatchObject({ code: 4, stdout: '' });
      expect(end.stderr).toMatch(/refused: participant billing is standby: it may hold a branch/);
    }
    expect(await bank.decisionOf(id)).toBeUndefined();
    expect(await bank.inDoubt()).toHaveLength(2);
  });

  it('a transaction whose branches all are on the standby cannot be seen, and the error says so', async () => {
    const { id } = await bank.plant({ coordinator: 'silent', on: ['billing'] });
    await catchUp(primary, standby);
    for (const args of [
      ['force', 'rollback', id, ...CONFIRMED, '--override'],
      ['resolve', id, '--yes'],
      ['explain', id],
    ]) {
      const end = await bank.pgxa(...args, ...before);
      expect(end).toMatchObject({ code: 1, stdout: '' });
      expect(end.stderr).toContain('billing is a standby, which lists nothing');
    }
    expect(await bank.inDoubt()).toHaveLength(1);
  });

  it('resolve ends what it can see, leaves the standby alone, and ends with 5', async () => {
    const { id } = await bank.plant({ coordinator: 'retired', decision: 'commit' });
    await catchUp(primary, standby);
    const end = await bank.pgxa('resolve', id, '--yes', ...before);
    expect(end).toMatchObject({ code: 5 });
    expect(end.stderr).toMatch(/partial: participant billing is standby: .*connect to the primary/);
    expect(end.stdout).toMatch(/^1 committed, 0 rolled back, 0 left in doubt/);
    expect(await bank.inDoubt()).toMatchObject([{ participant: 'billing' }]);
    expect(await bank.pgxa('resolve', id, '--yes')).toMatchObject({ code: 0 });
    expect(await bank.inDoubt()).toEqual([]);
  });

  it('a log that is a standby: force and resolve are refused, nothing is recorded', async () => {
    const { id } = await bank.plant({ coordinator: 'silent' });
    await catchUp(primary, standby);
    const places = Object.fromEntries(
      bank.participants.map((one) => [one.name, one.connectionString]),
    );
    const log = standby.connectionString(bank.log.database);
    const config = ['--config', await bank.writeConfig('log.yaml', places, log)];
    const forced = await bank.pgxa('force', 'rollback', id, ...CONFIRMED, '--override', ...config);
    expect(forced).toMatchObject({ code: 4, stdout: '' });
    expect(forced.stderr).toMatch(/the decision log is a standby .*connect to the primary/);
    const resolved = await bank.pgxa('resolve', '--all', '--yes', ...config);
    expect(resolved).toMatchObject({ code: 5, stdout: '' });
    expect(await bank.decisionOf(id)).toBeUndefined();
    expect(await bank.inDoubt()).toHaveLength(2);
    const { code, data } = await bank.json<Diagnosis>('doctor', ...config);
    expect(code).toBe(1);
    expect(data.findings[0]).toMatchObject({ severity: 'fault', subject: 'log', check: 'primary' });
  });

  it('doctor: the standby is a fault, an asynchronous one behind a log a warning, a promoted one is told', async () => {
    const tm = await bank.manager();
    await tm.close();
    const wrong = await bank.json<Diagnosis>('doctor', ...before);
    expect(wrong.code).toBe(1);
    expect(wrong.data.findings).toContainEqual({
      severity: 'fault',
      subject: 'participant',
      participant: 'billing',
      check: 'primary',
      found: 'it is a standby: nothing can be written there, and it lists no prepared transaction',
      action: 'point the configuration to the primary',
    });
    const right = await bank.json<Diagnosis>('doctor');
    expect(right.data.findings).toContainEqual(
      expect.objectContaining({ subject: 'log', check: 'standbys', severity: 'warning' }),
    );
    // A login without pg_monitor sees that there is one, and no more.
    await primary.query('postgres', 'create role plain login');
    const plain = Object.fromEntries(
      bank.participants.map(({ name, database }) => [
        name,
        primary.connectionString(database, { user: 'plain' }),
      ]),
    );
    const config = ['--config', await bank.writeConfig('plain.yaml', plain)];
    const seen = await bank.json<Diagnosis>('doctor', ...config);
    expect(seen.data.findings).toContainEqual(
      expect.objectContaining({ participant: 'orders', check: 'standbys', severity: 'info' }),
    );
    await catchUp(primary, standby);
    await standby.promote();
    const promoted = await bank.json<Diagnosis>('doctor', ...before);
    expect(promoted.data.findings).toContainEqual(
      expect.objectContaining({
        participant: 'billing',
        check: 'timeline',
        severity: 'warning',
        found: expect.stringMatching(/from timeline 00000001 to 00000002/) as string,
      }),
    );
  });
});
