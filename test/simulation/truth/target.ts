/** One server, simulated or real, as the comparison sees it: through node-postgres and pgxa's own SyncUnit. */
import { once, type EventEmitter } from 'node:events';
import type pg from 'pg';

import { SyncUnit } from '../../../src/postgres/sync-unit.ts';
import { ownStep, queryStep, type UnitStep } from '../../../src/postgres/unit-steps.ts';

export interface Statement {
  readonly text: string;
  readonly values?: readonly unknown[];
  /** On the first of several: all go as one simple query. */
  readonly together?: boolean;
}

/** Several statements go under one Sync, one without values as a simple query. */
export type Request = readonly Statement[];

export interface Outcome {
  /** Tag and rows per statement that was completed. */
  readonly steps: readonly { readonly tag: string; readonly rows: readonly unknown[] }[];
  /** SQLSTATE, or `lost`. */
  readonly error: string | undefined;
  readonly notices: readonly string[];
  /** I, T or E. */
  readonly status: string | null;
}

export interface Target {
  readonly name: string;
  /** Opens a session under a number, in the place of the one that had it. Returns its backend's facts. */
  open(session: number): Promise<void>;
  run(session: number, request: Request): Promise<Outcome>;
  /** Names of all prepared transactions. */
  prepared(): Promise<string[]>;
  /** kill -9 and restart: all sessions are lost. */
  crash(): Promise<void>;
  close(): Promise<void>;
}

/** A session's client, and the notices that came since it was last asked. */
export interface TruthClient {
  readonly client: pg.Client;
  readonly notices: string[];
}

export function hearNotices(client: pg.Client): TruthClient {
  const notices: string[] = [];
  client.on('notice', ({ code }) => notices.push(code ?? ''));
  // Told by the next query.
  client.on('error', () => undefined);
  return { client, notices };
}

/** Sends the request; the same code for both kinds of servers. */
export async function send({ client, notices }: TruthClient, request: Request): Promise<Outcome> {
  notices.length = 0;
  const [first] = request;
  let steps: Outcome['steps'] = [];
  let error: string | undefined;
  try {
    if (request.length === 1 && first !== undefined) {
      const result = await client.query(
        first.text,
        first.values === undefined ? [] : [...first.values],
      );
      steps = [{ tag: tagOf(result), rows: result.rows as unknown[] }];
    } else {
      const isSimple = first?.together === true;
      const unit = new SyncUnit(
        request.map(({ text, values }) =>
          isSimple ? ownStep(text) : queryStep({ text, values: values ?? [] }),
        ),
        { manner: isSimple ? 'simple' : 'extended' },
      );
      try {
        client.query(unit as never);
        await unit.done;
      } finally {
        steps = unit.steps.flatMap(told);
      }
    }
  } catch (thrown) {
    error = codeOf(thrown);
    // pg tells an error before the server is ready again, and knows the new status only then.
    const { connection, readyForQuery } = client as unknown as Readiness;
    if (error !== 'lost' && !readyForQuery) await once(connection, 'readyForQuery');
  }
  const status = error === 'lost' ? null : client.getTransactionStatus();
  return { steps, error, notices: [...notices], status };
}

/** Of an own statement: the first word of the tag, and what is in its first column. */
function told(step: UnitStep): Outcome['steps'][number][] {
  if ('query' in step) {
    const { result } = step;
    return result === undefined ? [] : [{ tag: tagOf(result), rows: result.rows }];
  }
  const rows = step.row === undefined ? [] : [{ xid: step.row[0] }];
  return step.command === undefined ? [] : [{ tag: step.command, rows }];
}

interface Readiness {
  readonly connection: EventEmitter;
  readonly readyForQuery: boolean;
}

function tagOf({ command, rowCount }: { command: string; rowCount: number | null }): string {
  return rowCount === null ? command : `${command} ${rowCount}`;
}

function codeOf(thrown: unknown): string {
  const { code, severity } = thrown as { code?: unknown; severity?: unknown };
  if (severity === 'FATAL' || typeof code !== 'string' || severity === undefined) return 'lost';
  return code;
}
