import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { totalBalance } from '../support/atomicity.ts';
import { createBank, type Bank } from '../support/bank.ts';
import { inParallel } from '../support/json-child.ts';
import { PARTICIPANTS, SCENARIOS, casesOf } from './matrix-cases.ts';
import { fired, idOf, outcomes, startCase } from './matrix-run.ts';

/**
 * Coordinator processes, one for each fault point and position, that kill themselves there with SIGKILL; then one
 * recovery pass of another process over all that they left. Expected: every fault fired, nothing is in doubt, and
 * the markers are on all writers or on none, as the point says (matrix-cases.ts).
 */
describe('SIGKILL of the coordinator at every point, then one recovery pass', () => {
  let bank: Bank;
  let nextAccount = 1;
  beforeAll(async () => {
    bank = await createBank({ participants: PARTICIPANTS });
  });
  afterAll(() => bank.close());

  it.each(SCENARIOS)('$name', { timeout: 180_000 }, async (scenario) => {
    const cases = casesOf(scenario);
    expect(cases.length).toBeGreaterThan(1);
    const limits = { timeoutMs: 30_000, heartbeatLimitMs: 10_000 };
    const runs = await inParallel(cases, 4, async (one) => {
      const run = startCase(bank, one, nextAccount++, 'SIGKILL', limits);
      expect(await run.child.ended).toBe('SIGKILL');
      return run;
    });
    expect(runs.filter((run) => !fired(run))).toEqual([]);
    // Those that die behind a vote leave something to recover.
    const leaves = scenario.writers > 1 || scenario.key === true;
    expect((await bank.inDoubt()).length > 0).toBe(leaves);

    const tm = await bank.manager();
    const report = await tm.recover();
    expect(report).toMatchObject({ complete: true, left: 0, heuristics: 0 });
    expect(await bank.inDoubt()).toEqual([]);
    await tm.close();

    const found = await outcomes(bank, scenario, runs.map(idOf));
    expect(runs.map(({ one }, index) => [one.name, found[index]])).toEqual(
      cases.map(({ name, outcome }) => [name, outcome]),
    );
    expect(await totalBalance(bank)).toBe(300_000);
    expect(await bank.log.query('select * from pgxa.heuristic')).toEqual([]);
  });
});
