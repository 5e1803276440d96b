/**
 * The structural subset of node-postgres that pgxa relies on, so that a program's own Pool works
 * even when it comes from another copy of pg.
 */
export interface QueryResult<Row = Record<string, unknown>> {
  readonly rows: Row[];
  readonly rowCount: number | null;
  /** First word of the command tag: `INSERT`, `PREPARE`, `ROLLBACK` … */
  command: string;
  readonly oid: number;
  readonly fields: readonly { readonly name: string; readonly dataTypeID: number }[];
}

/** A query as pg takes it; the protocol touches `text` and `values` only and passes on the rest. */
export interface QueryConfig {
  readonly text: string;
  readonly values?: readonly unknown[] | undefined;
  readonly name?: string | undefined;
  readonly rowMode?: 'array' | undefined;
  readonly types?: unknown;
}

/** A notice of the server. `code` is its SQLSTATE. */
export interface Notice {
  readonly code?: string | undefined;
}

/** What `pool.connect()` gives. */
export interface PoolClientLike {
  query(config: unknown, values?: unknown): unknown;
  release(error?: Error | boolean): void;
  on(event: 'error' | 'notice', listener: (...args: unknown[]) => void): unknown;
  removeListener(event: string, listener: (...args: unknown[]) => void): unknown;
  /** pg ≥ 8.21: I idle, T in a transaction, E in a failed one. */
  getTransactionStatus?(): string | null;
  /** pg ≥ 8.23. */
  pipeline?: boolean;
  /** The server process, as it was told when the connection was made. */
  readonly processID?: number | null;
}

/** What pgxa needs of a pool. */
export interface PoolLike {
  connect(): Promise<PoolClientLike>;
  /** Present on pg's own Pool: used for the connections of phase two and for admission control. */
  readonly options?: object;
}
