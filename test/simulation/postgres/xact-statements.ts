/** Transaction control: BEGIN to COMMIT, and the two phases. */
import type { WireStatement } from '../wire.ts';
import type { Session } from './session.ts';
import type { EndOfXact } from './session-xact.ts';
import { ServerError } from './replies.ts';
import type { StatementPattern } from './statement.ts';

const GID_BYTES_MAX = 199;

const NOTHING: EndOfXact['end'] = undefined;

function begin(session: Session): EndOfXact {
  if (session.status !== 'I') session.warn('25001');
  else session.status = 'T';
  return { tag: 'BEGIN', end: NOTHING };
}

function commit(session: Session): EndOfXact {
  switch (session.status) {
    case 'I':
      session.warn('25P01');
      if (!session.isImplicit) return { tag: 'COMMIT', end: NOTHING };
      break;
    case 'E':
      session.abort();
      return { tag: 'ROLLBACK', end: NOTHING };
    case 'T':
      break;
  }
  const { xact } = session;
  if (xact.xid === undefined) {
    session.abort();
    return { tag: 'COMMIT', end: NOTHING };
  }
  return { tag: 'COMMIT', end: { record: { kind: 'commit', xact }, xact } };
}

function rollback(session: Session): EndOfXact {
  if (session.status === 'I') session.warn('25P01');
  if (session.status !== 'I' || session.isImplicit) session.abort();
  return { tag: 'ROLLBACK', end: NOTHING };
}

function prepare(session: Session, gid: string): EndOfXact {
  const { server, xact } = session;
  switch (session.status) {
    case 'I':
      session.warn('25P01');
      if (!session.isImplicit) return { tag: 'ROLLBACK', end: NOTHING };
      break;
    case 'E':
      session.abort();
      return { tag: 'ROLLBACK', end: NOTHING };
    case 'T':
      break;
  }
  const refusal = refusalOfPrepare(session, gid);
  if (refusal !== undefined) {
    session.abort();
    throw refusal;
  }
  session.assignXid();
  const record = { kind: 'prepare', gid, xact, at: server.now } as const;
  return { tag: 'PREPARE TRANSACTION', end: { record, xact } };
}

function refusalOfPrepare({ server, onStandby }: Session, gid: string): ServerError | undefined {
  if (onStandby) return new ServerError('25006', 'cannot PREPARE on a standby');
  if (Buffer.byteLength(gid) > GID_BYTES_MAX) return new ServerError('22023', 'gid is too long');
  if (server.maxPrepared === 0)
    return new ServerError('55000', 'prepared transactions are disabled');
  if (server.data.prepared.has(gid)) return new ServerError('42710', 'gid is already in use');
  if (server.data.prepared.size >= server.maxPrepared) {
    return new ServerError('53200', 'maximum number of prepared transactions reached');
  }
  return undefined;
}

function finish(session: Session, gid: string, decision: 'commit' | 'rollback'): EndOfXact {
  const { server } = session;
  const tag = `${decision.toUpperCase()} PREPARED`;
  if (session.status === 'T')
    throw new ServerError('25001', `${tag} cannot run in a transaction block`);
  session.refuseOnStandby();
  const prepared = server.data.prepared.get(gid);
  if (prepared === undefined) throw new ServerError('42704', 'prepared transaction does not exist');
  if (prepared.busy) throw new ServerError('55000', 'prepared transaction is busy');
  server.observer.finishing(server, session, gid, decision === 'commit' ? 'commit' : 'abort');
  prepared.busy = true;
  const { xact } = prepared;
  const kind = decision === 'commit' ? 'commit-prepared' : 'rollback-prepared';
  return { tag, end: { record: { kind, gid, xact }, xact } };
}

/** The gid in quotes at the end of the text, with doubled quotes made single. */
function gidOf(text: string, prefix: string): string {
  const literal = text.slice(prefix.length);
  if (!/^'(?:[^']|'')*'$/.test(literal)) throw new Error(`not a gid literal: ${text}`);
  return literal.slice(1, -1).replaceAll("''", "'");
}

function withGid(
  kind: string,
  prefix: string,
  run: (session: Session, gid: string) => EndOfXact,
  endsFailed = false,
): StatementPattern {
  return {
    kind,
    endsFailed,
    oneOff: true,
    matches: (text) => text.startsWith(prefix),
    make: (text) => {
      const gid = gidOf(text, prefix);
      return (session) => run(session, gid);
    },
  };
}

function exact(
  kind: string,
  isIt: RegExp,
  run: (session: Session, wire: WireStatement) => EndOfXact,
  endsFailed = false,
): StatementPattern {
  return { kind, endsFailed, matches: (text) => isIt.test(text), make: () => run };
}

export const XACT_STATEMENTS: readonly StatementPattern[] = [
  exact(
    'begin',
    /^begin( isolation level (read committed|repeatable read|serializable))?( read only)?$/,
    begin,
  ),
  exact('commit', /^commit$/, commit, true),
  exact('rollback', /^rollback$/, rollback, true),
  withGid('prepare', 'prepare transaction ', prepare, true),
  withGid('finish', 'commit prepared ', (session, gid) => finish(session, gid, 'commit')),
  withGid('finish', 'rollback prepared ', (session, gid) => finish(session, gid, 'rollback')),
];
