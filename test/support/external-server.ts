import pg from 'pg';
import { newRunId, serverMajor, SqlServer } from './sql-server.ts';
import type { Settings, StartOptions, TestServer } from './test-server.ts';
import { UncontrolledServer, type ServerEndpoint } from './uncontrolled-server.ts';

/** Servers are used in turn, so that a test with three servers gets three DSNs if there are three. */
let turn = 0;

/** A running server that somebody else looks after; its superuser's DSN is in PGXA_TEST_DSN. */
export async function connectExternal(options: StartOptions = {}): Promise<TestServer> {
  const dsns = (process.env['PGXA_TEST_DSN'] ?? '').split(',').filter((dsn) => dsn.trim() !== '');
  const dsn = dsns[turn++ % Math.max(dsns.length, 1)]?.trim();
  if (dsn === undefined) {
    throw new Error(`PGXA_TEST_PROVIDER=external needs PGXA_TEST_DSN: one or more superuser DSNs,
separated by commas, for example postgresql://postgres:secret@db.example:5432/postgres`);
  }
  const name = options.name ?? `external_${newRunId()}`;
  const runId = newRunId();
  const probe = new Probe(name, dsn, runId);
  await probe.assertUsable({ max_prepared_transactions: '10', ...options.settings });
  const major = await serverMajor(probe);
  return new ExternalServer({ name, provider: 'external', major, dsn, runId });
}

class ExternalServer extends UncontrolledServer {
  constructor(endpoint: ServerEndpoint) {
    super(endpoint, 'it belongs to somebody else (PGXA_TEST_PROVIDER=external)');
  }

  /** Drops every database that this run created, also those from other processes of the run. */
  override async destroy(): Promise<void> {
    await this.rollbackAllPrepared();
    const databases = await this.query<{ datname: string }>(
      'postgres',
      'select datname from pg_database',
    );
    for (const { datname } of databases) {
      if (!this.mayCleanUp(datname)) continue;
      await this.query(
        'postgres',
        `drop database if exists ${pg.escapeIdentifier(datname)} with (force)`,
      );
    }
  }

  protected override mayCleanUp(database: string): boolean {
    return database.includes(`_${this.runId}_`);
  }
}

class Probe extends SqlServer {
  async assertUsable(settings: Settings): Promise<void> {
    const problems: string[] = [];
    const rows = await this.query<{ superuser: boolean }>(
      'postgres',
      'select rolsuper as superuser from pg_roles where rolname = current_user',
    ).catch((cause: unknown) => {
      throw new Error(`cannot use the server of PGXA_TEST_DSN: ${String(cause)}`, { cause });
    });
    if (rows[0]?.superuser !== true) problems.push('the user in PGXA_TEST_DSN must be a superuser');
    for (const [name, wanted] of Object.entries(settings)) {
      const [row] = await this.query<{ value: string | null }>(
        'postgres',
        'select current_setting($1, true) as value',
        [name],
      );
      if (satisfies(name, row?.value ?? '', wanted)) continue;
      problems.push(`${name} is '${row?.value ?? ''}': alter system set ${name} = '${wanted}';`);
    }
    if (problems.length > 0) {
      throw new Error(`the server of PGXA_TEST_DSN cannot be used as it is. Change this, then restart it:
${problems.join('\n')}`);
    }
  }
}

/** A limit may be higher than asked for; everything else must be as asked for. */
function satisfies(name: string, actual: string, wanted: string): boolean {
  if (name.startsWith('max_') && Number(wanted) > 0) return Number(actual) >= Number(wanted);
  return actual === wanted;
}
