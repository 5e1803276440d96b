/** `pgxa check`: what cron and a monitoring system get. */
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';

import type { CheckResult } from '../../src/index.ts';
import { BUILD_TIMEOUT_MS, builtCli } from '../support/built-cli.ts';
import { plant, SUBSCRIPTION_GID } from '../support/planted.ts';
import { createTriageBank, type TriageBank } from '../support/triage-bank.ts';

// Each command is a process of its own, and the machine may be busy.
vi.setConfig({ testTimeout: 120_000 });

describe('pgxa check', () => {
  let bank: TriageBank;
  beforeAll(builtCli, BUILD_TIMEOUT_MS);
  beforeEach(async () => {
    bank = await createTriageBank();
  });
  afterEach(() => bank.close());

  const half = async (): Promise<string> =>
    bank.writeConfig('half.yaml', {
      orders: bank.participant('orders').connectionString,
      billing: 'postgres://u@127.0.0.1:1/nowhere',
    });

  it('0 while nothing is in doubt, 3 when something is older than the limit, and it names it', async () => {
    expect(await bank.pgxa('check')).toMatchObject({
      code: 0,
      stdout: '0 in doubt, 0 over the limits (orders, billing)\n',
      stderr: '',
    });
    const { id } = await bank.plant({ coordinator: 'live' });
    // Young: transactions are in doubt for moments all the time.
    expect(await bank.pgxa('check', '--age', '1h')).toMatchObject({ code: 0 });
    const found = await bank.pgxa('check', '--age', '0');
    expect(found).toMatchObject({ code: 3 });
    expect(found.stdout).toContain(`${id}  undecided, live coordinator`);
    const { code, data } = await bank.json<CheckResult>('check', '--age', '0s');
    expect(code).toBe(3);
    expect(data).toMatchObject({
      schema: 'pgxa.check/1',
      state: 'found',
      inDoubt: 1,
      transactions: [{ transactionId: id }],
    });
  });

  it('tolerates as many as it is told to, and counts those of others only when asked', async () => {
    await bank.plant({ coordinator: 'silent' });
    await plant(bank.participant('orders'), SUBSCRIPTION_GID);
    expect(await bank.pgxa('check', '--age', '0', '--count', '1')).toMatchObject({ code: 0 });
    expect(await bank.pgxa('check', '--age', '0', '--count', '1', '--foreign')).toMatchObject({
      code: 3,
      stdout: expect.stringMatching(/^1 in doubt, 1 of others, 2 over the limits, /) as string,
    });
    // Without the option nobody has counted them, so there is no figure either.
    const plugin = (...args: readonly string[]) =>
      bank.pgxa('check', '--nagios', '--age', '0', '--count', '1', ...args);
    expect((await plugin()).stdout).toMatch(/ \| in_doubt=1 oldest=\d+s blocked=0\n$/);
    expect((await plugin('--foreign')).stdout).toMatch(/ blocked=0 foreign=1\n$/);
  });

  it('5 when something does not answer and nothing was found; what was found is worth more', async () => {
    const config = await half();
    const partial = await bank.pgxa('check', '--config', config);
    expect(partial).toMatchObject({ code: 5 });
    expect(partial.stdout).toMatch(/billing is unreachable/);
    await bank.plant({ coordinator: 'silent', on: ['orders'] });
    expect(await bank.pgxa('check', '--age', '0', '--config', config)).toMatchObject({ code: 3 });
  });

  it('5 when the log knows a participant that the configuration does not name, and force objects', async () => {
    // Programs have registered orders and billing; the operator's file names orders alone.
    await bank.manager();
    const orders = bank.participant('orders').connectionString;
    const config = ['--config', await bank.writeConfig('one.yaml', { orders })];
    const { id } = await bank.plant({ coordinator: 'silent' });
    const partial = await bank.pgxa('check', '--age', '1h', ...config);
    expect(partial).toMatchObject({ code: 5 });
    expect(partial.stdout).toMatch(/billing is not-configured/);
    expect(partial.stderr).toMatch(/billing is not-configured: the decision log knows it/);
    expect(await bank.pgxa('list', ...config)).toMatchObject({ code: 5 });
    const forced = ['force', 'commit', id, '--yes', '--reason', 'x', ...config];
    expect(await bank.pgxa(...forced)).toMatchObject({
      code: 4,
      stderr: expect.stringMatching(/Objection: participant billing is not-configured/) as string,
    });
    await bank.log.query(`update pgxa.participant set retired_at = now() where name = 'billing'`);
    expect(await bank.pgxa('check', '--age', '1h', ...config)).toMatchObject({ code: 0 });
  });

  it('a hazard counts at any age', async () => {
    await bank.plant({ coordinator: 'unregistered' });
    expect(await bank.pgxa('check', '--age', '1d')).toMatchObject({ code: 3 });
    expect(await bank.pgxa('check', '--age', '1d', '--nagios')).toMatchObject({ code: 2 });
  });

  it('--nagios: one line with data; ok 0, warning 1, critical 2, unknown 3', async () => {
    const ok = await bank.pgxa('check', '--nagios');
    expect(ok).toMatchObject({ code: 0, stderr: '' });
    expect(ok.stdout).toBe(
      'PGXA OK - 0 in doubt, 0 over the limits | in_doubt=0 oldest=0s blocked=0\n',
    );
    const config = await half();
    const unknown = await bank.pgxa('check', '--nagios', '--config', config);
    expect(unknown).toMatchObject({ code: 3 });
    expect(unknown.stdout).toMatch(/^PGXA UNKNOWN - .*billing is unreachable \| .*\n$/);
    await bank.plant({ coordinator: 'silent' });
    const warning = await bank.pgxa('check', '--nagios', '--age', '0');
    expect(warning).toMatchObject({ code: 1 });
    expect(warning.stdout).toMatch(/^PGXA WARNING - 1 in doubt, .* \| in_doubt=1 /);
    const critical = await bank.pgxa('check', '--nagios', '--age', '0', '--critical-age', '0');
    expect(critical).toMatchObject({ code: 2 });
    const broken = await bank.pgxa('check', '--nagios', '--config', '/nowhere.yaml');
    expect(broken).toMatchObject({ code: 3 });
    expect(broken.stdout).toMatch(/^PGXA UNKNOWN/);
  });

  it('refuses limits that it cannot read', async () => {
    for (const args of [
      ['--age', 'soon'],
      ['--count', '-1'],
      ['--critical-age', '1y'],
      // Critical, and not even counted: it would be told as fine.
      ['--age', '5min', '--critical-age', '1min'],
    ]) {
      expect(await bank.pgxa('check', ...args)).toMatchObject({ code: 2, stdout: '' });
    }
    const plugin = bank.pgxa('check', '--nagios', '--age', '5min', '--critical-age', '1min');
    expect(await plugin).toMatchObject({
      code: 3,
      stdout: expect.stringMatching(/^PGXA UNKNOWN - --critical-age is below --age/) as string,
    });
  });
});
