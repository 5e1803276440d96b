import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { createBank, type Bank } from '../support/bank.ts';
import { askOne, crashUnderPostmaster } from '../support/crash-recovery.ts';
import { FaultProxy } from '../support/proxy.ts';
import { startControlledServer, type TestServer } from '../support/servers.ts';

/**
 * An xid is durable only once its WAL is flushed: after a crash the server hands it out again, on the same
 * timeline. One writer; its COMMIT is lost on the way, the server crashes, and somebody else commits with the same
 * xid. Expected: whatever pg_xact_status says, the transaction is not reported committed.
 */
describe('an xid that is used again after a crash', () => {
  let server: TestServer;
  let bank: Bank;
  let proxy: FaultProxy;

  beforeEach(async () => {
    // Nothing flushes the WAL in the background meanwhile: the id is surely not durable at the crash.
    server = await startControlledServer({
      name: 'crashing',
      settings: { wal_writer_delay: '10s', bgwriter_delay: '10s', autovacuum: 'off' },
    });
    bank = await createBank({ participants: ['billing'], servers: [server] });
    proxy = await FaultProxy.inFrontOf(bank.participant('billing').connectionString);
  });
  afterEach(async () => {
    await bank.close();
    await proxy.close();
    await server.destroy();
  });

  const crashes = {
    'killed with its postmaster': async () => {
      await server.kill9();
      await server.start();
    },
    'crashed under its postmaster': () => crashUnderPostmaster(server),
    'crashed twice under its postmaster, with nothing between': async () => {
      await crashUnderPostmaster(server);
      await crashUnderPostmaster(server);
    },
  };

  it.each(Object.keys(crashes) as (keyof typeof crashes)[])('a server %s', async (crash) => {
    const billing = bank.participant('billing');
    let xid = 0n;
    let reused = 0n;
    const manager = await bank.manager(
      { participants: { billing: { connectionString: proxy.through(billing.connectionString) } } },
      {
        faultHook: async (point) => {
          if (point !== 'after-one-phase-commit') return;
          await crashes[crash]();
          while (reused < xid) {
            const [row] = await billing.query<{ xid: string }>(
              `insert into marker values (gen_random_uuid(), 'other')
               returning pg_current_xact_id()::text as xid`,
            );
            reused = BigInt(row?.xid ?? 0);
          }
        },
      },
    );
    const rule = proxy.arm(/\bcommit[\0;]/, 'lose-request');
    let id = '';
    const outcome = manager.run(async (tx) => {
      ({ id } = tx);
      const { rows } = await tx
        .on('billing')
        .query<{ xid: string }>(
          `insert into marker values ($1) returning pg_current_xact_id()::text as xid`,
          [tx.id],
        );
      xid = BigInt(rows[0]?.xid ?? 0);
    });
    await expect(outcome).rejects.toMatchObject({ name: 'OutcomeUnknownError' });
    expect(rule.fired).toBe(1);
    // The fault fired: the same id is another transaction's now, and that one is committed.
    expect(reused).toBe(xid);
    expect(await askOne(server, `pg_xact_status('${xid}'::xid8)`)).toBe('committed');
    expect(await manager.outcomeOf(id)).not.toBe('committed');
    expect(await billing.query('select 1 from marker where transaction_id = $1', [id])).toEqual([]);
  });
});
