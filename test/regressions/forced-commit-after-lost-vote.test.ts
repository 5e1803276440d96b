import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { subscribe, type TransactionManager, type TransactionScope } from '../../src/index.ts';
import { checkMarkers } from '../support/atomicity.ts';
import { createBank, type Bank } from '../support/bank.ts';
import { FaultProxy } from '../support/proxy.ts';
import { startControlledServer, type TestServer } from '../support/servers.ts';
import { waitFor } from '../support/wait.ts';

/**
 * Both branches are prepared, and billing's vote is lost. Before its coordinator can write abort, an operator commits, the
 * branches are ended, and billing's server is killed and starts again. Then the coordinator goes on, and finds a commit and no branch.
 * Expected: the commit tells what became of a branch that it names with its xid; without that it stays a hazard.
 * (Seeds 70319678 and 70546194 of the simulation.)
 */
describe('a vote is lost, an operator commits, and the server crashes behind the end of the branch', () => {
  let server: TestServer;
  let bank: Bank;
  let billing: FaultProxy;
  let log: FaultProxy;
  let tm: TransactionManager;
  let id: string;
  let isHeld: boolean;
  let letGo: () => void;

  beforeEach(async () => {
    server = await startControlledServer({ name: 'crashing' });
    bank = await createBank({ servers: [server] });
    const of = (name: string): string => bank.participant(name).connectionString;
    billing = await FaultProxy.inFrontOf(of('billing'));
    log = await FaultProxy.inFrontOf(bank.log.connectionString);
    isHeld = false;
    const held = new Promise<void>((resolve) => (letGo = resolve));
    tm = await bank.manager(
      {
        decisionLog: { connectionString: log.through(bank.log.connectionString) },
        participants: {
          orders: { connectionString: of('orders') },
          billing: { connectionString: billing.through(of('billing')) },
        },
      },
      {
        faultHook: async (at) => {
          if (at !== 'after-votes') return;
          isHeld = true;
          await held;
        },
      },
    );
  });
  afterEach(async () => {
    letGo();
    await bank.close();
    await billing.close();
    await log.close();
    await server.destroy();
  });

  const both = async (tx: TransactionScope): Promise<void> => {
    ({ id } = tx);
    for (const name of ['orders', 'billing']) {
      await tx.on(name).query('insert into marker values ($1)', [tx.id]);
    }
  };
  /** Resolves when the coordinator knows that it has lost a vote, and has done nothing about it yet. */
  const loseVote = async (): Promise<{ readonly told: Promise<unknown> }> => {
    const rule = billing.arm(/\bprepare transaction /, 'lose-reply');
    const told = tm.run(both).then(
      () => 'committed',
      (thrown: unknown) => thrown,
    );
    await waitFor('the lost vote', () => isHeld);
    expect(rule.fired).toBe(1);
    expect(await bank.inDoubt()).toHaveLength(2);
    return { told };
  };
  const force = async (): Promise<void> => {
    const triage = bank.operator();
    const found = await triage.find(id);
    const { transaction } = found;
    if (transaction === undefined) throw new Error('the transaction is not found');
    const assessment = triage.assess(found, 'commit');
    const request = { transaction, assessment, reason: 'test', override: true } as const;
    expect(await triage.force({ ...request, decision: 'commit' })).toMatchObject({
      kind: 'decided',
    });
    await triage.close();
    expect(await bank.inDoubt()).toEqual([]);
  };
  const crash = async (): Promise<void> => {
    await server.kill9();
    await server.start();
  };
  /** As no command of pgxa writes it. */
  const commitByHand = (branches: unknown): Promise<unknown> =>
    bank.log.query(
      `insert into pgxa.decision (transaction_id, epoch, outcome, decided_by, branches)
       select $1, epoch, 'commit', 'operator', $2 from pgxa.coordinator limit 1`,
      [id, JSON.stringify(branches)],
    );
  const endByHand = async (name: string, how: 'commit' | 'rollback'): Promise<void> => {
    const gid = (await bank.inDoubt()).find(({ participant }) => participant === name)?.gid ?? '';
    await bank.participant(name).query(`${how} prepared '${gid}'`);
  };
  const heuristics = (): Promise<unknown[]> =>
    bank.log.query('select participant, kind, decision from pgxa.heuristic');
  const isWhole = async (): Promise<void> => {
    expect(await checkMarkers(bank, 2)).toEqual({ whole: new Set([id]), torn: [] });
  };

  it('forced with pgxa, which names both branches: committed, and no hazard', async () => {
    const { told } = await loseVote();
    await force();
    await crash();
    letGo();
    expect(await told).toBe('committed');
    await isWhole();
    expect(await heuristics()).toEqual([]);
  });

  it('the same, and the log is away at first: unknown, then committed in the background, and no hazard', async () => {
    const { told } = await loseVote();
    await force();
    await crash();
    const ended: string[] = [];
    const unsubscribe = subscribe('branch:finished', ({ participant }) => ended.push(participant));
    log.goAway();
    letGo();
    expect(await told).toMatchObject({ name: 'OutcomeUnknownError' });
    log.comeBack();
    await waitFor('both branches to be known', () => ended.length === 2);
    unsubscribe();
    expect(ended.sort()).toEqual(['billing', 'orders']);
    await isWhole();
    expect(await heuristics()).toEqual([]);
  });

  it('committed by hand, and nobody has recorded the xid of billing: a hazard', async () => {
    const { told } = await loseVote();
    await commitByHand([]);
    await endByHand('billing', 'commit');
    await crash();
    letGo();
    expect(await told).toMatchObject({ name: 'HeuristicOutcomeError', kind: 'hazard' });
    await isWhole();
    expect(await heuristics()).toEqual([
      { participant: 'billing', kind: 'hazard', decision: 'commit' },
    ]);
  });

  it.each([
    ['another timeline', 'hazard', { timeline: '000000FF' }],
    ['its xid, and the branch was rolled back by hand', 'rollback', {}],
  ] as const)('recorded is %s: %s', async (_, kind, other) => {
    const { told } = await loseVote();
    const [facts] = await bank.participant('billing').query(
      `select 'billing' as participant, 2 as branch, transaction::text as xid, system_identifier::text as system,
              substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) as timeline
         from pg_prepared_xacts, pg_control_system() where database = current_database()`,
    );
    await commitByHand([{ ...facts, ...other }]);
    await endByHand('billing', kind === 'hazard' ? 'commit' : 'rollback');
    await crash();
    letGo();
    expect(await told).toMatchObject({ name: 'HeuristicOutcomeError' });
    expect(await heuristics()).toEqual([{ participant: 'billing', kind, decision: 'commit' }]);
  });
});
