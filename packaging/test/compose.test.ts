/**
 * docker/compose.yaml as a user starts it: a log, two participants, the daemon. A coordinator outside of it is killed
 * between decision and second phase; the daemon in its container finishes the branches.
 * scripts/packaging.sh makes the images and the engine.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { startCoordinator } from '../../test/support/child.ts';
import { freePort } from '../../test/support/free-port.ts';
import { waitFor } from '../../test/support/wait.ts';
import type { Bank } from '../../test/support/bank.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
const PROJECT = 'pgxa-test';
const TOKEN = 'token-of-the-composition';
const PASSWORD = 'Pa55word-of-the-test';
const [COMPOSE = 'docker-compose', ...COMPOSE_ARGS] = (
  process.env['PGXA_COMPOSE'] ?? 'docker-compose'
).split(' ');

interface Inspected {
  readonly Config: { readonly User: string };
  readonly State: { readonly Health?: { readonly Status: string }; readonly ExitCode: number };
}

describe('docker/compose.yaml', () => {
  let ports: Record<'LOG_PORT' | 'ORDERS_PORT' | 'BILLING_PORT' | 'DAEMON_PORT', string>;

  const compose = async (...args: readonly string[]): Promise<string> => {
    const { stdout } = await run(
      COMPOSE,
      [...COMPOSE_ARGS, '-p', PROJECT, '-f', 'docker/compose.yaml', ...args],
      {
        cwd: root,
        maxBuffer: 64 << 20,
        env: {
          ...process.env,
          ...ports,
          // The classic builder: the other one is a plug-in that may not be there.
          DOCKER_BUILDKIT: '0',
          COMPOSE_DOCKER_CLI_BUILD: '0',
          POSTGRES_PASSWORD: PASSWORD,
          PGXA_HTTP_TOKEN: TOKEN,
        },
      },
    );
    return stdout;
  };
  const inspect = async (service: string): Promise<Inspected> => {
    const id = (await compose('ps', '-q', service)).trim();
    const { stdout } = await run('docker', ['inspect', id]);
    return (JSON.parse(stdout) as [Inspected])[0];
  };
  const url = (database: string, port: string): string =>
    `postgresql://postgres:${PASSWORD}@127.0.0.1:${port}/${database}`;
  const query = async (connectionString: string, text: string) => {
    const client = new pg.Client({ connectionString });
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(text)).rows;
    } finally {
      await client.end();
    }
  };

  beforeAll(async () => {
    const free = async (): Promise<string> => String(await freePort());
    ports = {
      LOG_PORT: await free(),
      ORDERS_PORT: await free(),
      BILLING_PORT: await free(),
      DAEMON_PORT: await free(),
    };
    await compose('up', '--build', '--detach');
  }, 900_000);
  afterAll(async () => {
    await compose('down', '--volumes', '--timeout', '30');
  }, 120_000);

  it('comes up by itself: the log is migrated, the daemon is healthy, and is not root', async () => {
    await waitFor(
      'the daemon to be healthy',
      async () => (await inspect('daemon')).State.Health?.Status === 'healthy',
      { timeoutMs: 90_000, intervalMs: 500 },
    );
    expect((await inspect('daemon')).Config.User).toBe('65534:65534');
    const readyz = `http://127.0.0.1:${ports.DAEMON_PORT}/readyz`;
    expect((await fetch(readyz)).status).toBe(401);
    const headers = { authorization: `Bearer ${TOKEN}` };
    await waitFor('ready', async () => (await fetch(readyz, { headers })).status === 200);
  });

  it('finishes what a coordinator outside of it left when it was killed', async () => {
    const places = {
      orders: url('orders', ports.ORDERS_PORT),
      billing: url('billing', ports.BILLING_PORT),
    };
    for (const place of Object.values(places)) {
      await query(
        place,
        `create table account (id int primary key, balance bigint not null);
         insert into account select id, 1000 from generate_series(1, 100) id;
         create table marker (transaction_id uuid primary key, note text)`,
      );
    }
    const bank = {
      log: { connectionString: url('decisions', ports.LOG_PORT) },
      participants: Object.entries(places).map(([name, connectionString]) => ({
        name,
        connectionString,
      })),
    };
    const child = startCoordinator(bank as unknown as Bank, {
      fault: { point: 'after-decide', hit: 2, signal: 'SIGKILL' },
      transactions: 2,
      concurrency: 1,
      writers: 2,
    });
    expect(await child.ended).toBe('SIGKILL');
    for (const place of Object.values(places)) {
      await waitFor('nothing in doubt', async () => {
        return (await query(place, 'select 1 from pg_prepared_xacts')).length === 0;
      });
      expect(await query(place, 'select 1 from marker')).toHaveLength(2);
    }
  });

  it('stops when asked, and the daemon ends with 0 and without a secret in its log', async () => {
    await compose('stop', '--timeout', '30', 'daemon');
    expect((await inspect('daemon')).State.ExitCode).toBe(0);
    const log = await compose('logs', '--no-color', 'daemon');
    expect(log).toContain('has stopped');
    expect(log).not.toMatch(new RegExp(`${PASSWORD}|${TOKEN}`));
  });
});
