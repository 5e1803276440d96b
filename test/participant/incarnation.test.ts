/** What proves that a server has not crashed since: see ServerFacts.incarnation. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { INCARNATION_SQL } from '../../src/participant/server-facts.ts';
import { askOne, crashUnderPostmaster } from '../support/crash-recovery.ts';
import { startControlledServer, type TestServer } from '../support/servers.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startControlledServer();
});
afterAll(() => server.destroy());

const ask = (sql: string): Promise<unknown> => askOne(server, sql);
const STARTED = 'pg_postmaster_start_time()::text';

describe('the incarnation of a server', () => {
  it('is the same over checkpoints, changes with every crash recovery, and with every start', async () => {
    const seen = [await ask(INCARNATION_SQL)];
    const started = await ask(STARTED);
    await server.query('postgres', 'create table t (id int)');
    await server.query('postgres', 'checkpoint');
    await server.query('postgres', 'select pg_switch_wal()');
    expect(await ask(INCARNATION_SQL)).toBe(seen[0]);

    await crashUnderPostmaster(server);
    seen.push(await ask(INCARNATION_SQL));
    // Nothing is written between the two.
    await crashUnderPostmaster(server);
    seen.push(await ask(INCARNATION_SQL));
    // It was one postmaster all the time, and its start alone would have told nothing.
    expect(await ask(STARTED)).toBe(started);

    await server.restart('fast');
    seen.push(await ask(INCARNATION_SQL));
    await server.kill9();
    await server.start();
    seen.push(await ask(INCARNATION_SQL));
    expect(new Set(seen).size).toBe(seen.length);
  });
});
