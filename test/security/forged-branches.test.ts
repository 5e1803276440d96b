import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { TransactionScope } from '../../src/index.ts';
import { formatGid } from '../../src/participant/gid.ts';
import { checkMarkers } from '../support/atomicity.ts';
import { createBank, type Bank } from '../support/bank.ts';
import { startControlledServer, type TestServer } from '../support/servers.ts';

/**
 * S6: every role can read all gids, so a hostile one can prepare a branch under a name that parses as ours. Two
 * participants; the role `mallory` may connect to billing, and `shop`, the application, may not be it. Expected:
 * whatever is forged, no transaction of ours is torn, and nobody's work is stopped by it.
 */
describe('branches that a hostile role has forged', () => {
  let server: TestServer;
  let bank: Bank;
  let installation = '';

  beforeEach(async () => {
    server = await startControlledServer();
    bank = await createBank({ servers: [server], logServer: server });
    await server.query('postgres', 'create role mallory login');
    await server.query('postgres', 'create role shop login');
    for (const one of bank.participants) {
      await one.query('grant select, insert, update on account, marker to shop');
      await one.query('grant insert on marker to mallory');
    }
    const [row] = await bank.log.query('select id from pgxa.installation');
    installation = String(row?.['id']);
  });
  afterEach(async () => {
    await bank.close();
    await server.destroy();
  });

  const asShop = () => ({
    participants: Object.fromEntries(
      bank.participants.map(({ name, database }) => [
        name,
        { connectionString: server.connectionString(database, { user: 'shop' }) },
      ]),
    ),
  });
  const both = async (tx: TransactionScope): Promise<string> => {
    for (const name of ['orders', 'billing']) {
      await tx.on(name).query('insert into marker values ($1)', [tx.id]);
    }
    return tx.id;
  };

  async function forge(epoch: string, transactionId: string, branch: number): Promise<string> {
    const gid = formatGid({ installation, epoch, transactionId, branch });
    const { database } = bank.participant('billing');
    const client = new pg.Client({
      connectionString: server.connectionString(database, { user: 'mallory' }),
    });
    await client.connect();
    await client.query('begin');
    await client.query(`insert into marker values (gen_random_uuid(), 'forged')`);
    await client.query(`prepare transaction ${pg.escapeLiteral(gid)}`);
    await client.end();
    return gid;
  }

  async function retiredEpoch(): Promise<string> {
    const gone = await bank.manager({ coordinator: 'gone' });
    await gone.close();
    const [row] = await bank.log.query(`select epoch from pgxa.coordinator where name = 'gone'`);
    return String(row?.['epoch']);
  }

  it('of an epoch that the log does not know: reported and left, and the rest goes on', async () => {
    const gid = await forge(randomBytes(8).toString('hex'), uuidv7(), 1);
    const tm = await bank.manager(asShop());
    const report = await tm.recover();
    expect(report.participants['billing']?.left).toMatchObject([{ gid, row: 'I' }]);
    const id = await tm.run(both);
    expect((await checkMarkers(bank, 2)).whole).toEqual(new Set([id]));
    expect(await bank.inDoubt()).toEqual([{ participant: 'billing', gid }]);
  });

  it('of a retired epoch: not ours to end without the right to be its owner; said so, and others are finished', async () => {
    const epoch = await retiredEpoch();
    const gid = await forge(epoch, uuidv7(), 1);
    const dying = await bank.manager(asShop(), {
      faultHook: (point) => {
        if (point === 'after-decide') throw new Error('the coordinator dies');
      },
    });
    await expect(dying.run(both)).rejects.toMatchObject({ code: 'PGXA_OUTCOME_UNKNOWN' });
    await dying.close();

    const tm = await bank.manager(asShop());
    const report = await tm.recover();
    expect(report).toMatchObject({ committed: 2, heuristics: 0, complete: false });
    expect(report.participants['billing']?.left).toMatchObject([
      { gid, error: { message: expect.stringContaining('grant "mallory" to') as string } },
    ]);
    expect((await checkMarkers(bank, 2)).whole.size).toBe(1);
    expect(await bank.inDoubt()).toEqual([{ participant: 'billing', gid }]);
  });

  it('with the id of a transaction that is being voted on: it is rolled back whole, and told so', async () => {
    const epoch = await retiredEpoch();
    const recovery = await bank.manager();
    let forged = '';
    const tm = await bank.manager(asShop(), {
      faultHook: async (point, transactionId) => {
        if (point !== 'before-decide') return;
        forged = await forge(epoch, transactionId, 9);
        // As superuser it may end the forged branch, and for that it decides.
        await recovery.recover({ wait: false });
      },
    });
    await expect(tm.run(both)).rejects.toMatchObject({
      code: 'PGXA_DECIDED_ABORT',
      retryable: true,
    });
    expect(forged).not.toBe('');
    expect(await checkMarkers(bank, 2)).toEqual({ whole: new Set(), torn: [] });
    expect(await bank.inDoubt()).toEqual([]);
    expect(await bank.log.query('select * from pgxa.heuristic')).toEqual([]);
  });

  it('with the id of a committed transaction: what was committed stays, and nothing is torn', async () => {
    const epoch = await retiredEpoch();
    const tm = await bank.manager(asShop());
    const id = await tm.run(both);
    await forge(epoch, id, 9);
    const report = await (await bank.manager()).recover();
    expect(report.heuristics).toBe(0);
    expect(await tm.outcomeOf(id)).toBe('committed');
    for (const name of ['orders', 'billing']) {
      const rows = await bank
        .participant(name)
        .query('select 1 from marker where transaction_id = $1', [id]);
      expect(rows).toHaveLength(1);
    }
    expect(await bank.inDoubt()).toEqual([]);
  });

  it('a role that is not the owner can end no branch of the application', async () => {
    let tried: unknown;
    const tm = await bank.manager(asShop(), {
      faultHook: async (point) => {
        if (point !== 'before-decide') return;
        const [branch] = (await bank.inDoubt()).filter(
          ({ participant }) => participant === 'billing',
        );
        const client = new pg.Client({
          connectionString: server.connectionString(bank.participant('billing').database, {
            user: 'mallory',
          }),
        });
        await client.connect();
        tried = await client
          .query(`rollback prepared ${pg.escapeLiteral(branch?.gid ?? '')}`)
          .catch((error: unknown) => error);
        await client.end();
      },
    });
    const id = await tm.run(both);
    expect(tried).toMatchObject({ code: '42501' });
    expect((await checkMarkers(bank, 2)).whole).toEqual(new Set([id]));
  });
});
