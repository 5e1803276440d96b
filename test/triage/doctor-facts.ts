/** Facts of a log and a participant with which everything is right, and ways to make one of them wrong. */
import { expect } from 'vitest';

import { diagnose } from '../../src/triage/doctor.ts';
import type {
  Answer,
  CoordinatorFacts,
  DoctorFacts,
  LogFacts,
  LogRecords,
  ParticipantFacts,
  ServerCondition,
} from '../../src/triage/doctor-model.ts';
import type { Survey } from '../../src/triage/model.ts';
import { VERSION } from '../../src/version.ts';

const SETTINGS = {
  fsync: 'on',
  full_page_writes: 'on',
  synchronous_commit: 'on',
  synchronous_standby_names: '',
  default_transaction_read_only: 'off',
  idle_in_transaction_session_timeout: '0',
  idle_session_timeout: '0',
  transaction_timeout: '0',
  client_connection_check_interval: '10000',
};

export function condition(
  settings: Readonly<Record<string, string>> = {},
  more: Partial<ServerCondition> = {},
): ServerCondition {
  const all = { ...SETTINGS, ...settings };
  return {
    versionNumber: 170_004,
    inRecovery: false,
    login: 'recovery',
    database: 'd',
    settings: Object.fromEntries(
      Object.entries(all).map(([name, value]) => [name, { value, source: 'database' }]),
    ),
    otherDefaults: [],
    standbys: { connected: 0, synchronous: 0 },
    clock: { aheadMs: 0, uncertainMs: 1 },
    pooler: 'none',
    ...more,
  };
}

export const SERVER: ParticipantFacts['server'] = {
  server: { systemIdentifier: '1', databaseOid: '5', timeline: '00000001' },
  backend: { pid: 1, startedAt: '' },
  inRecovery: false,
  databaseName: 'orders',
  runningSince: '1',
  incarnation: '1 ',
  maxPreparedTransactions: 10,
  versionNumber: 170_004,
  lockTimeoutMs: 0,
  statementTimeoutMs: 0,
  idleTimeoutMs: 0,
  defaultIsolation: 'read committed',
};

export function participant(more: Partial<ParticipantFacts> = {}): ParticipantFacts {
  const rights = { superuser: false, roles: [], settable: ['shop'] };
  return {
    condition: condition(),
    server: SERVER,
    slotsUsed: 0,
    isInstallationKnown: true,
    rights,
    elsewhere: [],
    ...more,
  };
}

export function coordinator(more: Partial<CoordinatorFacts> = {}): CoordinatorFacts {
  return {
    epoch: 'e',
    coordinator: 'checkout',
    host: 'app1',
    pid: 1,
    version: VERSION,
    guarded: true,
    ageMs: 60_000,
    retired: false,
    heartbeatAgeMs: 100,
    heartbeatLimitMs: 0,
    heartbeat: '1',
    sessionGone: false,
    ...more,
  };
}

export const REGISTERED = {
  participant: 'orders',
  systemIdentifier: '1',
  databaseOid: '5',
  timeline: '00000001',
  listedTimeline: '00000001',
  listedAgeMs: 1_000,
  retired: false,
};
export const LEASES = [
  { name: 'participant orders', holder: 'box1', remainingMs: 4_000 },
  { name: 'housekeeping', holder: 'box1', remainingMs: 4_000 },
];

function records(more: Partial<LogRecords> = {}): LogRecords {
  return {
    installation: 'i',
    servers: [REGISTERED],
    leases: LEASES,
    coordinators: [coordinator()],
    failedAttempts: [],
    ...more,
  };
}

export function log(more: Partial<LogFacts> = {}): LogFacts {
  return {
    condition: condition(),
    schema: { isThere: true, found: 1, known: 1 },
    purposes: ['application', 'recovery', 'operator', 'monitor'],
    records: records(),
    ...more,
  };
}

const SURVEY: Survey = {
  takenAt: new Date(0),
  installation: 'i',
  log: { status: 'reachable', error: undefined },
  complete: true,
  participants: [
    {
      name: 'orders',
      status: 'listed',
      error: undefined,
      server: undefined,
      slots: undefined,
      inspectionError: undefined,
      daemon: 'box1',
      attempt: undefined,
    },
  ],
  transactions: [],
  foreign: [],
};

export function answered<T>(facts: T): Answer<T> {
  return { kind: 'answered', facts };
}

export interface Wrong {
  readonly log?: Answer<LogFacts>;
  readonly participants?: Readonly<Record<string, Answer<ParticipantFacts>>>;
  readonly survey?: Partial<Survey>;
}

export function examine(wrong: Wrong = {}) {
  const facts: DoctorFacts = {
    log: wrong.log ?? answered(log()),
    participants: new Map(
      Object.entries(wrong.participants ?? { orders: answered(participant()) }),
    ),
    survey: { ...SURVEY, ...wrong.survey },
    heartbeatLimitMs: 10_000,
  };
  return diagnose(facts, new Date(0));
}

/** With these settings on the log. */
export const inLog = (
  settings: Record<string, string>,
  more: Partial<ServerCondition> = {},
): Wrong => ({
  log: answered(log({ condition: condition(settings, more) })),
});
export const inOrders = (
  settings: Record<string, string>,
  more: Partial<ServerCondition> = {},
): Wrong => ({
  participants: { orders: answered(participant({ condition: condition(settings, more) })) },
});
export const orders = (more: Partial<ParticipantFacts>): Wrong => ({
  participants: { orders: answered(participant(more)) },
});
export const recorded = (more: Partial<LogRecords>): Wrong => ({
  log: answered(log({ records: records(more) })),
});
export const role = (name: string | undefined, branches: number, sessions: number) => ({
  rights: {
    superuser: false,
    settable: [],
    roles: [{ role: name, branches, sessions, mayFinish: false }],
  },
});

/** Expects the finding, and that whatever is not right comes with what to do. */
export function expectFinding(severity: string, check: string, wrong: Wrong, found: RegExp): void {
  const { findings } = examine(wrong);
  const matching = findings.filter((one) => one.check === check && found.test(one.found));
  expect(matching.map((one) => one.severity)).toContain(severity);
  for (const one of findings) {
    const isSaid = one.severity === 'fault' || one.severity === 'warning';
    if (isSaid) expect(one).toMatchObject({ action: expect.stringMatching(/./) as string });
  }
}
