/**
 * What recovery cannot do is noted in the log for operators: by a daemon in this process, on real servers. It comes
 * with the failure, goes with it, and is in nobody's way.
 */
import pg from 'pg';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { createRecoveryDaemon, type Explanation, type Survey } from '../../src/index.ts';
import type { FailureNote } from '../../src/decision-log/daemon-log.ts';
import { FailureNotes } from '../../src/recovery/failure-notes.ts';
import { BUILD_TIMEOUT_MS, builtCli } from '../support/built-cli.ts';
import { rollbackAll } from '../support/planted.ts';
import { startControlledServer, type TestServer } from '../support/servers.ts';
import { createTriageBank, type TriageBank } from '../support/triage-bank.ts';
import { waitFor } from '../support/wait.ts';

const NOTES_SQL = `select participant, gid, transaction_id::text as id, daemon, attempts, error,
                          next_attempt_at > failed_at as later
                     from pgxa.failed_attempt order by participant, gid`;
const PATIENT = { timeoutMs: 40_000 };

describe('failed attempts of recovery', { timeout: 120_000 }, () => {
  let bank: TriageBank;
  const cleanUps: (() => Promise<unknown>)[] = [];
  beforeAll(builtCli, BUILD_TIMEOUT_MS);
  beforeEach(async () => {
    const made = await createTriageBank();
    bank = made;
    cleanUps.push(() => made.close());
  });
  afterEach(async () => {
    for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
  });

  async function startDaemon(participants: Readonly<Record<string, string>>): Promise<void> {
    const daemon = await createRecoveryDaemon({
      name: 'box1',
      decisionLog: { connectionString: bank.log.connectionString },
      participants: Object.fromEntries(
        Object.entries(participants).map(([name, connectionString]) => [
          name,
          { connectionString },
        ]),
      ),
      connectTimeoutMs: 500,
    });
    cleanUps.push(() => daemon.stop());
    await daemon.whenReady;
  }
  const notes = (): Promise<Record<string, unknown>[]> => bank.log.query(NOTES_SQL);
  const hasNotes = (count: number) => async (): Promise<boolean> =>
    (await notes()).length === count;

  it('a branch that may not be finished: shown with error and next attempt, and gone with the grant', async () => {
    const orders = bank.participant('orders');
    const login = `recovery_${orders.server.runId}_${Date.now()}`;
    await orders.query(`create role ${login} login`);
    cleanUps.splice(0, 0, () => orders.query(`drop role ${login}`));
    const url = orders.server.connectionString(orders.database, { user: login });
    const owner = `shop_${login}`;
    await orders.query(`create role ${owner} login`);
    cleanUps.splice(0, 0, async () => {
      await orders.query(`drop owned by ${owner}`);
      await orders.query(`drop role ${owner}`);
    });
    await orders.query(`grant insert on marker to ${owner}`);
    const { id, gids } = await bank.plant({ coordinator: 'retired', on: ['orders'] });
    await rollbackAll(orders);
    const asOwner = new pg.Client({
      connectionString: orders.server.connectionString(orders.database, { user: owner }),
    });
    await asOwner.connect();
    await asOwner.query(
      `begin; insert into marker values (gen_random_uuid()); prepare transaction '${String(gids[0])}'`,
    );
    await asOwner.end();
    await startDaemon({ orders: url });
    await waitFor('the note', hasNotes(1), PATIENT);
    expect(await notes()).toMatchObject([
      {
        participant: 'orders',
        gid: gids[0],
        id,
        daemon: 'box1',
        error: expect.stringContaining(`grant "${owner}"`) as string,
        later: true,
      },
    ]);
    const { data } = await bank.json<Explanation>('show', id);
    expect(data.transaction?.branches).toMatchObject([
      {
        attempt: {
          daemon: 'box1',
          attempts: expect.any(Number) as number,
          error: expect.stringContaining(`grant "${owner}"`) as string,
          failedAgoMs: expect.any(Number) as number,
          nextInMs: expect.any(Number) as number,
        },
      },
    ]);
    expect(data.recovery).toMatch(/daemon of box1 cannot finish it on orders: failed \d+ times/);
    const shown = (await bank.pgxa('show', id)).stdout;
    expect(shown).toMatch(
      /Attempts of recovery:\nPARTICIPANT +DAEMON +FAILED +LAST +NEXT +ERROR\norders +box1 /,
    );
    for (const format of ['wide', 'jsonl', 'yaml']) {
      expect((await bank.pgxa('explain', id, '-o', format)).stdout).toContain('box1');
    }
    await orders.query(`grant ${owner} to ${login}`);
    await waitFor('the branch to be finished', async () => (await bank.inDoubt()).length === 0, {
      timeoutMs: 60_000,
    });
    await waitFor('the note to go', hasNotes(0), PATIENT);
  });

  it('a participant that does not answer: why, in list and explain; gone when it is back', async () => {
    const hung: TestServer = await startControlledServer();
    cleanUps.push(() => hung.destroy());
    const away = await createTriageBank({ servers: [bank.log.server, hung] });
    cleanUps.push(() => away.close());
    bank = away;
    const { id } = await away.plant({ coordinator: 'retired', decision: 'commit' });
    const places = Object.fromEntries(
      away.participants.map((one) => [one.name, one.connectionString]),
    );
    await hung.stop('fast');
    // Left by a daemon that died before its branch was finished by somebody else.
    await away.log.query(
      `insert into pgxa.failed_attempt values ('orders', 'old', null, 'box0', 9, 'x', now(), now())`,
    );
    await startDaemon(places);
    const isBilling = async (): Promise<boolean> =>
      (await notes()).map(({ participant }) => participant).join() === 'billing';
    await waitFor('the note', isBilling, PATIENT);
    expect(await notes()).toMatchObject([{ participant: 'billing', gid: '', id: null }]);
    const list = await away.json<Survey>('list');
    expect(list.code).toBe(5);
    expect(list.data.participants).toMatchObject([
      { name: 'orders' },
      { name: 'billing', status: 'unreachable', attempt: { daemon: 'box1' } },
    ]);
    const { data } = await away.json<Explanation>('explain', id);
    expect(data.recovery).toMatch(
      /daemon of box1 cannot work on billing: failed \d+ times in a row, last .* ECONNREFUSED/,
    );
    await hung.start();
    await waitFor(
      'the branch to be finished',
      async () => (await away.inDoubt()).length === 0,
      PATIENT,
    );
    await waitFor('the note to go', hasNotes(0), PATIENT);
  });

  it('what cannot be noted is in nobody’s way: the table is locked, and branches are finished', async () => {
    const places = Object.fromEntries(
      bank.participants.map((one) => [one.name, one.connectionString]),
    );
    const lock = new pg.Client({ connectionString: bank.log.connectionString });
    await lock.connect();
    cleanUps.push(() => lock.end());
    await lock.query('begin; lock table pgxa.failed_attempt in access exclusive mode');
    await startDaemon(places);
    await bank.plant({ coordinator: 'retired', decision: 'commit' });
    await bank.plant({ coordinator: 'silent' });
    await waitFor('both to be finished', async () => (await bank.inDoubt()).length === 0, PATIENT);
    expect(await bank.markers()).toEqual({ orders: 1, billing: 1 });
    await lock.query('rollback');
  });
});

describe('the notes of failures', () => {
  it('are written when something changes, again after a failure, and not else', async () => {
    const written: (readonly FailureNote[])[] = [];
    let isAway = false;
    const failureNotes = new FailureNotes({
      participant: 'orders',
      daemon: 'box1',
      log: {
        noteFailures: async (_, __, failures) => {
          written.push(failures);
          if (isAway) throw new Error('the log is away');
        },
      },
    });
    const note = async (failures: readonly FailureNote[]): Promise<number> => {
      failureNotes.note(failures);
      await new Promise(setImmediate);
      return written.length;
    };
    const failure = { gid: 'g', transactionId: 't', attempts: 4, error: 'x', nextInMs: 100 };
    // What an earlier daemon has left is not known: it is told once that nothing fails.
    expect(await note([])).toBe(1);
    expect(await note([])).toBe(1);
    expect(await note([failure])).toBe(2);
    expect(await note([{ ...failure, nextInMs: 50 }])).toBe(2);
    expect(await note([{ ...failure, attempts: 5 }])).toBe(3);
    isAway = true;
    expect(await note([])).toBe(4);
    expect(await note([])).toBe(5);
    isAway = false;
    expect(await note([])).toBe(6);
    expect(await note([])).toBe(6);
    failureNotes.forget();
    expect(await note([])).toBe(7);
  });
});
