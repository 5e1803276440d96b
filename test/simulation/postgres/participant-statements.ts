/** What pgxa asks a participant, and what the simulated application does there. */
import {
  BEFORE_PREPARE_SQL,
  CONSTRAINTS_SQL,
  POOLED_BEFORE_COMMIT_SQL,
  POOLED_BEFORE_PREPARE_SQL,
  POOLED_PROBE_SQL,
  UNLOCK_SQL,
} from '../../../src/participant/branch-statements.ts';
import {
  EXECUTE_BEFORE_PREPARE_SQL,
  EXECUTE_PROBE_SQL,
  EXECUTE_UNLOCK_SQL,
} from '../../../src/participant/branch-session.ts';
import { LIST_BARRIER_SQL } from '../../../src/participant/listing.ts';
import { SERVER_FACTS_SQL, STATUS_BARRIER_SQL } from '../../../src/participant/server-facts.ts';
import { SAFE_PATH_SQL } from '../../../src/postgres/safe-path.ts';
import type { WireStatement } from '../wire.ts';
import { bool, fieldsOf, rowsAnswer, ServerError, type Answer, type Row } from './replies.ts';
import type { SimulatedServer } from './server.ts';
import type { Session } from './session.ts';
import type { StatementPattern } from './statement.ts';
import { Wait } from './wait.ts';

/** The statements of the simulated application. */
export const INSERT_MARKER = 'insert into marker values ($1)';
export const TOUCH_ACCOUNT = 'update account set touched = touched + 1 where id = $1';
export const READ_ACCOUNT = 'select touched from account where id = $1';

const FACT_COLUMNS =
  'pid:int4 started_at in_recovery:bool system_identifier timeline database_oid database_name ' +
  'running_since incarnation version_number:int4 settings:jsonb';
const FACTS = fieldsOf(FACT_COLUMNS);
const STATUS = fieldsOf(`${FACT_COLUMNS} status`);
const LISTING = fieldsOf('listing:jsonb');
const PROBE = fieldsOf('pg_current_xact_id_if_assigned pg_backend_pid:int4');
const POOLED_PROBE = fieldsOf(
  'pg_current_xact_id_if_assigned pg_backend_pid:int4 incarnation began',
);
const BEGAN = fieldsOf('began');
const BEFORE_PREPARE_COLUMNS = 'pg_current_xact_id set_config pg_advisory_unlock_all';
const BEFORE_PREPARE = fieldsOf(BEFORE_PREPARE_COLUMNS);
const POOLED_BEFORE_PREPARE = fieldsOf(`${BEFORE_PREPARE_COLUMNS} began`);
const GONE = fieldsOf('here:bool gone:bool');
const SET_CONFIG = fieldsOf('set_config');
const TERMINATE = fieldsOf('pg_terminate_backend:bool');
const BARRIER = fieldsOf('pg_logical_emit_message');
const UNLOCK = fieldsOf('pg_advisory_unlock_all');
const TOUCHED = fieldsOf('touched:int4');

/** As the first 8 digits of a WAL file name. */
export function timelineText(timeline: number): string {
  return timeline.toString(16).padStart(8, '0').toUpperCase();
}

export function startTime(session: Session): string {
  return (session.startTime ??= (1_700_000_000 + session.startedAt / 1000).toFixed(6));
}

function facts(session: Session): Row {
  const { server, onStandby } = session;
  const settings = {
    max_prepared_transactions: String(server.maxPrepared),
    lock_timeout: '0',
    statement_timeout: '0',
    idle_in_transaction_session_timeout: '0',
    default_transaction_isolation: 'read committed',
  };
  return [
    String(session.pid),
    startTime(session),
    bool(onStandby),
    server.systemIdentifier,
    onStandby ? '' : timelineText(server.timeline),
    server.databaseOid,
    server.databaseName,
    String(server.startedAt + (onStandby ? 0.5 : 0)),
    incarnationOf(session),
    '180000',
    { json: settings },
  ];
}

/** As `to_jsonb` of the row: numbers and booleans are no texts. */
function factsAsJson(session: Session): Record<string, unknown> {
  const values = facts(session);
  const row: Record<string, unknown> = {};
  for (let at = 0; at < FACTS.length; at += 1) {
    const field = FACTS[at];
    const value = values[at] ?? null;
    if (field === undefined) continue;
    row[field.name] = typeof value === 'string' ? field.parse(value) : value?.json;
  }
  return row;
}

/** `pg_xact_status`: what is not running and left no record was lost, and counts as aborted. */
export function statusOf(server: SimulatedServer, xid: number): string {
  if (xid >= server.nextXid) throw new ServerError('22023', 'transaction ID is in the future');
  for (const xact of server.running) if (xact.xid === xid) return 'in progress';
  for (const { xact } of server.prepared()) if (xact.xid === xid) return 'in progress';
  return server.data.fates.get(xid) ?? 'aborted';
}

function listing(session: Session): Answer {
  const { server, onStandby } = session;
  const prepared = onStandby ? [] : [...server.prepared()];
  const branches = prepared.map(({ gid, xact, preparedAt }) => ({
    gid,
    xid: String(xact.xid),
    age_ms: String(Math.round(server.now - preparedAt)),
    owner: 'app',
  }));
  const listed = {
    facts: factsAsJson(session),
    role_name: 'app',
    slots_used: prepared.length,
    branches,
  };
  return rowsAnswer(LISTING, [[{ json: listed }]]);
}

function xactStatus(session: Session, { values }: WireStatement): Answer {
  const { server } = session;
  if (session.onStandby) {
    // A standby knows no running transactions of its own; its answer is thrown away.
    return rowsAnswer(STATUS, [[...facts(session), null]]);
  }
  const status = statusOf(server, Number(values[0]));
  return rowsAnswer(STATUS, [[...facts(session), status]]);
}

function incarnationOf({ server, onStandby }: Session): string {
  return `${server.startedAt + (onStandby ? 0.5 : 0)} 0/${server.replayedTo.toString(16)}`;
}

function probe(session: Session): Answer {
  return rowsAnswer(PROBE, [[session.xact.xid?.toString() ?? null, String(session.pid)]]);
}

function pooledProbe(session: Session): Answer {
  const xid = session.xact.xid?.toString() ?? null;
  const row = [xid, String(session.pid), incarnationOf(session), began(session)];
  return rowsAnswer(POOLED_PROBE, [row]);
}

/** `client_min_messages` for the rest of the transaction. */
function showWarnings(text: string): (session: Session) => Answer {
  const shows = text.endsWith('= warning');
  return (session) => {
    if (session.status === 'I' && !session.isImplicit) session.warn('25P01');
    if (shows) session.settings.hidesWarnings = false;
    return { tag: 'SET' };
  };
}

/** One transaction of a session begins after the other. */
function began({ xact }: Session): string {
  return String(xact.ordinal);
}

function beforeCommit(session: Session): Answer {
  return rowsAnswer(BEGAN, [[began(session)]]);
}

function beforePrepare(session: Session): Answer {
  const xid = String(session.assignXid());
  // A guard that is removed hides them instead.
  if (BEFORE_PREPARE_SQL.includes("'warning'")) session.settings.hidesWarnings = false;
  releaseAdvisory(session);
  return rowsAnswer(BEFORE_PREPARE, [[xid, 'warning', '']]);
}

function pooledBeforePrepare(session: Session): Answer {
  const { rows: [row = []] = [] } = beforePrepare(session);
  return rowsAnswer(POOLED_BEFORE_PREPARE, [[...row, began(session)]]);
}

function constraints(session: Session): Answer {
  if (session.status === 'I' && !session.isImplicit) session.warn('25P01');
  return { tag: 'SET CONSTRAINTS' };
}

function releaseAdvisory(session: Session): void {
  const { advisory } = session.server;
  for (const [key, holder] of advisory) if (holder === session) advisory.delete(key);
}

function unlock(session: Session): Answer {
  releaseAdvisory(session);
  return rowsAnswer(UNLOCK, [['']]);
}

/** For the rest of the transaction. */
function limits(text: string): (session: Session, wire: WireStatement) => Answer {
  const names = [...text.matchAll(/set_config\('(\w+)', \$\d+, true\)/g)].map(([, name]) => name);
  const fields = fieldsOf(names.map(() => 'set_config').join(' '));
  return ({ settings }, { values }) => {
    for (const [index, name] of names.entries()) setLimit(settings, name, String(values[index]));
    return rowsAnswer(fields, [values.map(String)]);
  };
}

/** For all transactions that the session will have. */
function sessionLimits(text: string): (session: Session) => Answer {
  const given = [...text.matchAll(/set_config\('(\w+)', '(\d+ms)', false\)/g)];
  const fields = fieldsOf(given.map(() => 'set_config').join(' '));
  return (session) => {
    for (const [, name, value = ''] of given) setLimit(session.sessionSettings, name, value);
    session.resetLocal();
    return rowsAnswer(fields, [given.map(([, , value = '']) => value)]);
  };
}

function setLimit(settings: Session['settings'], name: string | undefined, value: string): void {
  const ms = Number(value.replace('ms', ''));
  if (name === 'lock_timeout') settings.lockTimeoutMs = ms;
  else if (name === 'statement_timeout') settings.statementTimeoutMs = ms;
  else settings.idleTimeoutMs = ms;
}

function isBackend(session: Session, pid: unknown, startedAt: unknown): boolean {
  return session.pid === pid && startTime(session) === startedAt && !session.onStandby;
}

/** Both halves of a fence see the sessions of the node that they run on. */
function sameNode(asker: Session, seen: Session): boolean {
  return asker.onStandby === seen.onStandby;
}

function terminate(session: Session, { values: [pid, startedAt] }: WireStatement): Answer {
  const found = [...session.server.sessions.values()].find(
    (other) => sameNode(session, other) && isBackend(other, pid, startedAt),
  );
  if (found === undefined) return rowsAnswer(TERMINATE, []);
  if (!session.timedOut) {
    found.terminate();
    if (!found.gone) throw new Wait(`gone:${found.pid}:${found.startedAt}`, 3_000);
  }
  return rowsAnswer(TERMINATE, [[bool(found.gone)]]);
}

function gone(text: string): (session: Session, wire: WireStatement) => Answer {
  const asksStandby = text.includes('not pg_is_in_recovery()');
  const asksSystem = text.includes('system_identifier::text from pg_control_system()) = $3');
  return (session, { values: [pid, startedAt, system] }) => {
    const { server, onStandby } = session;
    const there = [...server.sessions.values()].some(
      (other) => sameNode(session, other) && isBackend(other, pid, startedAt),
    );
    const onIt =
      (!asksStandby || !onStandby) && (!asksSystem || server.systemIdentifier === system);
    return rowsAnswer(GONE, [[bool(onIt), bool(!there)]]);
  };
}

function terminateStale(session: Session, { values: [pid] }: WireStatement): Answer {
  const found = session.server.sessions.get(Number(pid));
  if (found === undefined || !found.active || !sameNode(session, found)) {
    return rowsAnswer(TERMINATE, []);
  }
  found.terminate();
  return rowsAnswer(TERMINATE, [['t']]);
}

/** A commit of its own, behind everything that was visible before; only where something was. */
export function barrier(session: Session, isNeeded: boolean): Answer {
  if (!isNeeded) return rowsAnswer(BARRIER, []);
  session.assignXid();
  return rowsAnswer(BARRIER, [['0/1']]);
}

function statusBarrier(session: Session, { values }: WireStatement): Answer {
  return barrier(session, statusOf(session.server, Number(values[0])) === 'committed');
}

function insertMarker(session: Session, { values }: WireStatement): Answer {
  session.assignXid();
  const id = String(values[0]);
  session.xact.transactionId = id;
  session.change((data) => data.markers.set(id, (data.markers.get(id) ?? 0) + 1));
  return { tag: 'INSERT 0 1' };
}

function touchAccount(session: Session, { values }: WireStatement): Answer {
  session.refuseOnStandby();
  session.lock(`account:${String(values[0])}`, 'no-key-update');
  session.assignXid();
  return { tag: 'UPDATE 1' };
}

/** Any error of a statement: for the comparison with real servers. */
export const FAILING_SQL = 'select 1 / 0';

function fail(): never {
  throw new ServerError('22012', 'division by zero');
}

function pattern(
  kind: string,
  matches: (text: string) => boolean,
  make: StatementPattern['make'],
): StatementPattern {
  return { kind, matches, make };
}

const is = (wanted: string) => (text: string) => text === wanted;
const answers = (answer: Answer) => () => () => answer;

export const PARTICIPANT_STATEMENTS: readonly StatementPattern[] = [
  pattern('facts', is(SERVER_FACTS_SQL), () => (session) => rowsAnswer(FACTS, [facts(session)])),
  pattern(
    'xact-status',
    (text) => text.includes('pg_xact_status($1::xid8) as status'),
    () => xactStatus,
  ),
  pattern(
    'list',
    (text) => text.includes('from pg_prepared_xacts p, next'),
    () => listing,
  ),
  pattern('probe', is(EXECUTE_PROBE_SQL), () => probe),
  pattern('pooled-probe', is(POOLED_PROBE_SQL), () => pooledProbe),
  pattern(
    'look',
    (text) => text.startsWith('set local client_min_messages = '),
    (text) => showWarnings(text),
  ),
  pattern('before-prepare', is(EXECUTE_BEFORE_PREPARE_SQL), () => beforePrepare),
  pattern('before-prepare', is(POOLED_BEFORE_PREPARE_SQL), () => pooledBeforePrepare),
  pattern('before-commit', is(POOLED_BEFORE_COMMIT_SQL), () => beforeCommit),
  pattern(
    'prepare-statement',
    (text) => text.startsWith('prepare pgxa_'),
    answers({ tag: 'PREPARE' }),
  ),
  pattern('constraints', is(CONSTRAINTS_SQL), () => constraints),
  pattern(
    'unlock',
    (text) => text === UNLOCK_SQL || text === EXECUTE_UNLOCK_SQL,
    () => unlock,
  ),
  pattern(
    'limits',
    (text) => /^\s*select pg_catalog\.set_config\('\w+', \$1, true\)/.test(text),
    limits,
  ),
  pattern(
    'session-limits',
    (text) => /^select pg_catalog\.set_config\('\w+', '/.test(text),
    sessionLimits,
  ),
  pattern('set-path', is(SAFE_PATH_SQL), answers({ tag: 'SET' })),
  pattern(
    'show-warnings',
    (text) => text.startsWith("select set_config('client_min_messages', 'warning', false)"),
    () => (session) => {
      session.sessionSettings.hidesWarnings = false;
      session.resetLocal();
      return rowsAnswer(SET_CONFIG, []);
    },
  ),
  pattern(
    'terminate',
    (text) => /^select pg_terminate_backend\(pid, 3000\)/.test(text),
    () => terminate,
  ),
  pattern('gone', (text) => text.includes(' as gone'), gone),
  pattern(
    'terminate-stale',
    (text) => text.startsWith('select pg_terminate_backend(pid) from pg_stat'),
    () => terminateStale,
  ),
  pattern('barrier', is(STATUS_BARRIER_SQL), () => statusBarrier),
  pattern('barrier', is(LIST_BARRIER_SQL), () => (session) => barrier(session, true)),
  pattern('insert', is(INSERT_MARKER), () => insertMarker),
  pattern('touch', is(TOUCH_ACCOUNT), () => touchAccount),
  pattern('failing', is(FAILING_SQL), () => fail),
  pattern('read', is(READ_ACCOUNT), answers(rowsAnswer(TOUCHED, [['0']]))),
];
