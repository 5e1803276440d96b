/** `pgxa resolve`: what the log decided, or the abort that is won. Off a terminal and on one, alone and in races. */
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';

import type { PlannedStep, Resolution, Survey } from '../../src/index.ts';
import { BUILD_TIMEOUT_MS, builtCli } from '../support/built-cli.ts';
import { plant, rollbackAll, SUBSCRIPTION_GID } from '../support/planted.ts';
import { createTriageBank, type TriageBank } from '../support/triage-bank.ts';

// Each command is a process of its own, and the machine may be busy.
vi.setConfig({ testTimeout: 120_000 });

describe('pgxa resolve', () => {
  let bank: TriageBank;
  beforeAll(builtCli, BUILD_TIMEOUT_MS);
  beforeEach(async () => {
    bank = await createTriageBank();
  });
  afterEach(() => bank.close());

  it('--dry-run prints the plan and changes nothing', async () => {
    await bank.plant({ coordinator: 'retired', decision: 'commit' });
    await bank.plant({ coordinator: 'silent' });
    await bank.plant({ coordinator: 'live' });
    const { code, data } = await bank.json<{ steps: PlannedStep[] }>(
      'resolve',
      '--all',
      '--dry-run',
    );
    expect(code).toBe(0);
    expect(data.steps.map(({ row, action }) => `${row} ${action}`)).toEqual([
      'D commit',
      'D commit',
      'G retire',
      'G retire',
      'F leave',
      'F leave',
    ]);
    expect(await bank.inDoubt()).toHaveLength(6);
    expect(await bank.log.query(`select 1 from pgxa.decision where outcome = 'abort'`)).toEqual([]);
    expect(await bank.log.query('select 1 from pgxa.audit')).toEqual([]);
  });

  it('one id: that transaction alone ends, as decided, on all participants', async () => {
    const chosen = await bank.plant({ coordinator: 'retired', decision: 'commit' });
    const other = await bank.plant({ coordinator: 'retired', decision: 'commit' });
    const { code, data } = await bank.json<Resolution>('resolve', chosen.id, '--yes');
    expect(code).toBe(0);
    expect(data).toMatchObject({ committed: 2, rolledBack: 0, left: [], failed: [] });
    expect((await bank.inDoubt()).map(({ gid }) => gid).sort()).toEqual([...other.gids].sort());
    expect(await bank.markers()).toEqual({ orders: 1, billing: 1 });
  });

  it('without a decision: abort is won in the register by the operator, then rolled back', async () => {
    const { id } = await bank.plant({ coordinator: 'silent' });
    expect(await bank.pgxa('resolve', id, '--yes')).toMatchObject({
      code: 0,
      stdout: '0 committed, 2 rolled back, 0 left in doubt\n',
    });
    expect(await bank.decisionOf(id)).toMatchObject({ outcome: 'abort', decided_by: 'operator' });
    expect(await bank.inDoubt()).toEqual([]);
    expect(await bank.markers()).toEqual({ orders: 0, billing: 0 });
    expect(await bank.log.query('select action, transaction_id from pgxa.audit')).toEqual([
      { action: 'resolve', transaction_id: id },
    ]);
  });

  it('--all leaves live coordinators and what the log does not know alone: exit code 3', async () => {
    await bank.plant({ coordinator: 'silent' });
    const live = await bank.plant({ coordinator: 'live' });
    const unknown = await bank.plant({ coordinator: 'unregistered' });
    const { code, data } = await bank.json<Resolution>('resolve', '--all', '--yes');
    expect(code).toBe(3);
    expect(data).toMatchObject({ rolledBack: 2 });
    expect(data.left.map(({ row }) => row).sort()).toEqual(['F', 'F', 'I', 'I']);
    expect((await bank.inDoubt()).map(({ gid }) => gid).sort()).toEqual(
      [...live.gids, ...unknown.gids].sort(),
    );
  });

  it('refuses without --yes off a terminal, and what is not of this log', async () => {
    const { id } = await bank.plant({ coordinator: 'silent' });
    const unconfirmed = await bank.pgxa('resolve', id);
    expect(unconfirmed).toMatchObject({ code: 4, stdout: '' });
    expect(unconfirmed.stderr).toMatch(/needs --yes/);
    await plant(bank.participant('orders'), SUBSCRIPTION_GID);
    expect(await bank.pgxa('resolve', SUBSCRIPTION_GID, '--yes')).toMatchObject({ code: 4 });
    expect(await bank.pgxa('resolve')).toMatchObject({ code: 2 });
    expect(await bank.pgxa('resolve', id, '--all')).toMatchObject({ code: 2 });
    expect(await bank.inDoubt()).toHaveLength(3);
  });

  it('on a terminal it shows the plan and asks: no is no, yes is yes', async () => {
    const { id } = await bank.plant({ coordinator: 'silent' });
    const no = await bank.onTerminal(['resolve', id], [{ when: '[y/N]', type: 'n\n' }]);
    expect(no).toMatchObject({ code: 4 });
    expect(no.screen).toMatch(/win the abort, roll back/);
    expect(await bank.inDoubt()).toHaveLength(2);
    const yes = await bank.onTerminal(['resolve', id], [{ when: '[y/N]', type: 'y\n' }]);
    expect(yes).toMatchObject({ code: 0 });
    expect(await bank.inDoubt()).toEqual([]);
  });

  it('a participant that does not answer: the others are finished, exit code 5', async () => {
    const { id } = await bank.plant({ coordinator: 'retired', decision: 'commit' });
    const config = await bank.writeConfig('away.yaml', {
      orders: bank.participant('orders').connectionString,
      billing: 'postgres://u@127.0.0.1:1/nowhere',
    });
    const { code, data } = await bank.json<Resolution>('resolve', id, '--yes', '--config', config);
    expect(code).toBe(5);
    expect(data).toMatchObject({ committed: 1, failed: [{ participant: 'billing' }] });
    expect(await bank.markers()).toEqual({ orders: 1, billing: 0 });
  });

  it('a branch that was rolled back by hand is kept as contradictory when the others are finished', async () => {
    const { id } = await bank.plant({ coordinator: 'retired', decision: 'commit' });
    await rollbackAll(bank.participant('billing'));
    const resolved = await bank.json<Resolution>('resolve', id, '--yes');
    expect(resolved).toMatchObject({
      code: 3,
      data: { committed: 1, heuristics: [{ participant: 'billing', kind: 'rollback' }] },
    });
    expect(await bank.markers()).toEqual({ orders: 1, billing: 0 });
    const { data } = await bank.json<Survey>('list');
    expect(data.transactions).toMatchObject([
      {
        transactionId: id,
        verdict: 'contradictory',
        heuristics: [{ participant: 'billing', kind: 'rollback' }],
      },
    ]);
    expect(await bank.pgxa('forget', id, '--yes', '--reason', 'mended')).toMatchObject({ code: 0 });
    expect((await bank.json<Survey>('list')).data.transactions).toEqual([]);
  });

  it('a branch that was rolled back by hand is kept also when no branch of it is left to finish', async () => {
    const { id, gids } = await bank.plant({ coordinator: 'retired', decision: 'commit' });
    await rollbackAll(bank.participant('billing'));
    await bank.participant('orders').query(`commit prepared '${String(gids[0])}'`);
    expect(await bank.pgxa('resolve', id, '--yes')).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('recorded: billing: the decision is commit') as string,
    });
    expect(await bank.log.query('select gid, kind from pgxa.heuristic')).toEqual([
      { gid: gids[1], kind: 'rollback' },
    ]);
    // It is known now.
    expect(await bank.pgxa('resolve', id, '--yes')).toMatchObject({ code: 0 });
  });

  it('raced by recovery and by a second operator: every transaction has one outcome, no heuristic', async () => {
    // 12 transactions, a third of them undecided; three finishers at once.
    const decided = [];
    for (let at = 0; at < 4; at += 1) {
      decided.push(await bank.plant({ coordinator: 'retired', decision: 'commit' }));
      await bank.plant({ coordinator: 'retired', decision: 'abort' });
      await bank.plant({ coordinator: 'silent' });
    }
    const tm = await bank.manager();
    const [first, second, report] = await Promise.all([
      bank.json<Resolution>('resolve', '--all', '--yes'),
      bank.json<Resolution>('resolve', '--all', '--yes'),
      tm.recover(),
    ]);
    expect([first.code, second.code]).toEqual([0, 0]);
    expect(report.heuristics).toBe(0);
    expect(await bank.inDoubt()).toEqual([]);
    expect(await bank.markers()).toEqual({ orders: decided.length, billing: decided.length });
    expect(await bank.log.query('select * from pgxa.heuristic')).toEqual([]);
  });

  it('raced by a live coordinator that is about to decide: the coordinator decides, and commits', async () => {
    // The coordinator is held between the votes and its decision; the operator resolves everything.
    let end: Awaited<ReturnType<typeof bank.pgxa>> | undefined;
    const held = await bank.manager(
      { coordinator: 'held' },
      {
        faultHook: async (point) => {
          if (point === 'before-decide') end = await bank.pgxa('resolve', '--all', '--yes');
        },
      },
    );
    await held.run(async (tx) => {
      await tx.on('orders').query('insert into marker values ($1)', [tx.id]);
      await tx.on('billing').query('insert into marker values ($1)', [tx.id]);
    });
    // Nothing could be done, and nothing was.
    expect(end).toMatchObject({ code: 3 });
    expect(await bank.markers()).toEqual({ orders: 1, billing: 1 });
    expect(await bank.log.query('select * from pgxa.heuristic')).toEqual([]);
  });
});
