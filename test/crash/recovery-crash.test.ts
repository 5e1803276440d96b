import type { ChildProcess } from 'node:child_process';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { createBank, ids, type Bank } from '../support/bank.ts';
import { BUILD_TIMEOUT_MS, builtCli, startBuilt } from '../support/built-cli.ts';
import { temporaryFolder, type Folder } from '../support/cli.ts';
import { startChild } from '../support/json-child.ts';
import { WireProxy } from '../support/wire-proxy.ts';
import { plantLeftovers } from './leftovers.ts';
import { PARTICIPANTS } from './matrix-cases.ts';
import type { RecoveryEvent, RecoveryPlan } from './recovery-child.ts';
import { nameOf, RECOVERY_POINTS, secondPoints, type RecoveryPoint } from './recovery-points.ts';

/** The whole matrix has all pairs; otherwise each point gets one second crash, another one for each. */
const WHOLE = process.env['PGXA_CRASH_MATRIX'] === 'whole';

/**
 * Three participants, a dead coordinator's leftovers (one transaction decided, one not). A recovery process is killed
 * (SIGKILL) at one message, a second one at another, before it is sent or when the server has answered it;
 * then one pass undisturbed. Every second process is `pgxa recover`, as it is shipped. Expected: both faults fired, the decided one is on all participants, the other
 * on none, nothing is in doubt, nothing is taken for heuristic.
 */
describe('recovery is killed at every point, twice in a row', () => {
  let folder: Folder;
  let configs = 0;
  let kills = 0;
  beforeAll(async () => {
    folder = await temporaryFolder();
    await builtCli();
  }, BUILD_TIMEOUT_MS);
  afterAll(() => folder.remove());

  const firsts = RECOVERY_POINTS.map((first, index) => {
    const seconds = secondPoints(first);
    const one = seconds[index % seconds.length];
    return { name: nameOf(first), first, seconds: WHOLE || one === undefined ? seconds : [one] };
  });

  it.concurrent.each(firsts)(
    '$name',
    { timeout: WHOLE ? 600_000 : 120_000 },
    async ({ first, seconds }) => {
      expect(seconds.length).toBeGreaterThan(0);
      const bank = await createBank({ participants: PARTICIPANTS });
      const proxy = await WireProxy.inFrontOf(bank.log.connectionString);
      const tm = await bank.manager();
      try {
        for (const second of seconds) {
          const { committed, undecided } = await plantLeftovers(bank);
          await killAt(bank, proxy, first);
          await killAt(bank, proxy, second);

          const report = await tm.recover();
          expect(report).toMatchObject({ complete: true, left: 0, heuristics: 0 });
          expect(await bank.inDoubt()).toEqual([]);
          for (const one of bank.participants) {
            const markers = ids(
              await one.query(
                'select transaction_id from marker where transaction_id = any ($1::uuid[])',
                [[committed, undecided]],
              ),
            );
            expect([nameOf(second), markers]).toEqual([nameOf(second), [committed]]);
          }
          expect(await tm.outcomeOf(undecided)).toBe('aborted');
        }
        expect(await bank.log.query('select * from pgxa.heuristic')).toEqual([]);
      } finally {
        await bank.close();
        await proxy.close();
      }
    },
  );

  /** One server holds all of the databases, so one proxy sees, and counts, all that recovery sends. */
  async function killAt(bank: Bank, proxy: WireProxy, point: RecoveryPoint): Promise<void> {
    const plan: RecoveryPlan = {
      logUrl: proxy.through(bank.log.connectionString),
      participants: Object.fromEntries(
        bank.participants.map(({ name, connectionString }) => [
          name,
          proxy.through(connectionString),
        ]),
      ),
    };
    kills += 1;
    const recovery = kills % 2 === 0 ? await startVerb(plan) : startLibrary(plan);
    const kill = (): void => {
      // What it sends from here on, until it is dead, must not arrive.
      proxy.silence('both');
      recovery.process.kill('SIGKILL');
    };
    const armed = proxy.arm({
      kind: point.kind,
      nth: point.nth,
      action: point.when === 'sent' ? 'drop-requests' : 'drop-replies',
      ...(point.when === 'sent' ? { onFired: kill } : { onReplied: kill }),
    });
    try {
      expect([nameOf(point), await recovery.ended]).toEqual([nameOf(point), 'SIGKILL']);
      expect(armed.fired()).toBe(1);
    } finally {
      armed.disarm();
      proxy.heal();
    }
  }

  interface Recovery {
    readonly process: ChildProcess;
    /** The signal that ended it. */
    readonly ended: Promise<unknown>;
  }

  function startLibrary(plan: RecoveryPlan): Recovery {
    const { process, events, ended } = startChild<RecoveryEvent>('crash/recovery-child.ts', plan);
    return {
      process,
      ended: ended.then((how) => {
        expect(events).toEqual([{ event: 'ready' }]);
        return how;
      }),
    };
  }

  async function startVerb({ logUrl, participants }: RecoveryPlan): Promise<Recovery> {
    configs += 1;
    const config = {
      decisionLog: { connectionString: logUrl },
      participants: Object.fromEntries(
        Object.entries(participants).map(([name, connectionString]) => [
          name,
          { connectionString },
        ]),
      ),
    };
    const file = await folder.write(`${configs}.yaml`, JSON.stringify(config));
    const { process, ended } = await startBuilt(['recover'], { PGXA_CONFIG: file });
    return { process, ended: ended.then(({ code }) => code) };
  }
});
