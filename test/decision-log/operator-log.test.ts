import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { DecisionLog } from '../../src/decision-log/decision-log.ts';
import { PostgresOperatorLog } from '../../src/decision-log/postgres-operator-log.ts';
import { newEpoch, newId, register } from './conformance.ts';
import { postgresLog, type PostgresLogUnderTest } from './postgres-log.ts';

/** The statement itself refuses, whatever the one who forces has looked at before. */
describe('an operator writes commit', () => {
  let under: PostgresLogUnderTest;
  let log: DecisionLog;
  let operator: PostgresOperatorLog;
  beforeAll(async () => {
    under = await postgresLog();
    log = await under.open();
    operator = new PostgresOperatorLog({
      settings: { connectionString: under.server.connectionString(under.database) },
      name: 'alice',
      connectTimeoutMs: 5_000,
    });
  });
  afterAll(async () => {
    await operator.close();
    await under.close();
  });

  async function commitIn(epoch: string): Promise<unknown> {
    const transactionId = newId();
    await operator.commit({ transactionId, epoch, label: undefined, branches: [] });
    return (await log.decisionsOf([transactionId])).get(transactionId)?.decision;
  }

  it('for an epoch that may still decide: nothing is written', async () => {
    const epoch = await register(log);
    expect(await commitIn(epoch)).toBeUndefined();
    await operator.retireNow(epoch);
    expect(await commitIn(epoch)).toBe('commit');
  });

  it('for an epoch that the log does not know: nobody can decide in it, so it is written', async () => {
    expect(await commitIn(newEpoch())).toBe('commit');
  });
});
