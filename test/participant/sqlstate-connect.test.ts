/**
 * notes/postgres-2pc.md, section 2: what a server answers that goes away, is away, or refuses a login,
 * and what src/participant/sqlstate.ts says of it.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import {
  connectConfigurationHint,
  isConnectionLoss,
  meaningOfFinishFailure,
  meaningOfPrepareFailure,
} from '../../src/participant/sqlstate.ts';
import { startControlledServer } from '../support/servers.ts';
import type { TestServer } from '../support/test-server.ts';
import { waitFor } from '../support/wait.ts';
import { Session } from './session.ts';

describe('a server that goes away', () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startControlledServer();
  });
  afterAll(() => server.destroy());

  it('terminates an idle session: whatever is said, it is a connection loss', async () => {
    const session = await Session.open(server.connectionString());
    await server.query('postgres', `select pg_terminate_backend(${session.pid})`);
    await waitFor('the session to end', () => session.ended);
    const answer = await session.tell('select 1');
    expect(answer.error).toBeDefined();
    for (const error of [...session.idleErrors, answer.error]) {
      expect(isConnectionLoss(error)).toBe(true);
      expect(meaningOfPrepareFailure(error).vote).toBe('unknown');
      expect(meaningOfFinishFailure(error)).toBe('retry');
    }
  });

  it.each(['fast', 'immediate', 'kill9'] as const)(
    '%s stop while a statement runs: a connection loss; refused then, and no configuration error',
    async (way) => {
      const session = await Session.open(server.connectionString());
      const telling = session.tell('select pg_sleep(60)');
      await waitFor('the statement to run', async () => {
        const text = `select 1 from pg_stat_activity where pid = $1 and wait_event = 'PgSleep'`;
        return (await server.query('postgres', text, [session.pid])).length > 0;
      });
      if (way === 'kill9') await server.kill9();
      else await server.stop(way);
      const { error } = await telling;
      expect(error).toBeDefined();
      expect(isConnectionLoss(error)).toBe(true);
      expect(meaningOfPrepareFailure(error)).toMatchObject({ vote: 'unknown', retryable: true });
      const refused: unknown = await Session.open(server.connectionString()).catch(
        (thrown: unknown) => thrown,
      );
      expect(refused).toMatchObject({ code: 'ECONNREFUSED' });
      expect(isConnectionLoss(refused)).toBe(true);
      expect(connectConfigurationHint(refused)).toBeUndefined();
      await server.start();
    },
  );

  it('shuts down and takes no more sessions: 57P03, a connection loss that may pass', async () => {
    // Smart shutdown: the server waits for this session, and refuses new ones meanwhile.
    const session = await Session.open(server.connectionString());
    const file = await session.must(`select pg_read_file('postmaster.pid') as text`);
    const postmaster = Number.parseInt(String(file.rows[0]?.['text']), 10);
    server.signalBackend(postmaster, 'SIGTERM');
    const refused = await waitFor('a new session to be refused', async () => {
      const attempt: unknown = await Session.open(server.connectionString()).catch(
        (thrown: unknown) => thrown,
      );
      if (!(attempt instanceof Session)) return attempt;
      await attempt.close();
      return undefined;
    });
    expect(refused).toMatchObject({ code: '57P03' });
    expect(isConnectionLoss(refused)).toBe(true);
    expect(meaningOfPrepareFailure(refused)).toMatchObject({ vote: 'unknown', retryable: true });
    expect(connectConfigurationHint(refused)).toBeUndefined();
    await session.close();
    await server.stop('fast').catch(() => undefined);
    await server.start();
  });
});

describe('a server that refuses a login', () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startControlledServer();
    const [row] = await server.query<{ file: string }>(
      'postgres',
      `select current_setting('hba_file') as file`,
    );
    const rules = ['secret scram-sha-256', 'unwanted reject', 'all trust'].map(
      (rule) => `host all ${rule.replace(' ', ' all ')}`,
    );
    await server.query(
      'postgres',
      `copy (select unnest(array[${rules.map((rule) => `'${rule}'`).join(', ')}])) to '${row?.file ?? ''}'`,
    );
    await server.query('postgres', 'select pg_reload_conf()');
    for (const sql of [
      `create role secret login password 'right'`,
      'create role unwanted login',
      'create role stranger login',
      'create database closed',
      'revoke connect on database closed from public',
    ]) {
      await server.query('postgres', sql);
    }
    await waitFor('the new rules', async () => {
      const [rule] = await server.query(
        'postgres',
        'select count(*)::int as n from pg_hba_file_rules',
      );
      return rule?.['n'] === 3;
    });
  });
  afterAll(() => server.destroy());

  it.each([
    ['wrong password', 'postgres', { user: 'secret', password: 'wrong' }, '28P01', 'password'],
    ['no password', 'postgres', { user: 'secret' }, undefined, 'none is configured'],
    ['rejected user', 'postgres', { user: 'unwanted' }, '28000', 'pg_hba.conf'],
    ['no right to connect', 'closed', { user: 'stranger' }, '42501', 'grant CONNECT'],
    ['no such database', 'nowhere', {}, '3D000', 'create the database'],
    ['no such user', 'postgres', { user: 'nobody' }, '28000', 'user name'],
  ])('%s: a configuration error with a hint', async (_, database, login, code, hint) => {
    const attempt: unknown = await Session.open(server.connectionString(database, login)).catch(
      (thrown: unknown) => thrown,
    );
    expect(attempt).toBeInstanceOf(Error);
    expect((attempt as { code?: string }).code).toBe(code);
    expect(connectConfigurationHint(attempt)).toContain(hint);
  });
});
