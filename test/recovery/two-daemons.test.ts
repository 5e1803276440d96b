import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { RecoveryDaemonConfig } from '../../src/index.ts';
import { checkMarkers } from '../support/atomicity.ts';
import { createBank, type Bank } from '../support/bank.ts';
import { startCoordinator } from '../support/child.ts';
import { waitFor } from '../support/wait.ts';

interface DaemonChild {
  readonly process: ChildProcess;
  readonly lines: readonly Record<string, unknown>[];
  count(event: string): number;
}

const LEASE_MS = 1_500;

/**
 * Two daemons in processes of their own and coordinators that are killed. The daemon that holds the leases is
 * killed, or frozen past its lease and woken again. Expected: the other one takes over, each branch ends
 * once and as decided, and what wakes up does no harm.
 */
describe('two daemons', () => {
  let bank: Bank;
  const children: ChildProcess[] = [];

  beforeEach(async () => {
    bank = await createBank();
  });
  afterEach(async () => {
    for (const child of children.splice(0)) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    }
    await bank.close();
  });

  async function startDaemon(name: string): Promise<DaemonChild> {
    const config: RecoveryDaemonConfig = {
      name,
      decisionLog: { connectionString: bank.log.connectionString },
      participants: Object.fromEntries(
        bank.participants.map(({ name: one, connectionString }) => [one, { connectionString }]),
      ),
      leaseMs: LEASE_MS,
      intervalMs: 200,
    };
    const script = fileURLToPath(new URL('daemon-child.ts', import.meta.url));
    const child = spawn(process.execPath, ['--import', 'tsx', script, JSON.stringify(config)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    children.push(child);
    const lines: Record<string, unknown>[] = [];
    createInterface({ input: child.stdout }).on('line', (line) =>
      lines.push(JSON.parse(line) as Record<string, unknown>),
    );
    const daemon = {
      process: child,
      lines,
      count: (event: string) => lines.filter((line) => line['event'] === event).length,
    };
    await waitFor(`${name} to be ready`, () => daemon.count('ready') === 1, { timeoutMs: 20_000 });
    return daemon;
  }

  /** Leaves decided branches on both participants. */
  async function crashCoordinator(): Promise<void> {
    const child = startCoordinator(bank, {
      fault: { point: 'after-decide', hit: 10, signal: 'SIGKILL' },
      transactions: 20,
      concurrency: 4,
      writers: 2,
    });
    expect(await child.ended).toBe('SIGKILL');
  }

  const nothingInDoubt = (): Promise<unknown> =>
    waitFor('nothing in doubt', async () => (await bank.inDoubt()).length === 0, {
      timeoutMs: 15_000,
    });

  it.each(['SIGKILL', 'SIGSTOP'] as const)(
    'the holder gets %s: the other takes over, and every transaction is whole',
    async (signal) => {
      const holder = await startDaemon('holder');
      const other = await startDaemon('other');
      holder.process.kill(signal);
      await crashCoordinator();
      await nothingInDoubt();
      expect(other.lines).toContainEqual({ event: 'lease', participant: 'orders', held: true });
      expect(other.count('finished')).toBeGreaterThan(0);
      if (signal === 'SIGSTOP') {
        const finishedBefore = holder.count('finished');
        holder.process.kill('SIGCONT');
        await crashCoordinator();
        await nothingInDoubt();
        // Awake again, it finds its lease over and leaves the work alone.
        expect(holder.count('finished')).toBe(finishedBefore);
      }
      expect((await checkMarkers(bank, 2)).torn).toEqual([]);
      expect(holder.count('heuristic') + other.count('heuristic')).toBe(0);
    },
  );

  it('SIGTERM: the leases are given back at once', async () => {
    const holder = await startDaemon('holder');
    const other = await startDaemon('other');
    const exited = once(holder.process, 'exit');
    holder.process.kill('SIGTERM');
    expect(await exited).toEqual([0, null]);
    await waitFor('the other to hold both', () => other.count('lease') >= 4);
    await crashCoordinator();
    await nothingInDoubt();
    expect(other.count('finished')).toBeGreaterThan(0);
  });
});
