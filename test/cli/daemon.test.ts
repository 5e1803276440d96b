/**
 * `pgxa daemon` in a process of its own, one log and two participants on real servers: its signals, its
 * HTTP face, its log and its exit codes.
 */
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { createBank, type Bank } from '../support/bank.ts';
import { startCoordinator } from '../support/child.ts';
import { runCli, startCli, temporaryFolder, type CliProcess, type Folder } from '../support/cli.ts';
import { FaultProxy } from '../support/proxy.ts';
import { waitFor } from '../support/wait.ts';

interface Settings {
  readonly log?: string;
  readonly orders?: string;
  readonly daemon?: string;
}

describe('pgxa daemon', () => {
  let bank: Bank;
  let folder: Folder;
  let file: string;
  let daemons: CliProcess[] = [];

  beforeEach(async () => {
    bank = await createBank();
    folder = await temporaryFolder();
    file = await configure();
  });
  afterEach(async () => {
    for (const { process: child } of daemons) child.kill('SIGKILL');
    await Promise.all(daemons.map(({ ended }) => ended));
    daemons = [];
    await bank.close();
    await folder.remove();
  });

  const configure = (settings: Settings = {}): Promise<string> =>
    folder.write(
      'pgxa.yaml',
      `decisionLog: { connectionString: '${settings.log ?? bank.log.connectionString}' }
participants:
  orders: { connectionString: '${settings.orders ?? bank.participant('orders').connectionString}' }
  billing: { connectionString: '${bank.participant('billing').connectionString}' }
connectTimeoutMs: 1000
daemon: ${settings.daemon ?? '{ name: tested, http: { port: 0 }, intervalMs: 200, leaseMs: 1000 }'}
`,
    );

  const start = (env: NodeJS.ProcessEnv = {}): CliProcess => {
    const daemon = startCli(['daemon', '--config', file], env);
    daemons.push(daemon);
    return daemon;
  };

  const ask = async (daemon: CliProcess, path: string, init: RequestInit = {}) => {
    const { url } = await daemon.saying('answers on HTTP');
    const response = await fetch(`${String(url)}${path}`, init);
    return { status: response.status, text: await response.text() };
  };

  it('finishes what a killed coordinator left, counts it, and ends with 0 on SIGTERM', async () => {
    const daemon = start();
    await daemon.saying('ready');
    const child = startCoordinator(bank, {
      fault: { point: 'after-decide', hit: 2, signal: 'SIGKILL' },
      transactions: 2,
      concurrency: 1,
      writers: 2,
    });
    expect(await child.ended).toBe('SIGKILL');
    await waitFor('nothing in doubt', async () => (await bank.inDoubt()).length === 0);
    const finished = await daemon.saying('finished a branch');
    expect(finished).toMatchObject({ level: 'info', decision: 'commit' });
    // It may have come before the living coordinator at the first transaction, too.
    const told = (): number =>
      daemon
        .log()
        .filter(({ msg, participant }) => msg === 'finished a branch' && participant === 'orders')
        .length;
    const metric =
      /^pgxa_recovered_branches_total\{participant="orders",decision="commit"\} (\d+)$/m;
    await waitFor('the metric to count what the log tells', async () => {
      const counted = metric.exec((await ask(daemon, '/metrics')).text)?.[1];
      return told() > 0 && Number(counted) === told();
    });
    daemon.process.kill('SIGTERM');
    expect(await daemon.ended).toBe(0);
    expect(daemon.log().at(-1)).toMatchObject({ msg: 'has stopped' });
  });

  it('answers probes: live, ready, ready for a participant, and nothing but GET', async () => {
    const daemon = start();
    await daemon.saying('ready');
    expect(await ask(daemon, '/livez')).toMatchObject({ status: 200 });
    const ready = await ask(daemon, '/readyz');
    expect(ready.status).toBe(200);
    expect(JSON.parse(ready.text)).toMatchObject({
      ready: true,
      participants: { orders: { ready: true, lease: 'held', state: 'listed' } },
    });
    expect(await ask(daemon, '/readyz/orders')).toMatchObject({ status: 200 });
    expect(await ask(daemon, '/readyz/nobody')).toMatchObject({ status: 404 });
    expect(await ask(daemon, '/livez', { method: 'HEAD' })).toEqual({ status: 200, text: '' });
    expect(await ask(daemon, '/livez', { method: 'OPTIONS' })).toMatchObject({ status: 204 });
    expect(await ask(daemon, '/livez', { method: 'POST' })).toMatchObject({ status: 405 });
    expect(await ask(daemon, '/')).toMatchObject({ status: 404 });
  });

  it('with a token nobody is answered without it, and `daemon health` knows it', async () => {
    const token = 'a-token-of-the-test';
    await folder.write('token', `${token}\n`);
    const port = await import('../support/free-port.ts').then(({ freePort }) => freePort());
    await configure({ daemon: `{ http: { host: 0.0.0.0, port: ${port}, tokenFile: token } }` });
    const daemon = start();
    await daemon.saying('ready');
    const url = `http://127.0.0.1:${port}/metrics`;
    expect((await fetch(url)).status).toBe(401);
    expect((await fetch(url, { headers: { authorization: 'Bearer wrong' } })).status).toBe(401);
    const headers = { authorization: `Bearer ${token}` };
    expect((await fetch(url, { headers })).status).toBe(200);
    expect(await runCli(['daemon', 'health', '--ready', '--config', file])).toMatchObject({
      code: 0,
      stderr: '',
    });
    daemon.process.kill('SIGKILL');
    await daemon.ended;
    expect(await runCli(['daemon', 'health', '--config', file])).toMatchObject({ code: 1 });
    expect(daemon.stdout()).not.toContain(token);
  });

  it('a participant does not answer at start: ready, not ready for it, says so, works when it is back', async () => {
    const proxy = await FaultProxy.inFrontOf(bank.participant('orders').connectionString);
    proxy.goAway();
    await configure({ orders: proxy.through(bank.participant('orders').connectionString) });
    const daemon = start();
    expect(await daemon.saying('ready, but not for these')).toMatchObject({
      level: 'warn',
      participants: ['orders'],
    });
    expect(await daemon.saying('cannot work on a participant')).toMatchObject({ level: 'error' });
    expect(await ask(daemon, '/readyz')).toMatchObject({ status: 200 });
    expect(await ask(daemon, '/readyz/orders')).toMatchObject({ status: 503 });
    expect((await ask(daemon, '/metrics')).text).toContain(
      'pgxa_participant_state{participant="orders",state="unreachable"} 1',
    );
    proxy.comeBack();
    await waitFor('to be ready for it', async () => {
      return (await ask(daemon, '/readyz/orders')).status === 200;
    });
    await daemon.saying('can work on the participant again');
    daemon.process.kill('SIGTERM');
    expect(await daemon.ended).toBe(0);
    await proxy.close();
  });

  it('the log does not answer at start: waits, alive and not ready, and stops with 0 when asked', async () => {
    const proxy = await FaultProxy.inFrontOf(bank.log.connectionString);
    proxy.goAway();
    await configure({ log: proxy.through(bank.log.connectionString) });
    const [waiting, stopped] = [start(), start()];
    for (const daemon of [waiting, stopped]) {
      await daemon.saying('the decision log does not answer, trying again');
      expect(await ask(daemon, '/livez')).toMatchObject({ status: 200 });
      expect(await ask(daemon, '/readyz')).toMatchObject({ status: 503 });
      expect((await ask(daemon, '/metrics')).text).toContain('pgxa_decision_log_up 0');
    }
    stopped.process.kill('SIGTERM');
    expect(await stopped.ended).toBe(0);
    proxy.comeBack();
    await waiting.saying('ready');
    // And again while it runs.
    proxy.goAway();
    await waitFor('not to be ready', async () => (await ask(waiting, '/readyz')).status === 503);
    expect(await ask(waiting, '/livez')).toMatchObject({ status: 200 });
    proxy.comeBack();
    await waitFor('to be ready again', async () => (await ask(waiting, '/readyz')).status === 200);
    await proxy.close();
  });

  it('SIGHUP: a bad file is refused with every problem, a good one is taken by the same process', async () => {
    const daemon = start();
    await daemon.saying('ready');
    await folder.write('pgxa.yaml', 'bogus: 1\n');
    daemon.process.kill('SIGHUP');
    const refused = await daemon.saying('is refused');
    expect(refused.level).toBe('error');
    expect(String(refused['err'])).toContain('bogus: unknown key');
    expect(String(refused['err'])).toContain('decisionLog');
    expect(await ask(daemon, '/readyz')).toMatchObject({ status: 200 });
    expect((await ask(daemon, '/metrics')).text).toContain('pgxa_config_last_reload_successful 0');
    await configure({
      daemon: '{ name: renamed, http: { port: 0 }, intervalMs: 100, leaseMs: 1000 }',
    });
    daemon.process.kill('SIGHUP');
    await daemon.saying('reloaded the configuration');
    await waitFor('the new daemon to hold the leases', async () => {
      const { text } = await ask(daemon, '/readyz/orders');
      const { lease, holder } = JSON.parse(text) as { lease: string; holder: string };
      return lease === 'held' && holder === 'renamed';
    });
    daemon.process.kill('SIGTERM');
    expect(await daemon.ended).toBe(0);
  });

  it('SIGHUP with a log that cannot be used keeps the old one', async () => {
    const daemon = start();
    await daemon.saying('ready');
    await configure({ log: bank.participant('orders').connectionString });
    daemon.process.kill('SIGHUP');
    const refused = await daemon.saying('is refused');
    expect(refused['err']).toMatchObject({ code: 'PGXA_LOG_NOT_MIGRATED' });
    expect(await ask(daemon, '/readyz')).toMatchObject({ status: 200 });
  });

  it('an unmigrated log is a clear error and exit code 1', async () => {
    await configure({ log: bank.participant('orders').connectionString });
    const daemon = start();
    expect(await daemon.ended).toBe(1);
    expect(daemon.log().at(-1)).toMatchObject({
      level: 'fatal',
      err: { code: 'PGXA_LOG_NOT_MIGRATED' },
    });
  });

  it('a log of a newer version is a clear error and exit code 1', async () => {
    await bank.log.query(
      `insert into pgxa.migrations (id, name, hash, executed_at)
       select max(id) + 1, 'newer', 'hash', now() from pgxa.migrations`,
    );
    const daemon = start();
    expect(await daemon.ended).toBe(1);
    expect(daemon.log().at(-1)).toMatchObject({ err: { code: 'PGXA_LOG_TOO_NEW' } });
  });

  it('no right to finish a branch (42501): left, and log and metric say which grant is missing', async () => {
    const orders = bank.participant('orders');
    const role = `poor_${randomBytes(4).toString('hex')}`;
    await orders.query(`create role ${role} login`);
    const url = new URL(orders.connectionString);
    url.username = role;
    url.password = '';
    await configure({ orders: url.href });
    const child = startCoordinator(bank, {
      fault: { point: 'after-decide', hit: 1, signal: 'SIGKILL' },
      transactions: 1,
      concurrency: 1,
      writers: 2,
    });
    expect(await child.ended).toBe('SIGKILL');
    const daemon = start();
    const trouble = await daemon.saying('a branch cannot be finished');
    expect(trouble).toMatchObject({ level: 'error', participant: 'orders' });
    expect(JSON.stringify(trouble)).toMatch(/grant .* to the role that pgxa connects as/);
    expect((await ask(daemon, '/metrics')).text).toContain(
      'pgxa_branch_errors_total{participant="orders",phase="finish",sqlstate_class="42"} 1',
    );
    expect((await bank.inDoubt()).map(({ participant }) => participant)).toEqual(['orders']);
    await orders.query(`grant postgres to ${role}`);
    daemon.process.kill('SIGTERM');
    expect(await daemon.ended).toBe(0);
    const next = start();
    await waitFor('nothing in doubt', async () => (await bank.inDoubt()).length === 0);
    next.process.kill('SIGTERM');
    await next.ended;
    await orders.query(`drop role ${role}`);
  });

  it('another server behind a name: left alone, and an alarm in log, metrics and readiness', async () => {
    const before = start();
    await before.saying('ready');
    before.process.kill('SIGTERM');
    expect(await before.ended).toBe(0);
    await configure({ orders: bank.log.connectionString });
    const daemon = start();
    const trouble = await daemon.saying('cannot work on a participant');
    expect(trouble).toMatchObject({
      level: 'error',
      participant: 'orders',
      err: { code: 'PGXA_PARTICIPANT_IDENTITY' },
    });
    await daemon.saying('ready, but not for these');
    expect((await ask(daemon, '/metrics')).text).toContain(
      'pgxa_participant_state{participant="orders",state="other-server"} 1',
    );
  });
});
