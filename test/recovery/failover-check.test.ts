/** What is compared after a failover: after a second one, after a restart, and in a log that is long. */
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { PostgresDaemonLog } from '../../src/decision-log/postgres-daemon-log.ts';
import type { DecisionLog } from '../../src/decision-log/decision-log.ts';
import type { Participant } from '../../src/participant/participant.ts';
import { FailoverCheck } from '../../src/recovery/failover-check.ts';
import type { ParticipantReport } from '../../src/recovery/report.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { createBank, type Bank } from '../support/bank.ts';
import { waitFor } from '../support/wait.ts';

const server = (timeline: string) => ({ systemIdentifier: '1', databaseOid: '2', timeline });

describe('the check after a failover', () => {
  it('a second failover before the first is checked: the check begins anew, on the newest timeline', async () => {
    let now = '00000003';
    const timelines: string[] = [];
    const branch = { epoch: 'a'.repeat(16), participant: 'p', branch: 1, xid: '7' };
    const participant: Pick<Participant, 'fateHere'> = {
      fateHere: () => Promise.resolve({ server: server(now), fate: 'committed' }),
    };
    const check = new FailoverCheck({
      log: { installation: 'a'.repeat(12) } as DecisionLog,
      daemonLog: {
        listedTimeline: () => Promise.resolve({ timeline: '00000001', ageMs: 1_000 }),
        decidedElsewhere: ({ before, server: { timeline } }) => {
          timelines.push(timeline);
          const id = '019aa000-0000-7000-8000-000000000001';
          const branches = [{ ...branch, transactionId: id, timeline: '00000001' }];
          return Promise.resolve(
            before === undefined ? { branches, reached: id } : { branches: [], reached: undefined },
          );
        },
      },
      participants: new Map([['p', participant as Participant]]),
      runtime: systemRuntime,
      publish: () => undefined,
      name: 'd',
    });
    const note = (timeline: string): void => {
      const report = { server: server(timeline) } as ParticipantReport;
      check.note('p', report, new AbortController().signal);
    };
    // Listed on the second timeline, and gone to the third before the first question is answered.
    note('00000002');
    await waitFor('the first question', () => check.error('p') !== undefined);
    now = '00000003';
    await waitFor('the check', () => {
      note('00000003');
      return check.checkedTimeline('p') === '00000003';
    });
    expect(check.error('p')).toBeUndefined();
    expect(timelines).toContain('00000002');
    expect(timelines.at(-1)).toBe('00000003');
  });

  describe('in the log', () => {
    let bank: Bank;
    let log: PostgresDaemonLog;
    beforeEach(async () => {
      bank = await createBank({ participants: [] });
      log = new PostgresDaemonLog({
        settings: { connectionString: bank.log.connectionString },
        name: 'd',
        connectTimeoutMs: 2_000,
        runtime: systemRuntime,
      });
    });
    afterEach(async () => {
      await log.close();
      await bank.close();
    });

    it('lists of a server that is not checked yet do not shorten the time that the check looks back', async () => {
      await bank.log.query(
        `insert into pgxa.participant (name, system_identifier, database_oid, database_name, timeline,
                                       listed_at, listed_timeline, listed_timeline_at)
         select 'p', '1', '2', 'x', '00000001', at, '00000001', at
           from (select clock_timestamp() - interval '3 hours') as t (at)`,
      );
      const note = (timeline: string | undefined) =>
        log.noteListings([
          { participant: 'p', ...server(''), oldest: undefined, ageMs: 0, timeline },
        ]);
      await note(undefined);
      const before = await log.listedTimeline('p', server('00000002'));
      expect(before).toMatchObject({ timeline: '00000001' });
      expect(before?.ageMs).toBeGreaterThan(10_000_000);
      await note('00000002');
      const after = await log.listedTimeline('p', server('00000002'));
      expect(after).toMatchObject({ timeline: '00000002' });
      expect(after?.ageMs).toBeLessThan(60_000);
    });

    it('a log with many decisions of others: page by page to the one that is meant', async () => {
      const decide = (participant: string, atMs: string): Promise<unknown> =>
        bank.log.query(
          `insert into pgxa.decision (transaction_id, epoch, outcome, decided_by, branches)
           select (left(pgxa.uuid_at(clock_timestamp() - (${atMs}) * interval '1 millisecond')::text, 14)
                   || '7' || substr(gen_random_uuid()::text, 16))::uuid,
                  $1, 'commit', 'recovery', jsonb_build_array(jsonb_build_object(
                    'participant', $2::text, 'branch', 1, 'xid', '7', 'system', '1', 'timeline', '00000001'))
             from generate_series(1, case $2 when 'rare' then 1 else 12000 end) n`,
          [randomBytes(8).toString('hex'), participant],
        );
      await bank.log.query(`select pgxa.make_partition(clock_timestamp() - interval '1 hour')`);
      await decide('other', '1000 + n');
      await decide('rare', '60000');
      const found: string[] = [];
      let before: string | undefined;
      let pages = 0;
      for (;;) {
        const request = { participant: 'rare', server: server('00000002'), before };
        const { branches, reached } = await log.decidedElsewhere({
          ...request,
          withinMs: 3_600_000,
        });
        found.push(...branches.map((one) => one.participant));
        if (reached === undefined) break;
        expect(reached < (before ?? 'g')).toBe(true);
        before = reached;
        pages += 1;
      }
      expect(pages).toBe(3);
      expect(found).toEqual(['rare']);
    });
  });
});
