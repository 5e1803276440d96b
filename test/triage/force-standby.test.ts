/**
 * Forcing a commit while the synchronous standby of one participant is away: its branch is listed, and would be
 * lost by the failover that may come next. Refused, and nothing is decided; with the standby back it is done.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { ForceResult, Triage } from '../../src/index.ts';
import { cancelWaits, loseStandby, regainStandby } from '../support/lonely.ts';
import { startControlledServer, type TestServer } from '../support/servers.ts';
import { sharedServer } from '../support/shared-server.ts';
import { createTriageBank, type TriageBank } from '../support/triage-bank.ts';
import { waitFor } from '../support/wait.ts';

describe('force commit without a synchronous standby', () => {
  let server: TestServer;
  let bank: TriageBank;
  let triage: Triage;
  beforeEach(async () => {
    server = await startControlledServer({ name: 'billing' });
    bank = await createTriageBank({ servers: [await sharedServer(), server] });
  });
  afterEach(async () => {
    await regainStandby(server);
    await triage.close();
    await bank.close();
    await server.destroy();
  });

  /** By a login for which commits do not wait, or do. */
  function operator(synchronousCommit: string): Triage {
    return bank.operator({ participantOptions: `-c synchronous_commit=${synchronousCommit}` });
  }

  async function force(id: string): Promise<ForceResult> {
    const found = await triage.find(id);
    const { transaction } = found;
    if (transaction === undefined) throw new Error('it is there');
    const assessment = triage.assess(found, 'commit');
    return triage.force({
      transaction,
      decision: 'commit',
      assessment,
      reason: 'x',
      override: false,
    });
  }

  it.each([
    ['commits wait', 'on'],
    ['commits do not wait by default', 'local'],
    ['commits are not even flushed by default', 'off'],
  ])(
    'a wait that is cancelled proves nothing (%s): refused, undecided; with the standby it commits',
    async (_, value) => {
      triage = operator(value);
      const { id } = await bank.plant({ coordinator: 'retired' });
      await loseStandby(server);
      const forcing = force(id);
      await waitFor('the proof to wait', async () =>
        (await cancelWaits(server)).some((query) => query.includes('barrier')),
      );
      expect(await forcing).toMatchObject({
        kind: 'lost',
        why: expect.stringMatching(
          /billing cannot be proven: .*standby has not confirmed/,
        ) as string,
      });
      expect(await bank.decisionOf(id)).toBeUndefined();
      expect(await bank.markers()).toEqual({ orders: 0, billing: 0 });

      await regainStandby(server);
      expect(await force(id)).toMatchObject({ kind: 'decided', resolution: { committed: 2 } });
      expect(await bank.markers()).toEqual({ orders: 1, billing: 1 });
    },
  );
});
