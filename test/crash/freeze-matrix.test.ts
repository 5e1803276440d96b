import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { totalBalance } from '../support/atomicity.ts';
import { createBank, type Bank } from '../support/bank.ts';
import { inParallel } from '../support/json-child.ts';
import { startControlledServer, type TestServer } from '../support/servers.ts';
import { waitFor } from '../support/wait.ts';
import { PARTICIPANTS, SCENARIOS, casesOf } from './matrix-cases.ts';
import { fired, idOf, outcomes, startCase, type MatrixRun } from './matrix-run.ts';

const LIMITS = { timeoutMs: 5_000, heartbeatLimitMs: 1_000 };

/**
 * Coordinator processes that freeze themselves (SIGSTOP) at every fault point and position, past the deadline of
 * their transaction and past their heartbeat limit; recovery ends what they have left; then SIGCONT.
 * Expected: the zombies change nothing, end by themselves, and what they tell is what the markers show.
 */
describe('SIGSTOP of the coordinator at every point, recovery, SIGCONT', () => {
  let server: TestServer;
  let bank: Bank;
  let nextAccount = 1;
  let children: MatrixRun['child'][] = [];
  beforeAll(async () => {
    // The frozen keep all of their sessions.
    server = await startControlledServer({
      settings: { max_connections: '500', max_prepared_transactions: '200' },
    });
    bank = await createBank({ participants: PARTICIPANTS, servers: [server], logServer: server });
  });
  afterEach(async () => {
    // Frozen for ever, if something went wrong on the way.
    for (const child of children) child.process.kill('SIGKILL');
    await Promise.all(children.map((child) => child.ended));
    children = [];
  });
  afterAll(async () => {
    await bank.close();
    await server.destroy();
  });

  it.each(SCENARIOS)('$name', { timeout: 240_000 }, async (scenario) => {
    const cases = casesOf(scenario);
    const runs = await inParallel(cases, 4, async (one) => {
      const run = startCase(bank, one, nextAccount++, 'SIGSTOP', LIMITS);
      children.push(run.child);
      const over = (): boolean => fired(run) || run.child.process.exitCode !== null;
      await waitFor(`${one.name} to freeze`, over, { timeoutMs: 60_000 });
      expect([one.name, run.child.events.at(-1)?.event]).toEqual([one.name, 'fault']);
      return run;
    });
    const frozenMs = performance.now();
    // A frozen process keeps its session, so its heartbeat alone tells.
    const tm = await bank.manager({ heartbeatLimitMs: LIMITS.heartbeatLimitMs });
    const report = await tm.recover();
    expect(report).toMatchObject({ complete: true, left: 0, heuristics: 0 });
    expect(await bank.inDoubt()).toEqual([]);
    await waitFor(
      'every deadline to be over',
      () => performance.now() - frozenMs > LIMITS.timeoutMs,
      { timeoutMs: 2 * LIMITS.timeoutMs },
    );
    expect(runs.filter(({ child }) => child.events.length !== 2)).toEqual([]);

    for (const { child } of runs) child.process.kill('SIGCONT');
    expect(await Promise.all(runs.map(({ child }) => child.ended))).toEqual(runs.map(() => 0));
    await tm.close();

    const found = await outcomes(bank, scenario, runs.map(idOf));
    const told = runs.map(({ child }) => child.events[2]?.event);
    expect(runs.map(({ one }, index) => [one.name, found[index], told[index]])).toEqual(
      cases.map(({ name, point, outcome }) => {
        // Awake again, it sends the COMMIT that it was about to send: nobody else could have decided.
        const ends = point === 'before-one-phase-commit' ? 'all' : outcome;
        return [name, ends, ends === 'all' ? 'committed' : 'rolled-back'];
      }),
    );
    expect(await bank.inDoubt()).toEqual([]);
    expect(await totalBalance(bank)).toBe(300_000);
    expect(await bank.log.query('select * from pgxa.heuristic')).toEqual([]);
  });
});
