/**
 * The checks of `pgxa doctor` over what the log, the participants and the daemons have recorded, each with one thing
 * wrong. On real servers: test/cli/doctor.test.ts.
 */
import { describe, expect, it } from 'vitest';

import type { Answer, ParticipantFacts } from '../../src/triage/doctor-model.ts';
import type { Survey } from '../../src/triage/model.ts';
import {
  answered,
  condition,
  coordinator,
  examine,
  expectFinding,
  LEASES,
  log,
  orders,
  participant,
  recorded,
  REGISTERED,
  role,
  SERVER,
  type Wrong,
} from './doctor-facts.ts';

const foreign = (ageMs: number, xidAge = 0): Partial<Survey> => ({
  foreign: [
    {
      participant: 'orders',
      gid: 'pg_gid_1_2',
      origin: {
        kind: 'logical-replication',
        origin: 'logical replication',
        advice: '',
        decoded: {},
      },
      xid: '1',
      ageMs,
      owner: 'x',
      xidAge,
      freezeLimit: 200,
      blocked: [],
    },
  ],
});
const attempt = {
  participant: 'orders',
  gid: undefined,
  transactionId: undefined,
  daemon: 'box1',
  attempts: 7,
  error: 'connect ECONNREFUSED',
  failedAgoMs: 2_000,
  nextInMs: 28_000,
};
describe('the checks of doctor', () => {
  it('find nothing wrong with what is right', () => {
    const { outcome, counts, findings, complete } = examine();
    expect(findings.filter(({ severity }) => severity !== 'ok')).toEqual([]);
    expect({ outcome, complete }).toEqual({ outcome: 'fine', complete: true });
    expect(counts).toMatchObject({ fault: 0, warning: 0, info: 0 });
  });

  it.each<[string, string, Wrong, RegExp]>([
    [
      'fault',
      'migrated',
      {
        log: answered(
          log({ schema: { isThere: false, found: undefined, known: 1 }, records: undefined }),
        ),
      },
      /no schema/,
    ],
    [
      'fault',
      'migrated',
      { log: answered(log({ schema: { isThere: true, found: 1, known: 2 } })) },
      /needs 2/,
    ],
    [
      'fault',
      'migrated',
      { log: answered(log({ schema: { isThere: true, found: 2, known: 1 } })) },
      /knows up to 1/,
    ],
    ['fault', 'log_rights', { log: answered(log({ purposes: [] })) }, /may not read/],
    [
      'info',
      'log_rights',
      { log: answered(log({ purposes: ['operator', 'monitor'] })) },
      /operator, monitor/,
    ],
    ['fault', 'log_rights', { log: answered(log({ records: undefined })) }, /could not be read/],
    [
      'fault',
      'slots',
      orders({ server: { ...SERVER, maxPreparedTransactions: 0 } }),
      /max_prepared_transactions is 0/,
    ],
    ['fault', 'slots', orders({ slotsUsed: 10 }), /10 of 10/],
    ['warning', 'slots', orders({ slotsUsed: 8 }), /8 of 10/],
    ['ok', 'slots', orders({ slotsUsed: 7 }), /7 of 10/],
    [
      'fault',
      'identity',
      orders({ server: { ...SERVER, server: { ...SERVER.server, databaseOid: '6' } } }),
      /registered is system 1, database oid 5/,
    ],
    ['info', 'identity', recorded({ servers: [] }), /no server of this name yet/],
    [
      'warning',
      'timeline',
      orders({ server: { ...SERVER, server: { ...SERVER.server, timeline: '00000002' } } }),
      /from timeline 00000001 to 00000002/,
    ],
    [
      'warning',
      'timeline',
      recorded({ servers: [{ ...REGISTERED, listedTimeline: '00000000' }] }),
      /not checked yet/,
    ],
    [
      'fault',
      'rights',
      orders(role('shop', 2, 0)),
      /may not finish 2 prepared branches of role shop$/,
    ],
    [
      'fault',
      'rights',
      orders({ ...role('shop', 2, 0), isInstallationKnown: false }),
      /of role shop, of some pgxa installation: which one is not known while the log is unreadable$/,
    ],
    ['fault', 'rights', orders(role(undefined, 2, 0)), /a role that was dropped/],
    ['warning', 'rights', orders(role('shop', 0, 3)), /sessions of pgxa here \(3\)/],
    [
      'info',
      'rights',
      orders({ rights: { superuser: false, roles: [], settable: [] } }),
      /its own branches alone/,
    ],
    ['info', 'rights', orders({ rights: undefined }), /could not be found out/],
    [
      'fault',
      'duplicate_name',
      { participants: { orders: answered(participant()), billing: answered(participant()) } },
      /the same database/,
    ],
    [
      'warning',
      'duplicate_name',
      {
        participants: {
          orders: answered(participant()),
          billing: answered(participant({ server: { ...SERVER, runningSince: '2' } })),
        },
      },
      /copies of one server/,
    ],
    [
      'warning',
      'elsewhere',
      orders({ elsewhere: [{ database: 'stray', count: 3, ours: 2 }] }),
      /"stray" .* branches of this log \(2\)/,
    ],
    [
      'warning',
      'elsewhere',
      orders({
        elsewhere: [{ database: 'stray', count: 3, ours: 2 }],
        isInstallationKnown: false,
      }),
      /branches of some pgxa installation \(2; which one is not known while the log is unreadable\), and is no/,
    ],
    [
      'warning',
      'unconfigured',
      recorded({ servers: [REGISTERED, { ...REGISTERED, participant: 'ledger' }] }),
      /nor does a daemon/,
    ],
    [
      'info',
      'unconfigured',
      recorded({
        servers: [REGISTERED, { ...REGISTERED, participant: 'ledger' }],
        leases: [...LEASES, { name: 'participant ledger', holder: 'box2', remainingMs: 1 }],
      }),
      /box2 works on it/,
    ],
    ['warning', 'lease', recorded({ leases: [] }), /no daemon has ever worked/],
    [
      'fault',
      'lease',
      recorded({ leases: LEASES.map((one) => ({ ...one, remainingMs: -60_000 })) }),
      /box1 is gone since 1 min/,
    ],
    [
      'fault',
      'lease',
      recorded({ leases: LEASES.slice(1) }),
      /no daemon has ever worked on participant orders/,
    ],
    ['fault', 'housekeeping', recorded({ leases: LEASES.slice(0, 1) }), /the house of the log/],
    [
      'fault',
      'last_pass',
      recorded({ servers: [{ ...REGISTERED, listedAgeMs: 600_000 }] }),
      /10 min ago/,
    ],
    [
      'warning',
      'last_pass',
      recorded({ servers: [{ ...REGISTERED, listedAgeMs: undefined }] }),
      /has not read/,
    ],
    [
      'warning',
      'failed_attempt',
      recorded({ failedAttempts: [attempt] }),
      /failed 7 times in a row, last 2 s ago: connect ECONNREFUSED; the next attempt is in 28 s/,
    ],
    [
      'warning',
      'failed_attempt',
      recorded({ failedAttempts: [{ ...attempt, gid: 'g1', transactionId: 't1' }] }),
      /1 set aside .* g1/,
    ],
    ['info', 'coordinators', recorded({ coordinators: [] }), /no coordinator is alive/],
    [
      'info',
      'stale_epochs',
      recorded({ coordinators: [coordinator({ heartbeatAgeMs: 20_000 })] }),
      /checkout on app1 pid 1/,
    ],
    [
      'warning',
      'stale_epochs',
      recorded({ coordinators: [coordinator({ heartbeatAgeMs: 20_000 })], leases: [] }),
      /not retired yet/,
    ],
    [
      'warning',
      'future_heartbeat',
      recorded({ coordinators: [coordinator({ heartbeatAgeMs: -3_600_000 })] }),
      /of the future/,
    ],
    [
      'info',
      'duplicate_name',
      recorded({ coordinators: [coordinator(), coordinator({ host: 'app2' })] }),
      /2 are called checkout/,
    ],
    [
      'info',
      'unguarded',
      recorded({ coordinators: [coordinator({ guarded: false })] }),
      /without a session/,
    ],
    [
      'info',
      'other_version',
      recorded({ coordinators: [coordinator({ version: '0.0.0' })] }),
      /0\.0\.0/,
    ],
    [
      'info',
      'foreign',
      { survey: foreign(1_000) },
      /prepared by others: 1 \(logical replication\)/,
    ],
    ['warning', 'foreign', { survey: foreign(700_000) }, /for 11 min: pg_gid_1_2/],
    ['warning', 'xid_age', { survey: foreign(1_000, 100) }, /xid age is 100, the freeze limit 200/],
    ['fault', 'xid_age', { survey: foreign(1_000, 250) }, /xid age is 250/],
  ])('%s %s', expectFinding);

  it('a server that is silent makes the answer partial; a fault that was found counts before it', () => {
    const silent: Answer<never> = { kind: 'silent', error: 'no answer within 1000 ms' };
    const refused: Answer<never> = { kind: 'refused', error: 'x', hint: 'check user and password' };
    const two = (billing: Answer<ParticipantFacts>, settings: Record<string, string> = {}) =>
      examine({
        ...recorded({
          leases: [...LEASES, { name: 'participant billing', holder: 'box1', remainingMs: 4_000 }],
          servers: [REGISTERED, { ...REGISTERED, participant: 'billing' }],
        }),
        participants: {
          orders: answered(participant({ condition: condition(settings) })),
          billing,
        },
      });
    expect(two(silent)).toMatchObject({ outcome: 'partial', complete: false });
    expect(two(silent, { fsync: 'off' })).toMatchObject({ outcome: 'fault', complete: false });
    expect(two(refused)).toMatchObject({ outcome: 'fault', complete: true });
    expect(examine({ log: silent })).toMatchObject({ outcome: 'partial', complete: false });
    expect(examine({ log: silent }).findings[0]).toMatchObject({
      severity: 'fault',
      subject: 'log',
      check: 'no_answer',
    });
  });
});
