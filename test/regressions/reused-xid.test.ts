import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { TransactionScope } from '../../src/index.ts';
import { createBank, type Bank } from '../support/bank.ts';
import { FaultProxy } from '../support/proxy.ts';
import { startControlledServer, type TestServer } from '../support/servers.ts';

/**
 * An xid is durable only once its WAL is flushed: after a crash the server hands it out again, on the same
 * timeline. One writer; its COMMIT is lost, the server crashes, and somebody else commits with the same
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

  it.each(['kill9', 'immediate'] as const)('%s of the server', async (crash) => {
    const billing = bank.participant('billing');
    let xid = 0n;
    let reused = 0n;
    const manager = await bank.manager(
      { participants: { billing: { connectionString: proxy.through(billing.connectionString) } } },
      {
        faultHook: async (point) => {
          if (point !== 'before-one-phase-commit') return;
          // The COMMIT never arrives, and before anybody asks for its fate the server has crashed.
          proxy.goAway();
          if (crash === 'kill9') {
            await server.kill9();
            await server.start();
          } else {
            await server.restart('immediate');
          }
          while (reused < xid) {
            const [row] = await billing.query<{ xid: string }>(
              `insert into marker values (gen_random_uuid(), 'other')
               returning pg_current_xact_id()::text as xid`,
            );
            reused = BigInt(row?.xid ?? 0);
          }
          proxy.comeBack();
        },
      },
    );
    let id = '';
    const failure = manager.run(async (tx: TransactionScope) => {
      ({ id } = tx);
      const { rows } = await tx
        .on('billing')
        .query<{ xid: string }>(
          `insert into marker values ($1) returning pg_current_xact_id()::text as xid`,
          [tx.id],
        );
      xid = BigInt(rows[0]?.xid ?? 0);
    });
    await expect(failure).rejects.toMatchObject({
      name: expect.stringMatching(/^(RolledBack|OutcomeUnknown)Error$/) as string,
    });
    // The fault fired: the same id is another transaction's now, and that one is committed.
    expect(reused).toBe(xid);
    const [status] = await billing.query('select pg_xact_status($1::xid8) as status', [
      String(xid),
    ]);
    expect(status).toEqual({ status: 'committed' });
    expect(await manager.outcomeOf(id)).not.toBe('committed');
    expect(await billing.query('select 1 from marker where transaction_id = $1', [id])).toEqual([]);
  });
});
