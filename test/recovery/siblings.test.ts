/**
 * A branch of a committed transaction was rolled back by hand, its coordinator is dead, and the sibling is still
 * prepared. Expected: whoever commits the sibling records it, and waits for nobody for it.
 */
import { randomBytes } from 'node:crypto';
import { v7 as uuidv7 } from 'uuid';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { createRecoveryDaemon } from '../../src/index.ts';
import { createBank, type Bank } from '../support/bank.ts';
import { gidIn, plant, rollbackAll } from '../support/planted.ts';
import { waitFor } from '../support/wait.ts';

describe('siblings of a branch that recovery commits', () => {
  let bank: Bank;
  beforeEach(async () => {
    bank = await createBank();
  });
  afterEach(async () => {
    for (const one of bank.participants) await rollbackAll(one);
    await bank.close();
  });

  async function plantCommitted(): Promise<{ id: string; gids: string[] }> {
    const epoch = randomBytes(8).toString('hex');
    const id = uuidv7();
    const gids: string[] = [];
    const branches: Record<string, unknown>[] = [];
    await bank.log.query(
      `insert into pgxa.coordinator (epoch, name, host, pid, version, retired_at, retired_by)
       values ($1, 'dead', 'h', 1, '0', now(), 'recovery')`,
      [epoch],
    );
    for (const [index, participant] of bank.participants.entries()) {
      const gid = await gidIn(bank.log, { epoch, transactionId: id, branch: index + 1 });
      await plant(participant, gid);
      const [evidence] = await participant.query(
        `select transaction::text as xid,
                (select system_identifier::text from pg_control_system()) as system,
                left(pg_walfile_name(pg_current_wal_lsn()), 8) as timeline
           from pg_prepared_xacts where gid = $1`,
        [gid],
      );
      gids.push(gid);
      branches.push({ participant: participant.name, branch: index + 1, ...evidence });
    }
    await bank.log.query(
      `insert into pgxa.decision (transaction_id, epoch, outcome, decided_by, branches)
       values ($1, $2, 'commit', 'coordinator', $3)`,
      [id, epoch, JSON.stringify(branches)],
    );
    return { id, gids };
  }
  const recorded = () =>
    bank.log.query('select transaction_id, gid, participant, kind, decision from pgxa.heuristic');

  it('one pass records it, and says so', async () => {
    const { id, gids } = await plantCommitted();
    await rollbackAll(bank.participant('billing'));
    const report = await (await bank.manager()).recover();
    expect(report).toMatchObject({ committed: 1, heuristics: 1, complete: true });
    expect(report.participants['billing']?.heuristics).toMatchObject([{ gid: gids[1] }]);
    expect(await recorded()).toEqual([
      {
        transaction_id: id,
        gid: gids[1],
        participant: 'billing',
        kind: 'rollback',
        decision: 'commit',
      },
    ]);
  });

  it('both are committed: nothing to record', async () => {
    await plantCommitted();
    const report = await (await bank.manager()).recover();
    expect(report).toMatchObject({ committed: 2, heuristics: 0, complete: true });
    expect(await recorded()).toEqual([]);
  });

  it('a daemon records it, though it is another participant that it works on', async () => {
    const { gids } = await plantCommitted();
    await rollbackAll(bank.participant('billing'));
    const daemon = await createRecoveryDaemon({
      name: 'daemon',
      decisionLog: { connectionString: bank.log.connectionString },
      participants: Object.fromEntries(
        bank.participants.map(({ name, connectionString }) => [name, { connectionString }]),
      ),
    });
    try {
      await waitFor('the record', async () => (await recorded()).length === 1);
      expect(await recorded()).toMatchObject([{ gid: gids[1], kind: 'rollback' }]);
    } finally {
      await daemon.stop();
    }
  });
});
