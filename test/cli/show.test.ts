/** `pgxa show` and `pgxa explain`: everything about one transaction. */
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';

import type { Explanation } from '../../src/index.ts';
import { BUILD_TIMEOUT_MS, builtCli } from '../support/built-cli.ts';
import { plant, rollbackAll, SUBSCRIPTION_GID } from '../support/planted.ts';
import { createTriageBank, type TriageBank } from '../support/triage-bank.ts';

// Each command is a process of its own, and the machine may be busy.
vi.setConfig({ testTimeout: 120_000 });

describe('pgxa show and explain', () => {
  let bank: TriageBank;
  beforeAll(builtCli, BUILD_TIMEOUT_MS);
  beforeEach(async () => {
    bank = await createTriageBank();
  });
  afterEach(() => bank.close());

  it('names locks, rows and the whole chain of those who wait', async () => {
    const { id, gids, waiters } = await bank.plantBlocking();
    const { code, data } = await bank.json<Explanation>('show', id);
    expect(code).toBe(0);
    expect(data).toMatchObject({ schema: 'pgxa.explanation/1', transaction: { blocked: 3 } });
    const [direct, behind, alter] = waiters;
    const blocked = data.transaction?.branches[0]?.blocked ?? [];
    expect(blocked).toHaveLength(3);
    const byPid = new Map(blocked.map((one) => [one.pid, one]));
    expect(byPid.get(direct ?? 0)).toMatchObject({
      depth: 1,
      blockedBy: [0],
      query: 'update item set n = 2 where id = 1',
    });
    expect(byPid.get(behind ?? 0)).toMatchObject({ depth: 2, blockedBy: [direct] });
    expect(byPid.get(alter ?? 0)).toMatchObject({
      depth: 1,
      waitsFor: 'public.item, AccessExclusiveLock',
    });
    expect(blocked.every(({ waitMs }) => (waitMs ?? -1) >= 0)).toBe(true);
    expect(data.details).toMatchObject([{ participant: 'orders', gid: gids[0] }]);
    expect(data.details[0]?.locks).toContainEqual({
      kind: 'relation',
      object: 'public.item',
      mode: 'RowExclusiveLock',
      count: 1,
    });
    const { stdout } = await bank.pgxa('show', id);
    expect(stdout).toMatch(/Sessions blocked on orders:/);
    expect(stdout).toMatch(new RegExp(`^ {2}${behind} .*${direct}`, 'm'));
    expect(stdout).toMatch(/relation +public\.item +RowExclusiveLock +1/);
  });

  it('shows the keys of rows that the branch has updated, where the table can be read', async () => {
    const { id } = await bank.plantBlocking();
    const [rows] = (await bank.json<Explanation>('show', id)).data.details[0]?.rows ?? [];
    // ALTER TABLE waits for the lock, and readers wait behind it: then it is said that it cannot be seen.
    expect(rows?.relation).toBe('public.item');
    expect(rows?.rows.length === 1 || rows?.error !== undefined).toBe(true);
    const account = bank.participant('billing');
    const planted = await bank.plant({ coordinator: 'live', on: ['billing'] });
    await rollbackAll(account);
    await account.query(
      `begin; update account set balance = 1 where id = 7; prepare transaction '${String(planted.gids[0])}'`,
    );
    const [seen] = (await bank.json<Explanation>('show', planted.id)).data.details[0]?.rows ?? [];
    expect(seen).toMatchObject({ relation: 'public.account', rows: ['{"id": 7}'], hasMore: false });
    const [without] = (await bank.json<Explanation>('show', planted.id, '--no-rows')).data.details;
    expect(without?.rows).toEqual([]);
  });

  it.each([
    [
      'commit',
      { coordinator: 'retired', decision: 'commit' },
      /The decision is commit: made by its coordinator/,
      'resolve',
    ],
    [
      'abort',
      { coordinator: 'retired', decision: 'abort' },
      /The decision is abort: made by/,
      'resolve',
    ],
    [
      'undecided-dead',
      { coordinator: 'silent' },
      /coordinator is silent.*checkout on app1, pid 4711/,
      'resolve',
    ],
    ['undecided-live', { coordinator: 'live' }, /coordinator is alive/, undefined],
    ['hazard', { coordinator: 'unregistered' }, /log does not know its epoch/, undefined],
  ] as const)('explains %s, with the one safe command', async (verdict, state, reason, verb) => {
    const { id } = await bank.plant(state);
    const { data } = await bank.json<Explanation>('explain', id);
    expect(data.transaction?.verdict).toBe(verdict);
    expect(data.reason).toMatch(reason);
    expect(data.consequence).not.toBe('');
    expect(data.command).toBe(verb === undefined ? undefined : `pgxa ${verb} ${id}`);
    const { stdout } = await bank.pgxa('explain', id);
    expect(stdout).toMatch(
      /^Transaction .*\n\nVerdict: .*\nReason: .*\nConsequence: .*\nRecovery: /,
    );
    if (verdict !== 'hazard') expect(stdout).toMatch(/no daemon works on orders/i);
  });

  it('a branch that somebody rolled back against the decision makes it contradictory', async () => {
    // Decided commit; billing is rolled back by hand; orders is still prepared.
    const { id } = await bank.plant({ coordinator: 'retired', decision: 'commit' });
    await rollbackAll(bank.participant('billing'));
    const { data } = await bank.json<Explanation>('show', id);
    expect(data.transaction).toMatchObject({
      verdict: 'contradictory',
      branches: [
        { participant: 'orders', state: 'prepared' },
        { participant: 'billing', state: 'rolled-back' },
      ],
    });
  });

  it('finds by prefix and by gid, refuses what is ambiguous or unknown, and decided ones are found too', async () => {
    const { id, gids } = await bank.plant({ coordinator: 'silent' });
    const digits = id.replaceAll('-', '');
    for (const name of [id.slice(0, 25), digits.slice(0, 24), String(gids[1])]) {
      expect((await bank.json<Explanation>('explain', name)).data.transaction?.transactionId).toBe(
        id,
      );
    }
    const other = await bank.plant({ coordinator: 'silent' });
    const common = Array.from(id).findIndex((letter, at) => letter !== other.id[at]);
    const ambiguous = await bank.pgxa('show', id.slice(0, Math.max(4, common)));
    expect(ambiguous).toMatchObject({ code: 1, stdout: '' });
    expect(ambiguous.stderr).toMatch(/fits 2: /);
    expect((await bank.pgxa('show', 'ffffffff')).stderr).toMatch(/nothing is called "ffffffff"/);
    const tm = await bank.manager();
    await tm.recover();
    const { data } = await bank.json<Explanation>('show', id);
    expect(data.transaction).toMatchObject({
      verdict: 'abort',
      decision: { decidedBy: 'recovery' },
    });
    expect(data.command).toBeUndefined();
  });

  it('shows what a terminal would act on by its number, in errors too', async () => {
    const orders = bank.participant('orders');
    await plant(orders, 'odd\u001b[2J\u202e1');
    await plant(orders, 'odd\u001b[2J\u202e2');
    const { code, stderr } = await bank.pgxa('show', 'odd');
    expect(code).toBe(1);
    expect(stderr).toContain('"odd\\u001b[2J\\u202e1" on orders');
    const refused = await bank.pgxa('resolve', 'odd\u001b[2J\u202e1', '--yes');
    expect(refused).toMatchObject({ code: 4 });
    // eslint-disable-next-line no-control-regex -- that is what must not be there
    expect(stderr + refused.stderr).not.toMatch(/[\x1b\u202e]/);
  });

  it('says of a foreign one where it comes from, and to leave it alone', async () => {
    await plant(bank.participant('orders'), SUBSCRIPTION_GID);
    const { code, stdout } = await bank.pgxa('show', SUBSCRIPTION_GID);
    expect(code).toBe(0);
    expect(stdout).toMatch(/Verdict: +foreign/);
    expect(stdout).toMatch(/Hands off: never finish it by hand/);
    expect(stdout).toMatch(/Safe command: none\n/);
  });
});
