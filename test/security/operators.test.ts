/**
 * S14 and S15: what the audit tells of an operator who is killed (kill -9) in the middle of `pgxa force`, and that two
 * who want opposite things get one winner. Every operator is a process of the shipped command line.
 */
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';

import { BUILD_TIMEOUT_MS, builtCli, startBuilt } from '../support/built-cli.ts';
import { createTriageBank, type TriageBank } from '../support/triage-bank.ts';
import { WireProxy, type WireRule } from '../support/wire-proxy.ts';

// Each command is a process of its own, and the machine may be busy.
vi.setConfig({ testTimeout: 120_000 });

const YES = ['--yes', '--reason', 'incident 4711'];
const OVERRIDE = [...YES, '--override'];

describe('operators', () => {
  let bank: TriageBank;
  let links: Record<'log' | 'orders' | 'billing', WireProxy>;
  let config: string;
  beforeAll(builtCli, BUILD_TIMEOUT_MS);
  beforeEach(async () => {
    bank = await createTriageBank();
    const linkTo = (connectionString: string): Promise<WireProxy> =>
      WireProxy.inFrontOf(connectionString);
    links = {
      log: await linkTo(bank.log.connectionString),
      orders: await linkTo(bank.participant('orders').connectionString),
      billing: await linkTo(bank.participant('billing').connectionString),
    };
    const through = (name: 'orders' | 'billing'): string =>
      links[name].through(bank.participant(name).connectionString);
    config = await bank.writeConfig(
      'links.yaml',
      { orders: through('orders'), billing: through('billing') },
      links.log.through(bank.log.connectionString),
    );
  });
  afterEach(async () => {
    await bank.close();
    await Promise.all(Object.values(links).map((link) => link.close()));
  });

  const audit = async (): Promise<unknown[]> =>
    (await bank.log.query('select action from pgxa.audit order by id')).map(({ action }) => action);
  const heuristics = (): Promise<Record<string, unknown>[]> =>
    bank.log.query('select participant, kind from pgxa.heuristic order by participant');

  /** An operator who is killed when that message is sent, or when the server has answered it. */
  async function killedAt(
    on: keyof typeof links,
    rule: Pick<WireRule, 'kind'>,
    when: 'sent' | 'answered',
    ...args: readonly string[]
  ): Promise<void> {
    const { process: operator, ended } = await startBuilt(args, { PGXA_CONFIG: config });
    const kill = (): void => {
      // What it sends from here on, until it is dead, must not arrive.
      for (const link of Object.values(links)) link.silence('both');
      operator.kill('SIGKILL');
    };
    const armed = links[on].arm(
      when === 'sent'
        ? { ...rule, action: 'drop-requests', onFired: kill }
        : { ...rule, action: 'drop-replies', onReplied: kill },
    );
    expect(await ended).toMatchObject({ code: 'SIGKILL' });
    expect(armed.fired()).toBe(1);
    for (const link of Object.values(links)) link.heal();
  }

  it('S14 killed between "begins" and the abort in the register: nothing is changed, the next one may commit', async () => {
    const { id } = await bank.plant({ coordinator: 'silent' });
    await killedAt('log', { kind: 'settle' }, 'sent', 'force', 'rollback', id, ...YES);
    expect(await audit()).toEqual(['force rollback begins']);
    expect(await bank.decisionOf(id)).toBeUndefined();
    expect(await bank.inDoubt()).toHaveLength(2);

    expect(await bank.pgxa('force', 'commit', id, ...YES)).toMatchObject({ code: 0 });
    expect(await bank.markers()).toEqual({ orders: 1, billing: 1 });
    expect(await audit()).toEqual([
      'force rollback begins',
      'force commit begins',
      'resolve',
      'force commit ended',
    ]);
  });

  it('S14 killed behind the abort in the register: it stands, the next one cannot commit, and carries it out', async () => {
    const { id } = await bank.plant({ coordinator: 'silent' });
    await killedAt('log', { kind: 'settle' }, 'answered', 'force', 'rollback', id, ...YES);
    expect(await audit()).toEqual(['force rollback begins']);
    expect(await bank.decisionOf(id)).toMatchObject({ outcome: 'abort', decided_by: 'operator' });
    expect(await bank.inDoubt()).toHaveLength(2);

    const other = await bank.pgxa('force', 'commit', id, ...YES);
    expect(other).toMatchObject({ code: 4, stdout: '' });
    expect(other.stderr).toMatch(/the log decided abort/);
    expect(await bank.pgxa('force', 'rollback', id, ...YES)).toMatchObject({ code: 0 });
    expect(await bank.markers()).toEqual({ orders: 0, billing: 0 });
    expect(await bank.inDoubt()).toEqual([]);
    expect(await heuristics()).toEqual([]);
  });

  it('S14 killed before a forced rollback against the decision: the audit has the intention, nothing else is there', async () => {
    const { id } = await bank.plant({ coordinator: 'retired', decision: 'commit' });
    // Its sibling must not be faster.
    links.billing.arm({ kind: 'finish-rollback', action: 'drop-requests' });
    const args = ['force', 'rollback', id, ...OVERRIDE];
    await killedAt('orders', { kind: 'finish-rollback' }, 'sent', ...args);
    expect(await audit()).toEqual(['force rollback begins']);
    expect(await bank.inDoubt()).toHaveLength(2);
    // As if nothing had been: the decision is carried out.
    expect(await bank.pgxa('resolve', id, '--yes')).toMatchObject({ code: 0 });
    expect(await bank.markers()).toEqual({ orders: 1, billing: 1 });
    expect(await heuristics()).toEqual([]);
  });

  it.each([
    ['resolve', (id: string) => ['resolve', id, '--yes']],
    ['recover', () => ['recover']],
  ] as const)(
    'S14 killed between the effect and "ended": %s finds, records and finishes what is left',
    async (_, verb) => {
      const { id } = await bank.plant({ coordinator: 'retired', decision: 'commit' });
      links.billing.arm({ kind: 'finish-rollback', action: 'drop-requests' });
      const args = ['force', 'rollback', id, ...OVERRIDE];
      await killedAt('orders', { kind: 'finish-rollback' }, 'answered', ...args);
      expect(await audit()).toEqual(['force rollback begins']);
      expect(await heuristics()).toEqual([]);
      expect(await bank.inDoubt()).toMatchObject([{ participant: 'billing' }]);

      const shown = await bank.json<{ transactions: { verdict: string }[] }>('list');
      expect(shown.data.transactions).toMatchObject([{ verdict: 'contradictory' }]);
      const told = await bank.pgxa('history', '--audit', '--id', id);
      expect(told.stdout).toContain('force rollback begins');
      expect(await bank.pgxa(...verb(id))).toMatchObject({ code: 3 });
      expect(await bank.markers()).toEqual({ orders: 0, billing: 1 });
      expect(await heuristics()).toEqual([{ participant: 'orders', kind: 'rollback' }]);
      expect(await bank.pgxa('forget', id, ...YES)).toMatchObject({ code: 0 });
    },
  );

  it('S14 the answer to a forced rollback is lost: it is asked for again, and recorded', async () => {
    const { id } = await bank.plant({ coordinator: 'retired', decision: 'commit' });
    const armed = links.orders.arm({ kind: 'finish-rollback', action: 'cut-after' });
    const { ended } = await startBuilt(['force', 'rollback', id, ...OVERRIDE], {
      PGXA_CONFIG: config,
    });
    expect(await ended).toMatchObject({ code: 0 });
    expect(armed.fired()).toBe(1);
    expect(await bank.inDoubt()).toEqual([]);
    expect(await heuristics()).toEqual([
      { participant: 'billing', kind: 'rollback' },
      { participant: 'orders', kind: 'rollback' },
    ]);
    expect((await audit()).at(-1)).toBe('force rollback ended');
  });

  it.each([
    ['undecided: the register has one winner', { coordinator: 'silent' }, YES],
    ['of a live coordinator', { coordinator: 'live' }, OVERRIDE],
  ] as const)('S15 two operators, opposite outcomes: %s', async (_, state, confirmed) => {
    for (let round = 0; round < 3; round += 1) {
      const before = await bank.markers();
      const { id } = await bank.plant(state);
      const [commit, rollback] = await Promise.all([
        bank.pgxa('force', 'commit', id, ...confirmed),
        bank.pgxa('force', 'rollback', id, ...confirmed),
      ]);
      const decision = await bank.decisionOf(id);
      const committed = decision?.['outcome'] === 'commit' ? 1 : 0;
      expect(decision).toMatchObject({ decided_by: 'operator' });
      // The winner may find nothing left to do, the loser is told that it has lost.
      const [winner, loser] = committed === 1 ? [commit, rollback] : [rollback, commit];
      expect({ committed, code: winner.code }).toEqual({ committed, code: 0 });
      expect({ committed, code: loser.code }).toEqual({ committed, code: 4 });
      expect(await bank.markers()).toEqual({
        orders: Number(before['orders']) + committed,
        billing: Number(before['billing']) + committed,
      });
    }
    expect(await bank.inDoubt()).toEqual([]);
    expect(await heuristics()).toEqual([]);
  });

  it('S15 two operators against a decision, the one for it and the other against it: what breaks is on record', async () => {
    const { id } = await bank.plant({ coordinator: 'retired', decision: 'commit' });
    const [against, forIt] = await Promise.all([
      bank.pgxa('force', 'rollback', id, ...OVERRIDE),
      bank.pgxa('resolve', id, '--yes'),
    ]);
    expect([0, 4]).toContain(against.code);
    expect([0, 3]).toContain(forIt.code);
    expect(await bank.inDoubt()).toEqual([]);
    const markers = await bank.markers();
    const missing = ['billing', 'orders'].filter((name) => markers[name] === 0);
    expect(await heuristics()).toEqual(
      missing.map((participant) => ({ participant, kind: 'rollback' })),
    );
  });

  it('S15 an operator against a daemon: one outcome, whoever wins', async () => {
    const file = await bank.folder.write(
      'daemon.yaml',
      JSON.stringify({
        decisionLog: { connectionString: bank.log.connectionString },
        participants: Object.fromEntries(
          bank.participants.map(({ name, connectionString }) => [name, { connectionString }]),
        ),
        daemon: { intervalMs: 100, leaseMs: 1_000, http: false },
      }),
    );
    const daemon = await startBuilt(['daemon'], { PGXA_CONFIG: file });
    try {
      const planted = [];
      for (let round = 0; round < 4; round += 1) {
        const { id } = await bank.plant({ coordinator: 'silent' });
        planted.push({ id, forced: await bank.pgxa('force', 'commit', id, ...YES) });
      }
      await vi.waitFor(async () => {
        expect(await bank.inDoubt()).toEqual([]);
      });
      let committed = 0;
      for (const { id, forced } of planted) {
        const decision = await bank.decisionOf(id);
        const won = decision?.['outcome'] === 'commit';
        expect(decision).toMatchObject({ decided_by: won ? 'operator' : 'recovery' });
        expect(forced.code).toBe(won ? 0 : 4);
        if (won) committed += 1;
      }
      expect(await bank.markers()).toEqual({ orders: committed, billing: committed });
      expect(await heuristics()).toEqual([]);
    } finally {
      daemon.process.kill('SIGTERM');
      expect(await daemon.ended).toMatchObject({ code: 0 });
    }
  });
});
