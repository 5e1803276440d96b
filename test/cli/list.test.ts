/** `pgxa list`: what is in doubt on real servers, as a person and as a script see it. */
import { v7 as uuidv7 } from 'uuid';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';

import type { Survey } from '../../src/index.ts';
import { BUILD_TIMEOUT_MS, builtCli } from '../support/built-cli.ts';
import { plant, SUBSCRIPTION_GID } from '../support/planted.ts';
import { createTriageBank, type TriageBank } from '../support/triage-bank.ts';

// Each command is a process of its own, and the machine may be busy.
vi.setConfig({ testTimeout: 120_000 });

describe('pgxa list', () => {
  let bank: TriageBank;
  beforeAll(builtCli, BUILD_TIMEOUT_MS);
  beforeEach(async () => {
    bank = await createTriageBank();
  });
  afterEach(() => bank.close());

  it('gives every transaction the verdict that recovery has of it, and changes nothing', async () => {
    // Two participants, one transaction for each verdict; then recovery itself is asked.
    const planted = {
      commit: await bank.plant({ coordinator: 'retired', decision: 'commit', label: 'order 1' }),
      abort: await bank.plant({ coordinator: 'live', decision: 'abort' }),
      'undecided-live': await bank.plant({ coordinator: 'live' }),
      'undecided-dead': await bank.plant({ coordinator: 'silent' }),
      hazard: await bank.plant({ coordinator: 'unregistered' }),
    };
    const { code, data } = await bank.json<Survey>('list');
    expect(code).toBe(0);
    expect(data).toMatchObject({ schema: 'pgxa.survey/1', complete: true, foreign: [] });
    const byId = new Map(data.transactions.map((one) => [one.transactionId, one]));
    for (const [verdict, { id }] of Object.entries(planted)) {
      expect(byId.get(id)).toMatchObject({ verdict, branches: [{}, {}] });
    }
    expect(byId.get(planted.commit.id)).toMatchObject({
      label: 'order 1',
      decision: { decision: 'commit', decidedBy: 'coordinator' },
      coordinator: { name: 'checkout', host: 'app1', pid: 4711, state: 'retired' },
      branches: [
        { participant: 'orders', state: 'prepared', row: 'D', owner: 'postgres' },
        { participant: 'billing', state: 'prepared', row: 'D' },
      ],
    });
    expect(await bank.inDoubt()).toHaveLength(10);
    // It looks for life signs as long as this limit says.
    const tm = await bank.manager({ heartbeatLimitMs: 1_000 });
    const report = await tm.recover();
    const left = report.participants['orders']?.left.map(({ transactionId, row }) => ({
      transactionId,
      row,
    }));
    expect(left).toEqual(
      data.transactions
        .filter(({ verdict }) => ['undecided-live', 'hazard'].includes(verdict))
        .map((one) => ({ transactionId: one.transactionId, row: one.branches[0]?.row })),
    );
    expect(report).toMatchObject({ committed: 2, rolledBack: 4, left: 4 });
  });

  it('shows a person one line for each, the foreign ones apart with their origin, and escapes names', async () => {
    const { id } = await bank.plant({ coordinator: 'silent' });
    const orders = bank.participant('orders');
    const jta = `131077_${Buffer.from('node1:42').toString('base64')}_${Buffer.from('b1').toString('base64')}`;
    const hostile = "x\u001b[2J\u202e'; drop table marker; --";
    for (const gid of [jta, SUBSCRIPTION_GID, 'citus_0_1234_4_1', hostile]) {
      await plant(orders, gid);
    }
    const { code, stdout, stderr } = await bank.pgxa('list');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const line = stdout.split('\n').find((one) => one.startsWith(id));
    expect(line).toMatch(/undecided, dead coordinator .*<1%.* orders billing +postgres +checkout/);
    expect(stdout).toMatch(/hands off/);
    expect(stdout).toMatch(/Narayana.*format=131077 gtrid=node1:42 bqual=b1/);
    expect(stdout).toMatch(new RegExp(`logical replication.*${SUBSCRIPTION_GID}`));
    expect(stdout).toMatch(/Citus.*citus_0_1234_4_1/);
    expect(stdout).toContain('x\\u{1b}[2J\\u{202e}');
    const everything = [stdout, ...(await outputs(['json', 'jsonl', 'yaml', 'wide']))].join('');
    // eslint-disable-next-line no-control-regex -- that is what must not be there
    expect(everything).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f\u202e]/);
    expect((await bank.json<Survey>('list')).data.foreign.map(({ gid }) => gid)).toContain(hostile);
  });

  async function outputs(formats: readonly string[]): Promise<string[]> {
    return Promise.all(
      formats.map(async (format) => (await bank.pgxa('list', '-o', format)).stdout),
    );
  }

  it('counts who is blocked: those who wait for the branch, and those who wait behind them', async () => {
    const { id, waiters } = await bank.plantBlocking();
    const { transactions } = (await bank.json<Survey>('list')).data;
    expect(transactions).toMatchObject([{ transactionId: id, blocked: waiters.length }]);
  });

  it('is partial with exit code 5 when a participant does not answer, and says which', async () => {
    const { id } = await bank.plant({ coordinator: 'silent' });
    const config = await bank.writeConfig('away.yaml', {
      orders: bank.participant('orders').connectionString,
      billing: 'postgres://u:topsecret@127.0.0.1:1/nowhere',
    });
    const table = await bank.pgxa('list', '--config', config);
    expect(table).toMatchObject({ code: 5 });
    expect(table.stdout).toContain(id);
    expect(table.stderr).toMatch(/partial: participant billing is unreachable/);
    expect(table.stdout + table.stderr).not.toContain('topsecret');
    const { code, data } = await bank.json<Survey>('list', '--config', config);
    expect(code).toBe(5);
    expect(data).toMatchObject({
      complete: false,
      participants: [
        { name: 'orders', status: 'listed' },
        { name: 'billing', status: 'unreachable' },
      ],
    });
  });

  it('goes on without the log: branches are shown, no verdict is invented, exit code 5', async () => {
    const { id } = await bank.plant({ coordinator: 'retired', decision: 'commit' });
    const places = Object.fromEntries(
      bank.participants.map((one) => [one.name, one.connectionString]),
    );
    const config = await bank.writeConfig('lost.yaml', places, 'postgres://u@127.0.0.1:1/log');
    const { code, data } = await bank.json<Survey>('list', '--config', config);
    expect(code).toBe(5);
    expect(data).toMatchObject({
      log: { status: 'unreachable' },
      transactions: [{ transactionId: id, verdict: 'unknown', branches: [{}, {}] }],
    });
  });

  it('takes another server behind a registered name for no information', async () => {
    // The log knows orders as a database that has been replaced by another one.
    const tm = await bank.manager();
    await tm.close();
    await bank.plant({ coordinator: 'silent' });
    const config = await bank.writeConfig('swapped.yaml', {
      orders: bank.participant('billing').connectionString,
    });
    const { code, data } = await bank.json<Survey>('list', '--config', config);
    expect(code).toBe(5);
    expect(data.participants).toMatchObject([
      { name: 'orders', status: 'other-server' },
      { name: 'billing', status: 'not-configured' },
    ]);
    expect(data.transactions).toEqual([]);
  });

  it('says on stderr that nothing is in doubt; wrong options are exit code 2', async () => {
    expect(await bank.pgxa('list')).toMatchObject({
      code: 0,
      stdout: '',
      stderr: 'nothing is in doubt on orders, billing\n',
    });
    expect(await bank.pgxa('list', '-o', 'xml')).toMatchObject({ code: 2, stdout: '' });
    expect(await bank.pgxa('list', '--timeout', '-1')).toMatchObject({ code: 2, stdout: '' });
  });

  it('works with the rights of a monitor, who can write nothing', async () => {
    const { id } = await bank.plant({ coordinator: 'silent' });
    const [role] = await bank.log.query(
      `select 'monitor_' || replace(gen_random_uuid()::text, '-', '') as name`,
    );
    const name = String(role?.['name']);
    await bank.log.query(`create role ${name} login password 'monitor-secret'`);
    try {
      await bank.log.query(`grant usage on schema pgxa to ${name}`);
      await bank.log.query(`grant select on all tables in schema pgxa to ${name}`);
      const places = Object.fromEntries(
        bank.participants.map((one) => [one.name, one.connectionString]),
      );
      const url = bank.log.server.connectionString(bank.log.database, {
        user: name,
        password: 'monitor-secret',
      });
      const config = await bank.writeConfig('monitor.yaml', places, url);
      const { code, data } = await bank.json<Survey>('list', '--config', config);
      expect(data.log).toEqual({ status: 'reachable' });
      expect(code).toBe(0);
      expect(data.transactions).toMatchObject([{ transactionId: id, verdict: 'undecided-dead' }]);
    } finally {
      await bank.log.query(`drop owned by ${name}`);
      await bank.log.query(`drop role ${name}`);
    }
  });

  it('a transaction that began long before today is found as well', async () => {
    const id = uuidv7({ msecs: Date.now() - 20 * 86_400_000 });
    await bank.plant({ coordinator: 'silent', id });
    const { data } = await bank.json<Survey>('list');
    expect(data.transactions).toMatchObject([{ transactionId: id, verdict: 'undecided-dead' }]);
  });
});
