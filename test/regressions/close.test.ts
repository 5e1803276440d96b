import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

import type { TransactionScope } from '../../src/index.ts';
import { checkMarkers } from '../support/atomicity.ts';
import { createBank, type Bank } from '../support/bank.ts';
import { FaultProxy } from '../support/proxy.ts';
import { startControlledServer, type TestServer } from '../support/servers.ts';
import { waitFor } from '../support/wait.ts';
import type { CloseChildPlan } from './close-child.ts';

const both = async (tx: TransactionScope): Promise<void> => {
  for (const name of ['orders', 'billing']) {
    await tx.on(name).query('insert into marker values ($1)', [tx.id]);
  }
};
const elapsed = async (work: Promise<unknown>): Promise<number> => {
  const since = performance.now();
  await work;
  return performance.now() - since;
};

// The bounds below are what counts, and the machine may be busy.
vi.setConfig({ testTimeout: 90_000 });

/** Less than the 30 s that close() would take without a limit of its own; a busy machine may need some of it. */
const BOUND_MS = 25_000;

/** Expected everywhere: close() resolves within its time limit and a few seconds, whatever hangs. */
describe('close()', () => {
  it('beside a transaction whose outcome is unknown and one that is running: bounded; recovery does the rest', async () => {
    const bank = await createBank();
    const log = await FaultProxy.inFrontOf(bank.log.connectionString);
    const tm = await bank.manager({
      decisionLog: { connectionString: log.through(bank.log.connectionString) },
    });
    const rule = log.arm(/pgxa_decide/, 'vanish');
    await expect(tm.run(both)).rejects.toMatchObject({ code: 'PGXA_OUTCOME_UNKNOWN' });
    expect(rule.fired).toBe(1);
    const running = await tm.begin();
    await running.on('orders').query('update account set balance = 0 where id = 1');
    expect(await elapsed(tm.close({ timeoutMs: 500 }))).toBeLessThan(BOUND_MS);
    await expect(running.commit()).rejects.toMatchObject({ code: 'PGXA_CANCELLED' });
    log.comeBack();
    const other = await bank.manager();
    await waitFor('recovery to finish it', async () => {
      await other.recover();
      return (await bank.inDoubt()).length === 0;
    });
    expect((await checkMarkers(bank, 2)).torn).toEqual([]);
    expect(
      await bank.participant('orders').query('select 1 from account where balance <> 1000'),
    ).toEqual([]);
    await bank.close();
    await log.close();
  });

  it('while begin() waits for a place: that one rejects with PGXA_CANCELLED, so does the one that is held', async () => {
    const bank = await createBank();
    const tm = await bank.manager({
      participants: Object.fromEntries(
        bank.participants.map(({ name, connectionString }) => [name, { connectionString, max: 1 }]),
      ),
    });
    const held = await tm.begin();
    let begun = false;
    const waiting = tm.begin().then(
      () => (begun = true),
      (error: unknown) => error,
    );
    expect(await elapsed(tm.close({ timeoutMs: 200 }))).toBeLessThan(BOUND_MS);
    expect(await waiting).toMatchObject({
      name: 'RolledBackError',
      code: 'PGXA_CANCELLED',
      retryable: false,
    });
    expect(begun).toBe(false);
    await expect(held.commit()).rejects.toMatchObject({ code: 'PGXA_CANCELLED' });
    await bank.close();
  });

  describe('while a server hangs (SIGSTOP)', () => {
    let hung: TestServer;
    beforeAll(async () => {
      hung = await startControlledServer();
    });
    afterAll(() => hung.destroy());

    async function expectToEnd(bank: Bank): Promise<void> {
      const plan: CloseChildPlan = {
        logUrl: bank.log.connectionString,
        participants: Object.fromEntries(
          bank.participants.map(({ name, connectionString }) => [name, connectionString]),
        ),
      };
      const script = fileURLToPath(new URL('./close-child.ts', import.meta.url));
      const child = spawn(process.execPath, ['--import', 'tsx', script, JSON.stringify(plan)], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      const said: string[] = [];
      createInterface({ input: child.stdout }).on('line', (line) => said.push(line));
      const exit = once(child, 'exit');
      try {
        await waitFor('the child to be ready', () => said.includes('ready'));
        hung.pause();
        child.stdin.write('close\n');
        await waitFor('close() in the child', () => said.length === 2, { timeoutMs: 15_000 });
        await waitFor('the child to end by itself', () => child.exitCode !== null, {
          // A command that is waited for would hold it for 10 s, and a session that leaks for ever.
          timeoutMs: 8_000,
        });
        expect(await exit).toEqual([0, null]);
        expect(said[1]).toMatch(/^closed after \d+$/);
      } finally {
        hung.resume();
        child.kill('SIGKILL');
      }
    }

    it('of a participant: bounded, and the process ends by itself', async () => {
      const bank = await createBank({ servers: [hung] });
      await expectToEnd(bank);
      expect((await checkMarkers(bank, 2)).whole.size).toBe(1);
    });

    it('of the log: bounded, and the process ends by itself', async () => {
      const bank = await createBank({ logServer: hung });
      await expectToEnd(bank);
      expect((await checkMarkers(bank, 2)).whole.size).toBe(1);
    });
  });
});
