/** What pgxa asks its decision log. */
import * as operatorSql from '../../../src/decision-log/operator-statements.ts';
import * as sql from '../../../src/decision-log/statements.ts';
import { schemaVersion } from '../../../src/decision-log/migrate.ts';
import type { WireStatement } from '../wire.ts';
import type { CoordinatorData, Data } from './data.ts';
import { bool, fieldsOf, rowsAnswer, ServerError, type Answer } from './replies.ts';
import { barrier } from './participant-statements.ts';
import type { Session } from './session.ts';
import type { StatementPattern } from './statement.ts';

const IDS = fieldsOf('transaction_id');
const DECISIONS = fieldsOf(
  'transaction_id outcome decided_by decided_at:timestamptz label branches:jsonb',
);
const WON = fieldsOf('transaction_id decided_at:timestamptz');
const KEYS = fieldsOf('key transaction_id');
const LOCKED = fieldsOf('locked:bool');
const EPOCHS = fieldsOf(
  'epoch name retired:bool heartbeat_age_ms heartbeat_limit_ms:int4 heartbeat session_gone:bool',
);
const RETIRED = fieldsOf('retired:bool');
const REPLACES = fieldsOf('replaces');

const texts = (value: unknown): readonly (string | null)[] => value as (string | null)[];
/** `= any`: a value that comes twice finds its row once. */
const anyOf = (value: unknown): (string | null)[] => [...new Set(texts(value))];

/** The commit point. Its clauses are guards: what is missing in the text is missing in what it does. */
function decide(text: string): (session: Session, wire: WireStatement) => Answer {
  const fenced = text.includes('retired_at is null');
  const locksEpoch = text.includes('for key share');
  const keepsKeys = text.includes('insert into pgxa.idempotency');
  const tagged = (decided: readonly { readonly id: string }[]): Answer => {
    const answer = rowsAnswer(
      IDS,
      decided.map(({ id }) => [id]),
    );
    const isInsert = text === sql.DECIDE_UNKEYED_SQL;
    return isInsert ? { ...answer, tag: `INSERT 0 ${decided.length}` } : answer;
  };
  return (session, { values: [epochValue, ids, labels, branches, keys] }) => {
    const epoch = String(epochValue);
    session.refuseOnStandby();
    if (locksEpoch) session.lock(`coordinator:${epoch}`, 'key-share');
    const coordinator = session.server.data.coordinators.get(epoch);
    if (coordinator === undefined || (fenced && coordinator.retired)) return tagged([]);
    const order = texts(ids)
      .map((id, at) => ({ id: id ?? '', at }))
      .sort((a, b) => (a.id < b.id ? -1 : 1));
    const decided = order.flatMap(({ id, at }) =>
      insertDecision(session, {
        transactionId: id,
        epoch,
        outcome: 'commit',
        decidedBy: 'coordinator',
        label: texts(labels)[at] ?? null,
        branches: texts(branches)[at] ?? '[]',
      })
        ? [{ id, key: texts(keys ?? [])[at] ?? undefined }]
        : [],
    );
    for (const { id, key } of decided) {
      if (key !== undefined && keepsKeys) insertKey(session, key, id);
    }
    return tagged(decided);
  };
}

/** Its condition is a guard too. */
function operatorCommit(text: string): (session: Session, wire: WireStatement) => Answer {
  const fenced = text.includes('not exists (select from pgxa.coordinator');
  return (session, { values: [id, epochValue, label, branches] }) => {
    const epoch = String(epochValue);
    session.refuseOnStandby();
    const mayDecide = session.server.data.coordinators.get(epoch)?.retired === false;
    if (fenced && mayDecide) return { tag: 'INSERT 0 0' };
    const isNew = insertDecision(session, {
      transactionId: String(id),
      epoch,
      outcome: 'commit',
      decidedBy: 'operator',
      label: label as string | null,
      branches: String(branches),
    });
    return { tag: isNew ? 'INSERT 0 1' : 'INSERT 0 0' };
  };
}

type DecisionData = Parameters<Data['decisions']['set']>[1];

/** on conflict do nothing: waits for a row that is being written, and gives way to one that stands. */
function insertDecision(session: Session, row: DecisionData): boolean {
  const { server } = session;
  session.lock(`decision:${row.transactionId}`, 'update');
  if (server.data.decisions.has(row.transactionId)) return false;
  session.assignXid();
  server.observer.deciding(session, row.transactionId, row.outcome, row.branches);
  session.change((data) => {
    const late = data.coordinators.get(row.epoch)?.retired === true;
    if (late && row.decidedBy === 'coordinator' && row.outcome === 'commit') {
      server.observer.decidedLate(row.epoch);
    }
    data.decisions.set(row.transactionId, row);
  });
  return true;
}

function insertKey(session: Session, key: string, id: string): void {
  session.lock(`key:${key}`, 'update');
  if (session.server.data.keys.has(key)) {
    throw new ServerError('23505', 'duplicate key', 'idempotency_pkey');
  }
  session.change((data) => {
    data.keys.set(key, id);
  });
}

function keepKeys(session: Session, { values: [keys, ids] }: WireStatement): Answer {
  session.refuseOnStandby();
  const free = texts(keys).flatMap((key, at) => {
    session.lock(`key:${key ?? ''}`, 'update');
    const isFree = key !== null && !session.server.data.keys.has(key);
    return isFree ? [{ key, id: texts(ids)[at] ?? '' }] : [];
  });
  for (const { key, id } of free) insertKey(session, key, id);
  if (free.length > 0) session.assignXid();
  return { tag: `INSERT 0 ${free.length}` };
}

function abort(session: Session, { values: [by, ids, epochs] }: WireStatement): Answer {
  session.refuseOnStandby();
  const order = texts(ids)
    .map((id, at) => ({ id: id ?? '', epoch: texts(epochs)[at] ?? '' }))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
  const written = order.filter(({ id, epoch }) =>
    insertDecision(session, {
      transactionId: id,
      epoch,
      outcome: 'abort',
      decidedBy: String(by),
      label: null,
      branches: '[]',
    }),
  );
  const rows = written.map(({ id }) => [id, '2030-01-01 00:00:00+00']);
  return { ...rowsAnswer(WON, rows), tag: `INSERT 0 ${written.length}` };
}

function decisions(session: Session, { values: [ids] }: WireStatement): Answer {
  const data = session.server.dataOf(session);
  const rows = anyOf(ids).flatMap((id) => {
    const found = data.decisions.get(id ?? '');
    if (found === undefined) return [];
    const { transactionId, outcome, decidedBy, label, branches } = found;
    return [[transactionId, outcome, decidedBy, '2030-01-01 00:00:00+00', label, branches]];
  });
  return rowsAnswer(DECISIONS, rows);
}

function keysOf(session: Session, keys: readonly (string | null)[]): [string, string][] {
  const data = session.server.dataOf(session);
  return keys.flatMap((key) => {
    const id = data.keys.get(key ?? '');
    return id === undefined ? [] : [[key ?? '', id] as [string, string]];
  });
}

function registerCoordinator(
  session: Session,
  { values: [epochValue, name, , , , limitMs] }: WireStatement,
): Answer {
  const epoch = String(epochValue);
  session.refuseOnStandby();
  session.lock(`coordinator:${epoch}`, 'update');
  if (session.server.data.coordinators.has(epoch)) throw new ServerError('23505', 'duplicate key');
  session.assignXid();
  const heartbeatAt = session.server.now;
  session.server.observer.registering(epoch);
  session.change((data) => {
    data.coordinators.set(epoch, {
      name: String(name),
      heartbeatAt,
      heartbeatLimitMs: Number(limitMs),
      guarded: false,
      retired: false,
    });
  });
  return { tag: 'INSERT 0 1' };
}

function lockEpoch(session: Session, { values: [epoch] }: WireStatement): Answer {
  const key = String(epoch);
  const holder = session.server.advisory.get(key);
  if (holder === undefined && !session.onStandby) session.server.advisory.set(key, session);
  return rowsAnswer(LOCKED, [[bool(holder === undefined || holder === session)]]);
}

/** Updates the row of an epoch that is not retired, after whoever is at it. */
function updateCoordinator(
  session: Session,
  epoch: string,
  changed: (row: CoordinatorData) => CoordinatorData,
  mode: 'no-key-update' | 'update' = 'no-key-update',
): Answer {
  session.refuseOnStandby();
  const row = session.server.data.coordinators.get(epoch);
  if (row === undefined || row.retired) return { tag: 'UPDATE 0' };
  session.lock(`coordinator:${epoch}`, mode);
  session.assignXid();
  const after = changed(row);
  session.change((data) => {
    data.coordinators.set(epoch, after);
  });
  return { tag: 'UPDATE 1' };
}

function heartbeat(session: Session, { values: [epochValue] }: WireStatement): Answer {
  const epoch = String(epochValue);
  const { server } = session;
  const guarded = server.advisory.get(epoch) === session;
  return updateCoordinator(session, epoch, (row) => ({ ...row, heartbeatAt: server.now, guarded }));
}

function epochs(session: Session, { values: [wanted] }: WireStatement): Answer {
  const { server } = session;
  const data = server.dataOf(session);
  const rows = anyOf(wanted).flatMap((epoch) => {
    const row = data.coordinators.get(epoch ?? '');
    if (row === undefined) return [];
    const sessionGone = row.guarded && (session.onStandby || !server.advisory.has(epoch ?? ''));
    return [
      [
        epoch,
        row.name,
        bool(row.retired),
        String(server.now - row.heartbeatAt),
        String(row.heartbeatLimitMs),
        String(row.heartbeatAt),
        bool(sessionGone),
      ],
    ];
  });
  return rowsAnswer(EPOCHS, rows);
}

function retire(text: string): (session: Session, wire: WireStatement) => Answer {
  const heedsItsLimit = text.includes('greatest($2, heartbeat_limit_ms)');
  return (session, wire) => retireNow(session, wire, heedsItsLimit);
}

function retireNow(session: Session, { values }: WireStatement, heedsItsLimit: boolean): Answer {
  const [epochValue, limitMs, goneMs] = values;
  const epoch = String(epochValue);
  session.refuseOnStandby();
  const { server } = session;
  const row = server.data.coordinators.get(epoch);
  if (row === undefined || row.retired) return { tag: 'UPDATE 0' };
  const ageMs = server.now - row.heartbeatAt;
  const free = (server.advisory.get(epoch) ?? session) === session;
  const outOfTime = ageMs > Math.max(Number(limitMs), heedsItsLimit ? row.heartbeatLimitMs : 0);
  const over = outOfTime || (row.guarded && ageMs > Number(goneMs) && free);
  if (!over) return { tag: 'UPDATE 0' };
  session.lock(`coordinator:${epoch}`, 'update');
  session.assignXid();
  session.change((data) => {
    data.coordinators.set(epoch, { ...row, retired: true });
  });
  return { tag: 'UPDATE 1' };
}

function isRetired(session: Session, { values: [epoch] }: WireStatement): Answer {
  const row = session.server.dataOf(session).coordinators.get(String(epoch));
  return rowsAnswer(RETIRED, row === undefined ? [] : [[bool(row.retired)]]);
}

function registerParticipant(session: Session, { values }: WireStatement): Answer {
  const [name, system, oid] = values.map(String);
  session.refuseOnStandby();
  session.assignXid();
  const server = `system ${system ?? ''} database oid ${oid ?? ''}`;
  const before = [...session.server.data.servers]
    .filter(([key]) => key.startsWith(`${name ?? ''} `))
    .sort(([, a], [, b]) => b.seenAt - a.seenAt)[0]?.[1];
  const seenAt = session.server.now;
  session.change((data) => {
    session.server.observer.meeting(session, name ?? '');
    data.servers.set(`${name ?? ''} ${server}`, { server, seenAt });
  });
  const replaces = before === undefined || before.server === server ? null : before.server;
  return rowsAnswer(REPLACES, [[replaces]]);
}

function recordHeuristic(session: Session, { values }: WireStatement): Answer {
  const [gid = '', kind = ''] = values.map(String);
  session.refuseOnStandby();
  session.lock(`heuristic:${gid}:${kind}`, 'update');
  if (session.server.data.heuristics.has(`${gid} ${kind}`)) return { tag: 'INSERT 0 0' };
  session.assignXid();
  session.change((data) => {
    data.heuristics.set(`${gid} ${kind}`, { gid, kind });
  });
  return { tag: 'INSERT 0 1' };
}

/** The session settings of the log: warnings are shown, and no statement waits for ever. */
function setUp(text: string): (session: Session) => Answer {
  const timeout = /set_config\('statement_timeout', '(\d+)'/.exec(text)?.[1];
  const shows = text.includes("set_config('client_min_messages', 'warning', false)");
  const fields = fieldsOf('set_config standby:bool');
  return (session) => {
    session.sessionSettings.statementTimeoutMs = Number(timeout ?? 0);
    session.sessionSettings.lockTimeoutMs = Number(timeout ?? 0);
    if (shows) session.sessionSettings.hidesWarnings = false;
    session.resetLocal();
    return rowsAnswer(fields, [['', bool(session.onStandby)]]);
  };
}

const STANDBY = fieldsOf('standby:bool');
const ALLOWED = fieldsOf('role allowed:bool');
const PRESENT = fieldsOf('present:bool');
const VERSION = fieldsOf('version:int4');
const ID = fieldsOf('id');
const HORIZON = fieldsOf('forgotten_before_ms');
const NOTIFIED = fieldsOf('pg_notify');

const is = (wanted: string) => (text: string) => text === wanted;
const runs = (run: (session: Session, wire: WireStatement) => Answer) => () => run;

function pattern(
  kind: string,
  matches: StatementPattern['matches'],
  make: StatementPattern['make'],
): StatementPattern {
  return { kind, matches, make };
}

// prettier-ignore
export const LOG_STATEMENTS: readonly StatementPattern[] = [
  pattern(
    'decide',
    (text) => text === sql.DECIDE_SQL || text === sql.DECIDE_UNKEYED_SQL,
    decide,
  ),
  pattern('settle', is(sql.ABORT_SQL), runs(abort)),
  pattern('decisions', is(sql.DECISIONS_SQL), runs(decisions)),
  pattern('keys', is(sql.KEYS_SQL), runs((session, { values }) =>
    rowsAnswer(KEYS, keysOf(session, texts(values[0]))))),
  pattern('barrier', is(sql.DECISIONS_BARRIER_SQL), runs((session, { values }) =>
    barrier(session, texts(values[0]).some((id) => session.server.dataOf(session).decisions.has(id ?? ''))))),
  pattern('keep-keys', is(sql.KEEP_KEYS_SQL), runs(keepKeys)),
  pattern('barrier', is(sql.KEYS_BARRIER_SQL), runs((session, { values }) =>
    barrier(session, keysOf(session, texts(values[0])).length > 0))),
  pattern('register', is(sql.REGISTER_COORDINATOR_SQL), runs(registerCoordinator)),
  pattern('lock-epoch', is(sql.LOCK_EPOCH_SQL), runs(lockEpoch)),
  pattern('heartbeat', is(sql.HEARTBEAT_SQL), runs(heartbeat)),
  pattern('epochs', is(sql.EPOCHS_SQL), runs(epochs)),
  pattern('retire', is(sql.RETIRE_SQL), retire),
  pattern('is-retired', is(sql.IS_RETIRED_SQL), runs(isRetired)),
  pattern('force-commit', is(operatorSql.OPERATOR_COMMIT_SQL), operatorCommit),
  pattern('retire-now', is(operatorSql.RETIRE_NOW_SQL), (text) => (session, { values }) => {
    const mode = text.includes('for update') ? 'update' : 'no-key-update';
    return updateCoordinator(session, String(values[0]), (row) => ({ ...row, retired: true }), mode);
  }),
  pattern('audit', is(operatorSql.NOTE_SQL), runs((session) => {
    session.refuseOnStandby();
    session.assignXid();
    return { tag: 'INSERT 0 1' };
  })),
  pattern('end-epoch', is(sql.END_EPOCH_SQL), runs((session, { values }) =>
    updateCoordinator(session, String(values[0]), (row) => ({ ...row, retired: true })))),
  pattern('participant', is(sql.REGISTER_PARTICIPANT_SQL), runs(registerParticipant)),
  pattern('heuristic', is(sql.RECORD_HEURISTIC_SQL), runs(recordHeuristic)),
  // Days are not simulated: nothing is forgotten (test/decision-log/retention.test.ts), and nobody listens.
  pattern('horizon', is(sql.HORIZON_SQL), runs(() => rowsAnswer(HORIZON, []))),
  pattern('request-recovery', is(sql.REQUEST_RECOVERY_SQL), runs(() => rowsAnswer(NOTIFIED, [['']]))),
  pattern('installation', is(sql.INSTALLATION_SQL), runs((session) =>
    rowsAnswer(ID, [[session.server.options.installation ?? null]]))),
  pattern('set-up', (text) => text.includes("set_config('default_transaction_isolation'"), setUp),
  pattern('is-standby', is('select pg_is_in_recovery() as standby'), runs((session) =>
    rowsAnswer(STANDBY, [[bool(session.onStandby)]]))),
  pattern('privileges', (text) => text.includes("has_schema_privilege('pgxa', 'usage')"), runs(() =>
    rowsAnswer(ALLOWED, [['app', 't']]))),
  pattern('present', is(`select to_regclass('pgxa.migrations') is not null as present`), runs(() =>
    rowsAnswer(PRESENT, [['t']]))),
  pattern('version', is('select max(id)::int as version from pgxa.migrations'), () => {
    const version = rowsAnswer(VERSION, [[String(schemaVersion())]]);
    return () => version;
  }),
];
