import { MisuseError, toError } from '../errors.ts';
import type { Branch, StatementTraits } from '../participant/participant.ts';
import { sqlstateOf } from '../participant/sqlstate.ts';
import type { QueryConfig, QueryResult } from '../postgres/client.ts';
import { scanStatement } from './statement-scan.ts';

/** What `query` takes beside a text: the same object that node-postgres takes. */
export interface QueryConfigLike {
  readonly text: string;
  readonly values?: readonly unknown[] | undefined;
  readonly name?: string | undefined;
  readonly rowMode?: string | undefined;
  readonly types?: unknown;
}

export type QueryCallback<Row> = (error: Error | null, result?: QueryResult<Row>) => void;

/**
 * What `tx.on(name)` hands out: looks like a node-postgres client, so that Kysely, Drizzle and Knex
 * can use it. Queries queue; BEGIN, COMMIT and ROLLBACK become savepoints; it cannot be released,
 * prepared, or used after the transaction ended.
 */
export interface BranchClient {
  /**
   * Runs a query in the branch. Errors of the server are those of node-postgres, with `code` the
   * SQLSTATE.
   *
   * @throws MisuseError for transaction control that cannot be mapped, or after the end.
   */
  query<Row = Record<string, unknown>>(
    query: string | QueryConfigLike,
    values?: readonly unknown[],
  ): Promise<QueryResult<Row>>;
  query<Row = Record<string, unknown>>(
    query: string | QueryConfigLike,
    callback: QueryCallback<Row>,
  ): void;
  query<Row = Record<string, unknown>>(
    query: string | QueryConfigLike,
    values: readonly unknown[],
    callback: QueryCallback<Row>,
  ): void;
  /** Does nothing: the transaction manager releases the connection. */
  release(): void;
  /** Does nothing, and gives the client: some libraries connect what they are handed. */
  connect(): Promise<BranchClient>;
}

export interface BranchClientOptions {
  readonly branch: Branch;
  readonly transactionId: string;
  /** Isolation of the transaction: a nested BEGIN may ask for the same, not for another one. */
  readonly isolationLevel: string | undefined;
  /** The reason why no statement may run any more; undefined while the transaction is active. */
  readonly refusal: () => Error | undefined;
  /** The same for a query that is asked only now: one that comes too late for COMMIT undoes it. */
  readonly refusalOfNew: () => Error | undefined;
}

type AnyResult = QueryResult | QueryResult[];

export class QueueingBranchClient implements BranchClient {
  readonly #options: BranchClientOptions;
  /** Savepoints that stand for the nested BEGINs of an ORM. */
  readonly #savepoints: string[] = [];
  #savepointCount = 0;
  #tail: Promise<unknown> = Promise.resolve();
  #draining = false;
  /** Queries that are waiting or running. */
  #queued = 0;

  constructor(options: BranchClientOptions) {
    this.#options = options;
  }

  query(...args: readonly unknown[]): never {
    const [query, second, third] = args;
    const callback = [second, third].find((arg) => typeof arg === 'function') as
      QueryCallback<never> | undefined;
    const values = Array.isArray(second) ? (second as unknown[]) : undefined;
    const misplaced = second !== undefined && second !== null && values === undefined;
    const result = this.#enqueue(() => {
      if (misplaced && typeof second !== 'function') {
        throw this.#misuse('PGXA_UNSUPPORTED_QUERY', 'the values of a query must be an array');
      }
      return this.#run(this.#configOf(query, values));
    });
    if (callback === undefined) return result as never;
    // As in node-postgres: what a callback throws is an uncaught exception, not a rejected query.
    const call = (error: Error | null, value?: AnyResult): void => {
      process.nextTick(() => {
        callback(error, value as never);
      });
    };
    result.then(
      (value) => {
        call(null, value);
      },
      (error: unknown) => {
        call(toError(error));
      },
    );
    return undefined as never;
  }

  release(): void {
    // The connection belongs to the transaction.
  }

  connect(): Promise<BranchClient> {
    return Promise.resolve(this);
  }

  /** A nested BEGIN was not ended. */
  get hasOpenSavepoint(): boolean {
    return this.#savepoints.length > 0;
  }

  /**
   * For COMMIT: resolves when no query is waiting or running. What was asked before still runs, although
   * the transaction is being ended by now: nobody may have awaited it, and it belongs to it all the same.
   */
  async idle(): Promise<void> {
    this.#draining = true;
    await this.#tail;
  }

  /** No query is waiting or running, so there is nothing to wait for. */
  get isIdle(): boolean {
    return this.#queued === 0;
  }

  #enqueue(work: () => Promise<AnyResult>): Promise<AnyResult> {
    const refused = this.#options.refusalOfNew();
    if (refused !== undefined) return Promise.reject(refused);
    const result = this.#tail.then(() => {
      const refusal = this.#options.refusal();
      if (refusal !== undefined && !(this.#draining && isEnded(refusal))) throw refusal;
      return work();
    });
    this.#queued += 1;
    const leave = (): void => {
      this.#queued -= 1;
    };
    this.#tail = result.then(leave, leave);
    return result;
  }

  #configOf(query: unknown, values: readonly unknown[] | undefined): QueryConfig {
    if (typeof query === 'string')
      return values === undefined ? { text: query } : { text: query, values };
    const config = query as (QueryConfig & { submit?: unknown }) | null | undefined;
    if (typeof config?.submit === 'function') {
      throw this.#misuse(
        'PGXA_UNSUPPORTED_QUERY',
        'cursors and streams (pg-cursor, pg-query-stream, pg-copy-streams) cannot be used in a branch',
      );
    }
    if (typeof config?.text !== 'string') {
      throw this.#misuse('PGXA_UNSUPPORTED_QUERY', 'a query is a text or an object with a text');
    }
    return values === undefined ? config : { ...config, values };
  }

  async #run(config: QueryConfig): Promise<AnyResult> {
    const scan = scanStatement(config.text);
    const { control } = scan;
    switch (control.kind) {
      case 'none':
        return this.#execute(config, scan);
      case 'begin':
        this.#assertSameIsolation(control.isolation);
        return this.#beginNested();
      case 'commit':
        return this.#endNested('COMMIT');
      case 'rollback':
        return this.#endNested('ROLLBACK');
      case 'refused':
        throw this.#misuse(
          'PGXA_TRANSACTION_CONTROL',
          `${control.command} is refused in a branch: the transaction manager ends the transaction`,
        );
    }
  }

  #execute(config: QueryConfig, traits: StatementTraits): Promise<AnyResult> {
    return this.#options.branch.execute(config, traits);
  }

  async #beginNested(): Promise<AnyResult> {
    this.#savepointCount += 1;
    const name = `pgxa_savepoint_${this.#savepointCount}`;
    const result = await this.#execute({ text: `savepoint ${name}` }, SAVEPOINT);
    this.#savepoints.push(name);
    return withCommand(result, 'BEGIN');
  }

  async #endNested(command: 'COMMIT' | 'ROLLBACK'): Promise<AnyResult> {
    const name = this.#savepoints.pop();
    if (name === undefined) {
      throw this.#misuse(
        'PGXA_TRANSACTION_CONTROL',
        `${command} without a BEGIN in this branch: the transaction manager ends the transaction ` +
          '(return from the function to commit, throw to roll back)',
      );
    }
    if (command === 'COMMIT') {
      try {
        const result = await this.#execute({ text: `release savepoint ${name}` }, SAVEPOINT);
        return withCommand(result, 'COMMIT');
      } catch (error) {
        // As PostgreSQL does: COMMIT of a failed transaction rolls it back, and its tag says so.
        if (sqlstateOf(error) !== IN_FAILED_TRANSACTION) throw error;
      }
    }
    await this.#execute({ text: `rollback to savepoint ${name}` }, SAVEPOINT);
    const result = await this.#execute({ text: `release savepoint ${name}` }, SAVEPOINT);
    return withCommand(result, 'ROLLBACK');
  }

  #assertSameIsolation(asked: string | undefined): void {
    const own = this.#options.isolationLevel ?? 'read committed';
    if (asked === undefined || asked.toLowerCase() === own) return;
    throw this.#misuse(
      'PGXA_TRANSACTION_CONTROL',
      `a nested BEGIN asks for isolation level ${asked}, and the transaction has ${own}: ` +
        'give isolationLevel to run() or begin()',
    );
  }

  #misuse(
    code: 'PGXA_TRANSACTION_CONTROL' | 'PGXA_UNSUPPORTED_QUERY',
    message: string,
  ): MisuseError {
    const { branch, transactionId } = this.#options;
    return new MisuseError(code, message, { transactionId, participant: branch.participant });
  }
}

function isEnded(refusal: Error): boolean {
  return refusal instanceof MisuseError && refusal.code === 'PGXA_TRANSACTION_ENDED';
}

const IN_FAILED_TRANSACTION = '25P02';

const SAVEPOINT: StatementTraits = { statements: 1, leavesSessionState: false, notifies: false };

function withCommand(result: AnyResult, command: string): AnyResult {
  if (!Array.isArray(result)) result.command = command;
  return result;
}
