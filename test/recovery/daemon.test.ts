import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { createRecoveryDaemon, type RecoveryDaemon } from '../../src/index.ts';
import { createBank, type Bank } from '../support/bank.ts';
import { startCoordinator } from '../support/child.ts';
import { waitFor } from '../support/wait.ts';

/** One log, two participants, coordinators in processes of their own that are killed, one daemon beside them. */
describe('a daemon beside coordinators that are killed', () => {
  let bank: Bank;
  let daemon: RecoveryDaemon;

  beforeEach(async () => {
    bank = await createBank();
    daemon = await createRecoveryDaemon({
      name: 'test',
      decisionLog: { connectionString: bank.log.connectionString },
      participants: Object.fromEntries(
        bank.participants.map(({ name, connectionString }) => [name, { connectionString }]),
      ),
    });
    await daemon.whenReady;
  });
  afterEach(async () => {
    await daemon.stop();
    await bank.close();
  });

  it.each([
    ['after-decide', 'commit'],
    ['after-votes', 'abort'],
  ])('killed %s: both branches end by %s', async (point, decision) => {
    const child = startCoordinator(bank, {
      fault: { point, hit: 5, signal: 'SIGKILL' },
      transactions: 5,
      concurrency: 1,
      writers: 2,
    });
    expect(await child.ended).toBe('SIGKILL');
    expect(child.count('fault')).toBe(1);
    const id = child.events.at(-1)?.id ?? '';
    // How fast is measured by npm run bench:daemon, side by side and not in a test.
    await waitFor('nothing in doubt', async () => (await bank.inDoubt()).length === 0, {
      timeoutMs: 25_000,
    });
    const marked = await Promise.all(
      bank.participants.map((one) =>
        one.query('select 1 from marker where transaction_id = $1', [id]),
      ),
    );
    expect(marked.map((rows) => rows.length)).toEqual(decision === 'commit' ? [1, 1] : [0, 0]);
  });

  it('says what it knows', async () => {
    await waitFor('to listen', () => daemon.status().wake === 'listening');
    expect(daemon.status()).toMatchObject({
      name: 'test',
      log: { reachable: true, error: undefined },
      firstPassDone: true,
      participants: {
        orders: { lease: 'held', holder: 'test', state: 'listed', failuresInARow: 0 },
        billing: { inDoubt: { decided: 0, undecided: 0, unexplained: 0 } },
      },
    });
  });
});
