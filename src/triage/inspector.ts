import type { ConnectionConfig } from '../config.ts';
import { sqlstateOf } from '../participant/sqlstate.ts';
import { ConnectionGroup } from '../postgres/dedicated-connection.ts';
import { SAFE_PATH_SQL } from '../postgres/safe-path.ts';
import type { ServerIdentity } from '../states.ts';
import {
  blockedByGid,
  type BlockedSession,
  type Contention,
  type WaitingSession,
} from './blocking.ts';
import * as sql from './inspector-statements.ts';

export interface InspectorOptions {
  readonly name: string;
  /** Not pg's own type: programs that use the library need not have the types of pg. */
  readonly settings: ConnectionConfig;
  readonly connectTimeoutMs: number;
  readonly commandTimeoutMs: number;
}

/** What a prepared transaction does to the server it is on. */
export interface Burden {
  readonly gid: string;
  readonly preparedAt: Date;
  /** Transactions since its own; at the freeze limit the server begins to act, at 2^31 it stops. */
  readonly xidAge: number;
  readonly blocked: readonly BlockedSession[];
}

export interface ServerBurden {
  readonly systemIdentifier: string;
  /** autovacuum_freeze_max_age */
  readonly freezeLimit: number;
  readonly burdens: ReadonlyMap<string, Burden>;
}

export interface HeldLock {
  readonly kind: string;
  /** Name of the relation, or what else is locked. */
  readonly object: string;
  readonly mode: string;
  readonly count: number;
}

/** Rows that the branch has updated, deleted or locked; those that it inserted cannot be seen. */
export interface TouchedRows {
  readonly relation: string;
  /** Primary keys as JSON text, or the place of the row where there is no primary key. */
  readonly rows: readonly string[];
  readonly hasMore: boolean;
  /** Why they could not be looked at. */
  readonly error: string | undefined;
}

export interface XidFate {
  readonly xid: string;
  readonly status: 'committed' | 'aborted' | 'in progress' | undefined;
}

const ROWS_SHOWN = 10;
/** The rows are found by a scan of the whole table: it must not become the next incident. */
const ROWS_TIMEOUT_MS = 1_000;

/** Looks at one participant beyond what recovery needs: who is hurt, by what. Changes nothing. */
export class Inspector {
  readonly name: string;
  readonly #connections: ConnectionGroup;

  constructor({ name, settings, connectTimeoutMs, commandTimeoutMs }: InspectorOptions) {
    this.name = name;
    this.#connections = new ConnectionGroup(1, {
      config: { application_name: `pgxa ${name}`, ...settings },
      connectTimeoutMs,
      commandTimeoutMs,
      onConnect: async (run) => {
        await run({ text: SAFE_PATH_SQL });
        // The policies of a table are code of its owner: rather an error than to run it.
        await run({ text: 'set row_security = off' });
        await run({ text: `select set_config('default_transaction_read_only', 'on', false)` });
      },
    });
  }

  async burden(): Promise<ServerBurden> {
    const { rows } = await this.#connections.run<BurdenRow>({ text: sql.BURDEN_SQL });
    const [row] = rows;
    if (row === undefined) throw new Error('unreachable: the query always answers one row');
    const sessions = row.sessions.map(sessionOf);
    const blocked = blockedByGid(row.contentions, sessions);
    return {
      systemIdentifier: row.system_identifier,
      freezeLimit: Number(row.freeze_limit),
      burdens: new Map(
        row.prepared.map(({ gid, prepared_at, xid_age }) => [
          gid,
          {
            gid,
            preparedAt: new Date(prepared_at),
            xidAge: xid_age,
            blocked: blocked.get(gid) ?? [],
          },
        ]),
      ),
    };
  }

  async locks(gid: string): Promise<readonly HeldLock[]> {
    const { rows } = await this.#connections.run<HeldLock>({ text: sql.LOCKS_SQL, values: [gid] });
    return rows;
  }

  async touchedRows(gid: string): Promise<readonly TouchedRows[]> {
    const { rows: relations } = await this.#connections.run<WrittenRelation>({
      text: sql.WRITTEN_RELATIONS_SQL,
      values: [gid],
    });
    const found: TouchedRows[] = [];
    for (const relation of relations) found.push(await this.#rowsOf(relation));
    return found;
  }

  /** What the server says of these transaction ids, unless its identity or timeline is another. */
  async fates(
    xids: readonly string[],
    server: Pick<ServerIdentity, 'systemIdentifier' | 'timeline'>,
  ): Promise<ReadonlyMap<string, XidFate['status']>> {
    const fates = new Map<string, XidFate['status']>();
    await Promise.all(
      xids.map(async (xid) => {
        try {
          const { rows } = await this.#connections.run<{ status: XidFate['status'] | null }>({
            text: sql.FATE_SQL,
            values: [xid, server.systemIdentifier, server.timeline],
          });
          fates.set(xid, rows[0]?.status ?? undefined);
        } catch (error) {
          // 22023: this server never issued that xid.
          if (sqlstateOf(error) !== '22023') throw error;
        }
      }),
    );
    return fates;
  }

  close(): Promise<void> {
    return this.#connections.close();
  }

  async #rowsOf({ relation, xid, keys }: WrittenRelation): Promise<TouchedRows> {
    const [, look] = await this.#connections.runAdjacent<{ row: string }>([
      { text: `select set_config('statement_timeout', '${ROWS_TIMEOUT_MS}', false)` },
      {
        text: sql.touchedRowsSql(relation, keys, ROWS_SHOWN + 1),
        values: [xid, ...keys.map(({ name }) => name)],
      },
      { text: `select set_config('statement_timeout', '0', false)` },
    ]);
    if (look?.status !== 'fulfilled') {
      const error = describeFailure(look?.reason);
      return { relation, rows: [], hasMore: false, error };
    }
    const rows = look.value.rows.map(({ row }) => row);
    return {
      relation,
      rows: rows.slice(0, ROWS_SHOWN),
      hasMore: rows.length > ROWS_SHOWN,
      error: undefined,
    };
  }
}

function describeFailure(reason: unknown): string {
  switch (sqlstateOf(reason)) {
    case '57014':
      return `the table is too large to be searched in ${ROWS_TIMEOUT_MS / 1_000} s`;
    case '42501':
      return 'the role that pgxa connects as may not read the whole table (rights, or row security)';
    case '55P03':
      return 'the table is locked';
    default:
      return reason instanceof Error ? reason.message : String(reason);
  }
}

interface WrittenRelation {
  /** Quoted, with its schema where that is needed. */
  readonly relation: string;
  readonly xid: string;
  /** The columns of the primary key. */
  readonly keys: readonly sql.KeyColumn[];
}

interface SessionRow {
  readonly pid: number;
  readonly blocked_by: readonly number[];
  readonly user: string | null;
  readonly application: string | null;
  readonly client: string | null;
  readonly query: string | null;
  readonly wait_ms: number | null;
  readonly waits_for: string;
}

interface BurdenRow {
  readonly system_identifier: string;
  readonly freeze_limit: string;
  readonly prepared: readonly {
    readonly gid: string;
    readonly prepared_at: string;
    readonly xid_age: number;
  }[];
  readonly sessions: readonly SessionRow[];
  readonly contentions: readonly Contention[];
}

function sessionOf(row: SessionRow): WaitingSession {
  return {
    pid: row.pid,
    blockedBy: row.blocked_by,
    user: row.user ?? undefined,
    application: row.application ?? undefined,
    client: row.client ?? undefined,
    query: row.query ?? undefined,
    waitMs: row.wait_ms ?? undefined,
    waitsFor: row.waits_for,
  };
}
