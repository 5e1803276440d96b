/** Random commands for the comparison: all that pgxa sends, and what can be sent in the wrong moment. */
import * as sql from '../../../src/decision-log/statements.ts';
import {
  CONSTRAINTS_SQL,
  POOLED_BEFORE_COMMIT_SQL,
  POOLED_BEFORE_PREPARE_SQL,
  POOLED_PROBE_SQL,
  SHOW_WARNINGS_SQL,
  UNLOCK_SQL,
} from '../../../src/participant/branch-statements.ts';
import { SERVER_FACTS_SQL, STATUS_BARRIER_SQL } from '../../../src/participant/server-facts.ts';
import {
  FAILING_SQL,
  INSERT_MARKER,
  READ_ACCOUNT,
  TOUCH_ACCOUNT,
} from '../postgres/participant-statements.ts';
import { textsOf } from '../postgres/statement.ts';
import type { Random } from '../random.ts';
import type { Outcome, Request } from './target.ts';

/** What the two servers call differently. */
export interface Names {
  /** Backend of each session: pid and start. */
  readonly backends: Map<number, readonly [number, string]>;
  /** Transaction ids, in the order in which both servers gave them. */
  readonly xids: string[];
}

export interface Command {
  readonly name: string;
  readonly session: number;
  /** Only in this status of the session; both have the same. */
  readonly request: (names: Names) => Request;
  /** What of the rows has to be the same. */
  readonly view?: (rows: readonly Record<string, unknown>[]) => unknown;
  /** The prepared set is compared behind it. */
  readonly changesPrepared?: boolean;
  /** The rows tell a transaction id. */
  readonly tellsXid?: boolean;
}

export const SESSIONS = 3;

/** Texts that src does not export: as the simulation has seen them. */
function textOf(kind: string): string {
  const [text] = textsOf(kind);
  if (text === undefined) throw new Error(`no statement of kind ${kind} was ever sent`);
  return text;
}

export class CommandSource {
  readonly #random: Random;
  #epochs = 0;
  #transactions = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  /** The next command for a session in this status. */
  next(session: number, status: string | null): Command {
    const random = this.#random;
    if (random.chance(0.06)) return this.#look(session, status === 'I');
    if (status === 'I') {
      if (random.chance(0.45)) return this.#begin(session);
      return random.chance(0.5) ? this.#ofLog(session) : this.#finishOrOdd(session);
    }
    const roll = random.next();
    if (status === 'E' && roll < 0.3) return plain(session, 'rollback');
    if (roll < 0.35) return this.#work(session);
    if (roll < 0.65) return this.#vote(session);
    if (roll < 0.8) return plain(session, random.pick(['commit', 'rollback']));
    return this.#finishOrOdd(session);
  }

  #gid(): string {
    const roll = this.#random.next();
    if (roll < 0.01) return 'x'.repeat(200);
    if (roll < 0.02) return '';
    return `gid_${this.#random.int(7)}`;
  }

  #begin(session: number): Command {
    const account = this.#random.int(4);
    // The simulated server has one version of each row, so none of the failures of the higher levels.
    const mode = this.#random.pick(['', '', ' isolation level read committed']);
    const first = this.#random.pick([
      { text: TOUCH_ACCOUNT, values: [account] },
      { text: INSERT_MARKER, values: ['m'] },
      { text: READ_ACCOUNT, values: [account] },
      { text: FAILING_SQL },
    ]);
    const request: Request = [
      { text: `begin${mode}` },
      { text: LIMITS_SQL, values: ['15ms', '60000ms', '60000ms'] },
      first,
      { text: POOLED_PROBE_SQL },
    ];
    return { name: `begin and ${first.text}`, session, request: () => request };
  }

  #work(session: number): Command {
    const statement = this.#random.pick([
      { text: TOUCH_ACCOUNT, values: [this.#random.int(4)] },
      { text: INSERT_MARKER, values: ['m'] },
      { text: READ_ACCOUNT, values: [1] },
      { text: FAILING_SQL },
    ]);
    return { name: statement.text, session, request: () => [statement] };
  }

  #vote(session: number): Command {
    const prepares = this.#random.chance(0.8);
    const end = prepares ? `prepare transaction '${this.#gid()}'` : 'commit';
    const request = [
      { text: CONSTRAINTS_SQL, together: true },
      ...(prepares
        ? [{ text: POOLED_BEFORE_PREPARE_SQL }, { text: end }]
        : [
            { text: POOLED_BEFORE_COMMIT_SQL },
            { text: SHOW_WARNINGS_SQL },
            { text: end },
            { text: UNLOCK_SQL },
          ]),
    ];
    return {
      name: `vote: ${end}`,
      session,
      request: () => request,
      changesPrepared: true,
      tellsXid: true,
    };
  }

  #finishOrOdd(session: number): Command {
    const gid = this.#gid();
    const text = this.#random.pick([
      `commit prepared '${gid}'`,
      `commit prepared '${gid}'`,
      `rollback prepared '${gid}'`,
      `prepare transaction '${gid}'`,
      'commit',
      'rollback',
      CONSTRAINTS_SQL,
      FAILING_SQL,
      UNLOCK_SQL,
    ]);
    return { ...plain(session, text), changesPrepared: true };
  }

  /** What is asked of a server in any state. */
  #look(session: number, isIdle: boolean): Command {
    const roll = this.#random.next();
    if (roll < 0.3) {
      return {
        name: 'list',
        session,
        request: () => [{ text: textOf('list') }],
        view: ([row]) =>
          (row?.['listing'] as { branches: { gid: string }[] }).branches.map(({ gid }) => gid),
      };
    }
    if (roll < 0.4) {
      return {
        name: 'status in the future',
        session,
        request: () => [{ text: textOf('xact-status'), values: ['99999999'] }],
      };
    }
    if (roll < 0.6) {
      const at = this.#random.int(1_000);
      return {
        name: 'barrier behind a status',
        session,
        request: ({ xids }) => {
          const values = [xids[at % Math.max(1, xids.length)] ?? '99999999'];
          return [{ text: STATUS_BARRIER_SQL, values }];
        },
        view: countView,
      };
    }
    if (roll < 0.8) {
      const at = this.#random.int(1_000);
      return {
        name: 'status',
        session,
        request: ({ xids }) => {
          const values = [xids[at % Math.max(1, xids.length)] ?? '99999999'];
          return [{ text: textOf('xact-status'), values }];
        },
        view: ([row]) => row?.['status'],
      };
    }
    // As pgxa asks it: within a transaction the server shows the sessions as it saw them first.
    if (!isIdle) return this.#work(session);
    return this.#fence(session, roll < 0.9);
  }

  #fence(session: number, terminates: boolean): Command {
    const other = (session + 1 + this.#random.int(SESSIONS - 1)) % SESSIONS;
    const kind = terminates ? 'terminate' : 'gone';
    return {
      name: `${kind} session ${other}`,
      session,
      request: ({ backends }) => {
        const [pid = 0, startedAt = ''] = backends.get(other) ?? [];
        const values = [pid, startedAt, 'nobody'];
        return [{ text: textOf(kind), values: terminates ? values.slice(0, 2) : values }];
      },
      view: (rows) => rows,
    };
  }

  #ofLog(session: number): Command {
    const random = this.#random;
    const epoch = this.#epoch();
    const id = this.#transaction();
    const other = this.#transaction();
    const key = random.chance(0.2) ? `key ${random.int(40)}` : null;
    const branches = JSON.stringify([
      // In the order in which jsonb keeps them.
      { xid: '7', branch: 1, system: '1', timeline: '1', participant: 'p' },
    ]);
    const ids = id === other ? [id] : [id, other];
    const each = <T>(value: T): T[] => ids.map(() => value);
    const choices: readonly [string, readonly unknown[], Command['view']?][] = [
      [sql.REGISTER_COORDINATOR_SQL, [epoch, 'c', 'h', 1, '0', 0]],
      [sql.REGISTER_COORDINATOR_SQL, [epoch, 'c', 'h', 1, '0', 3_600_000]],
      [sql.LOCK_EPOCH_SQL, [epoch], all],
      [sql.HEARTBEAT_SQL, [epoch]],
      [sql.EPOCHS_SQL, [[epoch, '0'.repeat(16)]], epochsView],
      [sql.RETIRE_SQL, [epoch, random.pick([0, 1_000_000_000]), random.pick([0, 1_000_000_000])]],
      [sql.IS_RETIRED_SQL, [epoch], all],
      [sql.END_EPOCH_SQL, [epoch]],
      [
        sql.DECIDE_SQL,
        [epoch, ids, each('label'), each(branches), [key, ...each(null).slice(1)]],
        idsView,
      ],
      [sql.DECIDE_SQL, [epoch, ids, each(null), each('[]'), each(null)], idsView],
      [sql.DECIDE_UNKEYED_SQL, [epoch, ids, each('label'), each(branches)], idsView],
      [sql.ABORT_SQL, ['recovery', ids, each(epoch)], idsView],
      [sql.DECISIONS_SQL, [ids], decisionsView],
      [sql.KEYS_SQL, [['key 1', 'key 2', 'key 3']], sorted],
      [
        sql.RECORD_HEURISTIC_SQL,
        [id, random.pick(['hazard', 'commit']), id, 'p', 'commit', 'e', 'f'],
      ],
      [sql.REGISTER_PARTICIPANT_SQL, ['p', String(random.int(2)), '1', 'd', '1', 'c'], all],
      [sql.DECISIONS_BARRIER_SQL, [ids], countView],
      [sql.KEYS_BARRIER_SQL, [['key 1']], countView],
    ];
    const [text, values, view] = random.pick(choices);
    const [name = ''] = text.trim().split('\n');
    return { name, session, request: () => [{ text, values }], ...(view && { view }) };
  }

  #epoch(): string {
    if (this.#random.chance(0.1)) this.#epochs += 1;
    return Math.max(0, this.#epochs - this.#random.int(4))
      .toString(16)
      .padStart(16, '0');
  }

  #transaction(): string {
    if (this.#random.chance(0.1)) this.#transactions += 1;
    const number = Math.max(0, this.#transactions - this.#random.int(6));
    return `${TODAY.slice(0, 8)}-${TODAY.slice(8)}-7000-8000-${number.toString(16).padStart(12, '0')}`;
  }
}

/** Locks are waited for only shortly; the other limits never run out. */
const LIMITS_SQL = `select pg_catalog.set_config('lock_timeout', $1, true), pg_catalog.set_config('statement_timeout', $2, true), pg_catalog.set_config('idle_in_transaction_session_timeout', $3, true)`;

function plain(session: number, text: string): Command {
  return { name: text, session, request: () => [{ text }] };
}

export function askFacts(session: number): Command {
  return { name: 'facts', session, request: () => [{ text: SERVER_FACTS_SQL }] };
}

type Rows = readonly Record<string, unknown>[];

const all = (rows: Rows): unknown => rows;
const sorted = (rows: Rows): unknown => rows.map((row) => JSON.stringify(row)).sort();
const idsView = (rows: Rows): unknown => rows.map((row) => row['transaction_id']).sort();
/** The register is partitioned by the time that is in the ids, and takes commits of today alone. */
const TODAY = Date.now().toString(16).padStart(12, '0');
const countView = (rows: Rows): unknown => rows.length;
const epochsView = (rows: Rows): unknown =>
  rows
    .map(({ epoch, name, retired, session_gone: gone }) =>
      JSON.stringify({ epoch, name, retired, gone }),
    )
    .sort();
const decisionsView = (rows: Rows): unknown =>
  rows.map((row) => JSON.stringify({ ...row, decided_at: undefined })).sort();

/** The transaction id that a vote has told, if it got that far. */
export function xidOf({ steps }: Outcome): string | undefined {
  for (const { rows } of steps) {
    const { xid } = (rows[0] ?? {}) as { xid?: string | null };
    if (typeof xid === 'string' && /^\d+$/.test(xid)) return xid;
  }
  return undefined;
}
