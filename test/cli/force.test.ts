/** `pgxa force` and `pgxa forget`: decisions by hand, their guards, their audit, and every race they can lose. */
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';

import type { ForceResult, Survey } from '../../src/index.ts';
import { BUILD_TIMEOUT_MS, builtCli } from '../support/built-cli.ts';
import { plant, rollbackAll, SUBSCRIPTION_GID } from '../support/planted.ts';
import { createTriageBank, type TriageBank } from '../support/triage-bank.ts';

// Each command is a process of its own, and the machine may be busy.
vi.setConfig({ testTimeout: 120_000 });

const CONFIRMED = ['--yes', '--reason', 'incident 4711'];

describe('pgxa force', () => {
  let bank: TriageBank;
  beforeAll(builtCli, BUILD_TIMEOUT_MS);
  beforeEach(async () => {
    bank = await createTriageBank();
  });
  afterEach(() => bank.close());

  const heuristics = (): Promise<Record<string, unknown>[]> =>
    bank.log.query('select participant, kind, decision from pgxa.heuristic order by participant');
  const audit = (): Promise<Record<string, unknown>[]> =>
    bank.log.query(
      'select action, reason, role_name, transaction_id, before, after from pgxa.audit order by id',
    );

  it('commits an undecided transaction of a dead coordinator through the register, with its evidence', async () => {
    const { id } = await bank.plant({ coordinator: 'silent' });
    const asked = await bank.pgxa('force', 'commit', id);
    expect(asked).toMatchObject({ code: 4, stdout: '' });
    expect(asked.stderr).toMatch(/Note: its idempotency key, if it had one, .* does it twice/);
    const { code, data } = await bank.json<Record<string, unknown>>(
      'force',
      'commit',
      id,
      ...CONFIRMED,
    );
    expect(code).toBe(0);
    expect(data).toMatchObject({
      schema: 'pgxa.force/1',
      kind: 'decided',
      resolution: { committed: 2 },
    });
    expect(await bank.markers()).toEqual({ orders: 1, billing: 1 });
    const [system] = await bank.log.query(
      'select system_identifier::text as id from pg_control_system()',
    );
    expect(await bank.decisionOf(id)).toMatchObject({
      outcome: 'commit',
      decided_by: 'operator',
      branches: [
        { participant: 'orders', branch: 1, system: system?.['id'], timeline: '00000001' },
        { participant: 'billing', branch: 2 },
      ],
    });
    // The recorded xids are those under which the markers were committed.
    const { branches } = (await bank.decisionOf(id)) as { branches: { xid: string }[] };
    for (const [at, participant] of bank.participants.entries()) {
      const [row] = await participant.query('select xmin::text as xid from marker');
      expect(branches[at]?.xid).toBe(row?.['xid']);
    }
    expect(await heuristics()).toEqual([]);
    expect(await audit()).toMatchObject([
      { action: 'force commit begins', reason: 'incident 4711', transaction_id: id, after: null },
      { action: 'resolve' },
      { action: 'force commit ended', after: { kind: 'decided' } },
    ]);
  });

  it('rolls an undecided one back by winning the abort', async () => {
    const { id } = await bank.plant({ coordinator: 'silent' });
    expect(await bank.pgxa('force', 'rollback', id, ...CONFIRMED)).toMatchObject({ code: 0 });
    expect(await bank.decisionOf(id)).toMatchObject({ outcome: 'abort', decided_by: 'operator' });
    expect(await bank.markers()).toEqual({ orders: 0, billing: 0 });
    expect(await bank.inDoubt()).toEqual([]);
  });

  it.each([
    ['a live coordinator holds it', { coordinator: 'live' }, 'commit', /is alive/],
    [
      'the log decided otherwise',
      { coordinator: 'retired', decision: 'commit' },
      'rollback',
      /log decided commit/,
    ],
    [
      'the log does not know its epoch',
      { coordinator: 'unregistered' },
      'commit',
      /does not know its epoch/,
    ],
  ] as const)('refuses when %s, and changes nothing', async (_, state, way, why) => {
    const { id } = await bank.plant(state);
    const before = await bank.decisionOf(id);
    const end = await bank.pgxa('force', way, id, ...CONFIRMED);
    expect(end).toMatchObject({ code: 4, stdout: '' });
    expect(end.stderr).toMatch(why);
    // The evidence was shown before.
    expect(end.stderr).toMatch(/Branches:[^]*orders[^]*billing/);
    expect(await bank.inDoubt()).toHaveLength(2);
    expect(await bank.decisionOf(id)).toEqual(before);
    expect(await audit()).toEqual([]);
  });

  it('refuses in any case when the log does not answer, and what is not of this log', async () => {
    const { id } = await bank.plant({ coordinator: 'silent' });
    const places = Object.fromEntries(
      bank.participants.map((one) => [one.name, one.connectionString]),
    );
    const config = await bank.writeConfig('lost.yaml', places, 'postgres://u@127.0.0.1:1/log');
    const lost = await bank.pgxa(
      'force',
      'rollback',
      id,
      ...CONFIRMED,
      '--override',
      '--config',
      config,
    );
    expect(lost).toMatchObject({ code: 4, stdout: '' });
    expect(lost.stderr).toMatch(/the decision log does not answer/);
    // Whether it has a heuristic outcome is not known: nothing is said about that.
    const forgotten = await bank.pgxa('forget', id, ...CONFIRMED, '--config', config);
    expect(forgotten).toMatchObject({ code: 5, stdout: '' });
    expect(forgotten.stderr).toMatch(/nothing can be acknowledged while the decision log does not/);
    expect(forgotten.stderr).not.toMatch(/there is no heuristic outcome/);
    await plant(bank.participant('orders'), SUBSCRIPTION_GID);
    const foreign = await bank.pgxa(
      'force',
      'rollback',
      SUBSCRIPTION_GID,
      ...CONFIRMED,
      '--override',
    );
    expect(foreign).toMatchObject({ code: 4 });
    expect(await bank.inDoubt()).toHaveLength(3);
  });

  it('refuses while a participant does not answer or is another server: a branch may hide there', async () => {
    const tm = await bank.manager();
    await tm.close();
    const { id } = await bank.plant({ coordinator: 'silent', on: ['orders'] });
    const orders = bank.participant('orders').connectionString;
    for (const [billing, status] of [
      ['postgres://u@127.0.0.1:1/nowhere', 'unreachable'],
      [bank.log.connectionString, 'other-server'],
    ] as const) {
      const config = await bank.writeConfig('part.yaml', { orders, billing });
      const end = await bank.pgxa('force', 'commit', id, ...CONFIRMED, '--config', config);
      expect(end).toMatchObject({ code: 4, stdout: '' });
      expect(end.stderr).toContain(`participant billing is ${status}`);
    }
    expect(await bank.decisionOf(id)).toBeUndefined();
  });

  it('off a terminal it needs --yes and --reason; on one the id typed back', async () => {
    const { id } = await bank.plant({ coordinator: 'silent' });
    expect(await bank.pgxa('force', 'rollback', id)).toMatchObject({ code: 4 });
    expect(await bank.pgxa('force', 'rollback', id, '--yes')).toMatchObject({ code: 4 });
    expect(await bank.pgxa('force', 'rollback', id, '--reason', 'x')).toMatchObject({ code: 4 });
    const wrong = await bank.onTerminal(
      ['force', 'rollback', id, '--reason', 'x', '--yes'],
      [{ when: 'go on:', type: 'yes\n' }],
    );
    expect(wrong.code).toBe(4);
    expect(await bank.inDoubt()).toHaveLength(2);
    const right = await bank.onTerminal(
      ['force', 'rollback', id],
      [
        { when: 'for the audit:', type: 'incident 4711\n' },
        { when: 'go on:', type: `${id}\n` },
      ],
    );
    expect(right.code).toBe(0);
    expect(await bank.inDoubt()).toEqual([]);
    expect(await audit()).toMatchObject([{ reason: 'incident 4711' }, {}, {}]);
  });

  it('--override against a commit: branches are rolled back, each is recorded as heuristic', async () => {
    const { id } = await bank.plant({ coordinator: 'retired', decision: 'commit' });
    const { code, data } = await bank.json<Record<string, unknown>>(
      'force',
      'rollback',
      id,
      ...CONFIRMED,
      '--override',
    );
    expect(code).toBe(0);
    expect(data).toMatchObject({
      kind: 'branches',
      branches: [{ result: 'forced' }, { result: 'forced' }],
    });
    expect(await bank.markers()).toEqual({ orders: 0, billing: 0 });
    expect(await heuristics()).toEqual([
      { participant: 'billing', kind: 'rollback', decision: 'commit' },
      { participant: 'orders', kind: 'rollback', decision: 'commit' },
    ]);
    // The register stands; the transaction shows as contradictory until it is forgotten.
    expect(await bank.decisionOf(id)).toMatchObject({ outcome: 'commit' });
    expect((await bank.json<Survey>('list')).data.transactions).toMatchObject([
      { transactionId: id, verdict: 'contradictory' },
    ]);
  });

  it('--override of a live coordinator: its epoch is fenced first, and its commit loses', async () => {
    // Held between votes and decision, while an operator forces the abort.
    let end: Awaited<ReturnType<typeof bank.pgxa>> | undefined;
    const held = await bank.manager(
      { coordinator: 'held' },
      {
        faultHook: async (point, id) => {
          if (point !== 'before-decide') return;
          end = await bank.pgxa('force', 'rollback', id, ...CONFIRMED, '--override');
        },
      },
    );
    await expect(
      held.run(async (tx) => {
        await tx.on('orders').query('insert into marker values ($1)', [tx.id]);
        await tx.on('billing').query('insert into marker values ($1)', [tx.id]);
      }),
    ).rejects.toMatchObject({ code: 'PGXA_DECIDED_ABORT' });
    expect(end).toMatchObject({ code: 0 });
    expect(await bank.markers()).toEqual({ orders: 0, billing: 0 });
    expect(await heuristics()).toEqual([]);
  });

  it('--override commits under a live coordinator, which then obeys', async () => {
    let end: Awaited<ReturnType<typeof bank.pgxa>> | undefined;
    const held = await bank.manager(
      { coordinator: 'held' },
      {
        faultHook: async (point, id) => {
          if (point !== 'before-decide') return;
          end = await bank.pgxa('force', 'commit', id, ...CONFIRMED, '--override');
        },
      },
    );
    await held.run(async (tx) => {
      await tx.on('orders').query('insert into marker values ($1)', [tx.id]);
      await tx.on('billing').query('insert into marker values ($1)', [tx.id]);
    });
    expect(end).toMatchObject({ code: 0 });
    expect(await bank.markers()).toEqual({ orders: 1, billing: 1 });
    expect(await heuristics()).toEqual([]);
  });

  it('of a day that the log has forgotten: refused, then the branches alone with --override, and no decision', async () => {
    const id = uuidv7({ msecs: Date.now() - 9 * 86_400_000 });
    await bank.plant({ coordinator: 'retired', id });
    await bank.log.query(`update pgxa.horizon set forgotten_before = now() - interval '8 days'`);
    const resolved = await bank.pgxa('resolve', id, '--yes');
    expect(resolved).toMatchObject({ code: 3 });
    for (const way of ['commit', 'rollback']) {
      const end = await bank.pgxa('force', way, id, ...CONFIRMED);
      expect(end).toMatchObject({ code: 4, stdout: '' });
      expect(end.stderr).toMatch(/older than the memory of the log: it may have been decided/);
      expect(end.stderr).toMatch(/--override with a reason, as the last resort/);
    }
    expect(await bank.inDoubt()).toHaveLength(2);
    const { code, data } = await bank.json<ForceResult>(
      'force',
      'rollback',
      id,
      ...CONFIRMED,
      '--override',
    );
    expect(code).toBe(0);
    expect(data).toMatchObject({
      kind: 'branches',
      branches: [{ result: 'forced' }, { result: 'forced' }],
    });
    expect(await bank.inDoubt()).toEqual([]);
    expect(await bank.markers()).toEqual({ orders: 0, billing: 0 });
    // The register is shut for that day, and nothing is known that it could be against.
    expect(await bank.decisionOf(id)).toBeUndefined();
    expect(await heuristics()).toEqual([]);
    expect(await audit()).toMatchObject([
      { action: 'force rollback begins', before: { override: true } },
      { action: 'force rollback ended', after: { kind: 'branches' } },
    ]);
  });

  it('what the log decided anyway is not forced: it is carried out', async () => {
    const { id } = await bank.plant({ coordinator: 'retired', decision: 'commit' });
    const end = await bank.pgxa('force', 'commit', id);
    expect(end).toMatchObject({ code: 0 });
    expect(end.stderr).toMatch(/nothing has to be forced/);
    expect(await heuristics()).toEqual([]);
    expect(await bank.pgxa('force', 'commit', id, ...CONFIRMED)).toMatchObject({ code: 4 });
  });

  it('raced by recovery: one outcome on all participants, whoever wins, and no false heuristic', async () => {
    // Undecided, dead: recovery wants abort, the operator commit. Decided: recovery commits, the operator rolls back.
    const undecided = await bank.plant({ coordinator: 'silent' });
    const decided = await bank.plant({ coordinator: 'retired', decision: 'commit' });
    const tm = await bank.manager();
    const [forced, against] = await Promise.all([
      bank.pgxa('force', 'commit', undecided.id, ...CONFIRMED),
      bank.pgxa('force', 'rollback', decided.id, ...CONFIRMED, '--override'),
      tm.recover(),
    ]);
    await tm.recover();
    expect(await bank.inDoubt()).toEqual([]);
    const decision = await bank.decisionOf(undecided.id);
    // Refused, because there was nothing left or recovery had decided; or done.
    expect([0, 4]).toContain(forced.code);
    if (forced.code === 0)
      expect(decision).toMatchObject({ outcome: 'commit', decided_by: 'operator' });
    const rolledBack = (await heuristics()).filter(({ kind }) => kind === 'rollback').length;
    if (against.code === 0) expect(rolledBack).toBe(2);
    const committed = decision?.['outcome'] === 'commit' ? 1 : 0;
    const markers = await bank.markers();
    // Each branch that is missing is a recorded one, and no other is recorded.
    expect(4 - rolledBack - (committed === 1 ? 0 : 2)).toBe(
      Number(markers['orders']) + Number(markers['billing']),
    );
  });

  it('works with the rights of pgxa_operator alone: resolve, force, forget, recover', async () => {
    const sql = await readFile(new URL('../../sql/roles.sql', import.meta.url), 'utf8');
    const owner = new pg.Client({ connectionString: bank.log.connectionString });
    await owner.connect();
    const name = `alice_${randomBytes(4).toString('hex')}`;
    try {
      await owner.query(sql);
      await owner.query(`create role ${name} login password 'operator-secret'`);
      await owner.query(`grant pgxa_operator to ${name}`);
      const url = bank.log.server.connectionString(bank.log.database, {
        user: name,
        password: 'operator-secret',
      });
      const places = Object.fromEntries(
        bank.participants.map((one) => [one.name, one.connectionString]),
      );
      const config = ['--config', await bank.writeConfig('operator.yaml', places, url)];
      const undecided = await bank.plant({ coordinator: 'silent' });
      const decided = await bank.plant({ coordinator: 'retired', decision: 'commit' });
      const against = await bank.plant({ coordinator: 'retired', decision: 'commit' });
      const live = await bank.plant({ coordinator: 'live' });
      for (const args of [
        ['resolve', decided.id, '--yes'],
        ['force', 'commit', undecided.id, ...CONFIRMED],
        ['force', 'rollback', against.id, ...CONFIRMED, '--override'],
        ['force', 'commit', live.id, ...CONFIRMED, '--override'],
        ['forget', against.id, ...CONFIRMED],
        ['recover'],
        ['history', '--audit'],
        ['coordinators'],
        ['check'],
      ]) {
        const end = await bank.pgxa(...args, ...config);
        expect({ args, ...end }).toMatchObject({ args, code: 0 });
      }
      expect(await bank.markers()).toEqual({ orders: 3, billing: 3 });
      expect(new Set((await audit()).map(({ role_name }) => role_name))).toEqual(new Set([name]));
    } finally {
      await owner.query(`drop owned by ${name}`).catch(() => undefined);
      await owner.query(`drop role if exists ${name}`);
      await owner.end();
    }
  });

  it('forget acknowledges a heuristic outcome, once, with a reason; it is another verb on purpose', async () => {
    const { id } = await bank.plant({ coordinator: 'retired', decision: 'commit' });
    expect(await bank.pgxa('forget', id, ...CONFIRMED)).toMatchObject({ code: 4, stdout: '' });
    await rollbackAll(bank.participant('billing'));
    await bank.json<Record<string, unknown>>('force', 'rollback', id, ...CONFIRMED, '--override');
    expect(await bank.pgxa('forget', id, '--yes')).toMatchObject({ code: 4 });
    expect(await bank.pgxa('forget', id, '--reason', 'x')).toMatchObject({ code: 4 });
    const { code, data } = await bank.json<{ forgotten: object[] }>('forget', id, ...CONFIRMED);
    expect(code).toBe(0);
    expect(data.forgotten).toMatchObject([{ participant: 'orders', kind: 'rollback' }]);
    expect(await bank.json<Survey>('list')).toMatchObject({ code: 0, data: { transactions: [] } });
    expect(await bank.pgxa('forget', id, ...CONFIRMED)).toMatchObject({ code: 4 });
    expect((await audit()).at(-1)).toMatchObject({ action: 'forget', reason: 'incident 4711' });
  });
});
