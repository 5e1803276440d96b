import { randomBytes } from 'node:crypto';
import pg from 'pg';

/**
 * What a test can do with any server through SQL alone. Database names carry `runId`, so that
 * whoever started the server can find those that other processes of the same run created.
 */
export abstract class SqlServer {
  readonly name: string;
  readonly runId: string;
  readonly #dsn: string;
  readonly #created = new Set<string>();

  constructor(name: string, dsn: string, runId: string = newRunId()) {
    const url = new URL(dsn);
    if (url.hostname === '' || url.username === '') {
      throw new Error(`a test server's DSN needs a user and a host name, for example
postgresql://postgres:secret@127.0.0.1:5432/postgres`);
    }
    this.name = name;
    this.runId = runId;
    this.#dsn = dsn;
  }

  connectionString(
    database = 'postgres',
    options: { user?: string; password?: string } = {},
  ): string {
    const url = new URL(this.#dsn);
    url.pathname = `/${encodeURIComponent(database)}`;
    if (options.user !== undefined) {
      url.username = encodeURIComponent(options.user);
      url.password = '';
    }
    if (options.password !== undefined) url.password = encodeURIComponent(options.password);
    return url.href;
  }

  async createDatabase(prefix = 'test'): Promise<string> {
    const name = `${prefix}_${this.runId}_${randomBytes(4).toString('hex')}`;
    // template0 has no connections, so databases can be created at the same time.
    await this.query('postgres', `create database ${pg.escapeIdentifier(name)} template template0`);
    this.#created.add(name);
    return name;
  }

  async query<T extends Record<string, unknown> = Record<string, unknown>>(
    database: string,
    text: string,
    values: readonly unknown[] = [],
  ): Promise<T[]> {
    const client = new pg.Client({
      connectionString: this.connectionString(database),
      connectionTimeoutMillis: 10_000,
      application_name: 'pgxa test support',
    });
    // An error on an idle connection is reported again by the next query.
    client.on('error', () => undefined);
    try {
      await client.connect();
      return (await client.query<T>(text, [...values])).rows;
    } finally {
      await client.end();
    }
  }

  async rollbackAllPrepared(): Promise<number> {
    const prepared = await this.query<{ gid: string; database: string }>(
      'postgres',
      'select gid, database from pg_prepared_xacts order by prepared',
    );
    let count = 0;
    for (const { gid, database } of prepared) {
      if (!this.mayCleanUp(database)) continue;
      const done = await this.query(database, `rollback prepared ${pg.escapeLiteral(gid)}`).then(
        () => true,
        ignoreFinished,
      );
      if (done) count += 1;
    }
    return count;
  }

  /** Whether prepared transactions in the database are ours to roll back. */
  protected mayCleanUp(database: string): boolean {
    return this.#created.has(database);
  }
}

/** Somebody else may finish a transaction between the list and the rollback. */
function ignoreFinished(error: unknown): false {
  if (error instanceof pg.DatabaseError && error.code === '42704') return false;
  throw error;
}

export function newRunId(): string {
  return randomBytes(4).toString('hex');
}

export async function serverMajor(server: Pick<SqlServer, 'query'>): Promise<number> {
  const rows = await server.query<{ version: number }>(
    'postgres',
    `select current_setting('server_version_num')::int as version`,
  );
  return Math.floor((rows[0]?.version ?? 0) / 10_000);
}
