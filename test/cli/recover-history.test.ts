/** `pgxa recover`, `coordinators` and `history`: what recovery sees, who runs, what was decided by whom. */
import { v7 as uuidv7 } from 'uuid';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';

import type {
  CoordinatorState,
  RecoveryReport,
  AuditRecord,
  DecisionRecord,
} from '../../src/index.ts';
import type { ObservedBranch } from '../../cli/triage/observation-text.ts';
import { BUILD_TIMEOUT_MS, builtCli } from '../support/built-cli.ts';
import { plant, SUBSCRIPTION_GID } from '../support/planted.ts';
import { startControlledServer } from '../support/servers.ts';
import { createTriageBank, type TriageBank } from '../support/triage-bank.ts';

// Each command is a process of its own, and the machine may be busy.
vi.setConfig({ testTimeout: 120_000 });

describe('pgxa recover, coordinators, history', () => {
  let bank: TriageBank;
  beforeAll(builtCli, BUILD_TIMEOUT_MS);
  beforeEach(async () => {
    bank = await createTriageBank();
  });
  afterEach(() => bank.close());

  it('recover --dry-run prints every observation with its row, and does nothing', async () => {
    await bank.plant({ coordinator: 'retired', decision: 'commit', on: ['orders'] });
    await bank.plant({ coordinator: 'retired', decision: 'abort', on: ['orders'] });
    await bank.plant({ coordinator: 'live', on: ['orders'] });
    await bank.plant({ coordinator: 'silent', on: ['orders'] });
    await bank.plant({ coordinator: 'retired', on: ['orders'] });
    await bank.plant({ coordinator: 'unregistered', on: ['orders'] });
    await plant(bank.participant('billing'), SUBSCRIPTION_GID);
    const { code, data } = await bank.json<{ observations: ObservedBranch[] }>(
      'recover',
      '--dry-run',
    );
    expect(code).toBe(0);
    const rows = data.observations.map((one) => `${one.row} ${one.action}`);
    expect(rows).toEqual([
      'D commit',
      'E roll-back',
      'F leave',
      'G retire',
      'H win-abort',
      'I report',
      'C leave',
    ]);
    expect(await bank.inDoubt()).toHaveLength(7);
    const { stdout } = await bank.pgxa('recover', '--dry-run');
    expect(stdout).toMatch(/its coordinator is silent and has not decided/);
  });

  it('recover --dry-run on a standby meets row A, and is partial', async () => {
    // The primary holds a branch; its standby lists nothing.
    const primary = await startControlledServer();
    try {
      const standby = await primary.createStandby();
      try {
        const config = await bank.writeConfig('standby.yaml', {
          orders: standby.connectionString('postgres'),
        });
        const { code, data } = await bank.json<{ observations: ObservedBranch[] }>(
          'recover',
          '--dry-run',
          '--config',
          config,
        );
        expect(code).toBe(5);
        expect(data.observations).toMatchObject([
          { participant: 'orders', server: 'standby', row: 'A' },
        ]);
        const list = await bank.pgxa('list', '--config', config);
        expect(list).toMatchObject({ code: 5, stdout: '' });
        expect(list.stderr).toMatch(/orders is standby/);
      } finally {
        await standby.destroy();
      }
    } finally {
      await primary.destroy();
    }
  });

  it('recover makes one pass: 0 when nothing is left, 3 when something is, 5 when one does not answer', async () => {
    await bank.plant({ coordinator: 'silent' });
    expect(await bank.json<RecoveryReport>('recover')).toMatchObject({
      code: 0,
      data: { schema: 'pgxa.recovery/1', rolledBack: 2, left: 0, complete: true },
    });
    await bank.plant({ coordinator: 'live' });
    expect(await bank.pgxa('recover')).toMatchObject({ code: 3 });
    const config = await bank.writeConfig('away.yaml', { orders: 'postgres://u@127.0.0.1:1/x' });
    const away = await bank.pgxa('recover', '--config', config);
    expect(away).toMatchObject({ code: 5 });
    expect(away.stderr).toMatch(/participant orders \(unreachable\)/);
    expect(await bank.inDoubt()).toHaveLength(2);
  });

  it('recover is partial while the log is away, and a dry run says what it cannot show', async () => {
    await bank.plant({ coordinator: 'silent' });
    await plant(bank.participant('billing'), SUBSCRIPTION_GID);
    const places = Object.fromEntries(
      bank.participants.map((one) => [one.name, one.connectionString]),
    );
    const config = await bank.writeConfig('lost.yaml', places, 'postgres://u@127.0.0.1:1/log');
    const pass = await bank.pgxa('recover', '--config', config);
    expect(pass).toMatchObject({ code: 5, stdout: '' });
    expect(pass.stderr).toMatch(/cannot connect to the decision log/);
    const dry = await bank.pgxa('recover', '--dry-run', '--config', config);
    expect(dry.code).toBe(5);
    expect(dry.stderr).toMatch(
      /2 prepared here by pgxa meet no row while the decision log does not/,
    );
    expect(dry.stdout).toMatch(new RegExp(SUBSCRIPTION_GID));
    expect(await bank.inDoubt()).toHaveLength(3);
  });

  it('coordinators tells the live from the silent; retired ones are shown when asked for', async () => {
    const silent = await bank.plant({ coordinator: 'silent' });
    const retired = await bank.plant({ coordinator: 'retired' });
    const tm = await bank.manager({ coordinator: 'running' });
    const { data } = await bank.json<{ coordinators: CoordinatorState[] }>('coordinators');
    const states = data.coordinators.map((one) => [one.name, one.state]);
    expect(states).toEqual([
      ['running', 'live'],
      ['checkout', 'silent'],
    ]);
    const all = (await bank.json<{ coordinators: CoordinatorState[] }>('coordinators', '--all'))
      .data.coordinators;
    expect(all.map(({ epoch }) => epoch)).toEqual(
      expect.arrayContaining([silent.epoch, retired.epoch]),
    );
    await tm.close();
    expect((await bank.pgxa('coordinators', '--all', '-o', 'wide')).stdout).toMatch(
      /running .* retired .* by coordinator/,
    );
  });

  it('history looks a day back unless it is told otherwise: an old transaction that was ended today is in it', async () => {
    const DAY_MS = 86_400_000;
    const epoch = 'a'.repeat(16);
    const decide = async (id: string, by: string, decidedDaysAgo: number): Promise<void> => {
      await bank.log.query('select pgxa.make_partition(pgxa.moment_of($1))', [id]);
      await bank.log.query('alter table pgxa.decision disable trigger decision_is_not_late');
      await bank.log.query(
        `insert into pgxa.decision (transaction_id, epoch, outcome, decided_by, decided_at)
         values ($1, $2, 'commit', $3, clock_timestamp() - $4 * interval '1 day')`,
        [id, epoch, by, decidedDaysAgo],
      );
    };
    const old = uuidv7({ msecs: Date.now() - 3 * DAY_MS });
    const ended = uuidv7({ msecs: Date.now() - 3 * DAY_MS });
    const recent = uuidv7();
    await decide(old, 'coordinator', 3);
    await decide(ended, 'operator', 0);
    await decide(recent, 'coordinator', 0);
    const shown = async (...args: readonly string[]): Promise<string[]> => {
      const { data } = await bank.json<{ decisions: DecisionRecord[] }>('history', ...args);
      return data.decisions.map(({ transactionId }) => transactionId).sort();
    };
    expect(await shown()).toEqual([ended, recent].sort());
    expect(await shown('--since', '4d')).toEqual([old, ended, recent].sort());
    expect(await shown('--until', '2d')).toEqual([]);
    expect(await shown('--until', '60h')).toEqual([old]);
    expect(await shown('--id', old)).toEqual([old]);
  });

  it('history: decisions newest first, chosen by outcome, author, label, time; --audit what was done by hand', async () => {
    const committed = await bank.plant({
      coordinator: 'retired',
      decision: 'commit',
      label: 'order 7',
    });
    const aborted = await bank.plant({ coordinator: 'silent' });
    await bank.pgxa('force', 'rollback', aborted.id, '--yes', '--reason', 'incident 4711');
    const idsOf = async (...args: string[]): Promise<string[]> =>
      (await bank.json<{ decisions: DecisionRecord[] }>('history', ...args)).data.decisions.map(
        (one) => one.transactionId,
      );
    const both = [aborted.id, committed.id];
    const asked: readonly (readonly [string[], string[]])[] = [
      [[], both],
      [['--outcome', 'commit'], [committed.id]],
      [['--by', 'operator'], [aborted.id]],
      [['--label', 'order'], [committed.id]],
      [['--id', committed.id], [committed.id]],
      [['--limit', '1'], [aborted.id]],
      [['--until', '1h'], []],
      [['--since', '1h'], both],
    ];
    for (const [args, ids] of asked) expect([args, await idsOf(...args)]).toEqual([args, ids]);
    const { data } = await bank.json<{ entries: AuditRecord[] }>(
      'history',
      '--audit',
      '--id',
      aborted.id,
    );
    expect(data.entries.map(({ action, reason }) => [action, reason])).toEqual([
      ['force rollback ended', 'incident 4711'],
      ['resolve', undefined],
      ['force rollback begins', 'incident 4711'],
    ]);
    expect((await bank.pgxa('history', '--since', 'yesterday')).code).toBe(2);
    expect((await bank.pgxa('history')).stdout).toMatch(/abort +operator +checkout/);
  });
});
