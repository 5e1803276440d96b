/** One plain session whose every answer is kept: command tag, notices and SQLSTATE. */
import pg from 'pg';

export interface Answer {
  /** First word of the command tag, of the last statement; undefined if it failed. */
  readonly tag: string | undefined;
  /** Of the error; 'none' if there was an error without one (a socket error), else undefined. */
  readonly sqlstate: string | undefined;
  readonly error: Error | undefined;
  readonly notices: readonly { readonly code: string; readonly severity: string }[];
  readonly rows: readonly Record<string, unknown>[];
}

export class Session {
  readonly pid: number;
  /** Errors that came while nothing was asked. */
  readonly idleErrors: Error[] = [];
  readonly #client: pg.Client;
  #notices: { code: string; severity: string }[] = [];
  #ended = false;

  private constructor(client: pg.Client, pid: number) {
    this.#client = client;
    this.pid = pid;
    client.on('notice', ({ code, severity }) => {
      this.#notices.push({ code: code ?? '', severity: severity ?? '' });
    });
    client.on('error', (error) => this.idleErrors.push(error));
    client.on('end', () => {
      this.#ended = true;
    });
  }

  static async open(connectionString: string): Promise<Session> {
    const client = new pg.Client({ connectionString, connectionTimeoutMillis: 10_000 });
    await client.connect();
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
    return new Session(client, rows[0]?.pid ?? 0);
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Never rejects: an error is an answer, too. One at a time. */
  async tell(text: string, values?: readonly unknown[]): Promise<Answer> {
    this.#notices = [];
    try {
      const result = (await this.#client.query(
        text,
        values === undefined ? undefined : [...values],
      )) as pg.QueryResult<Record<string, unknown>> | pg.QueryResult<Record<string, unknown>>[];
      const last = Array.isArray(result) ? result.at(-1) : result;
      const tag = last?.command;
      return {
        tag,
        sqlstate: undefined,
        error: undefined,
        notices: this.#notices,
        rows: last?.rows ?? [],
      };
    } catch (thrown) {
      const error = thrown as Error & { code?: string };
      const sqlstate = error instanceof pg.DatabaseError ? error.code : undefined;
      return {
        tag: undefined,
        sqlstate: sqlstate ?? 'none',
        error,
        notices: this.#notices,
        rows: [],
      };
    }
  }

  /** Tells all of them; throws at the first that fails. */
  async must(...texts: readonly string[]): Promise<Answer> {
    let answer: Answer | undefined;
    for (const text of texts) {
      answer = await this.tell(text);
      if (answer.error !== undefined) {
        throw new Error(`${text}: ${answer.error.message}`, { cause: answer.error });
      }
    }
    if (answer === undefined) throw new Error('no statement was given');
    return answer;
  }

  async close(): Promise<void> {
    if (!this.#ended) await this.#client.end();
  }
}
