import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { createInterface } from 'node:readline';

import { createBank, type Bank } from '../../test/support/bank.ts';
import { waitFor } from '../../test/support/wait.ts';
import { inDoubt, median, rounded, startDaemonProcess, startServers } from './setting.ts';

const IN_FLIGHT = 1_000;
const ROUNDS = 5;

/**
 * A coordinator with 1,000 transactions in flight, half of them decided and half only voted, is killed;
 * how long until a branch is free again, and until nothing is in doubt.
 */
export async function release(): Promise<object> {
  const servers = await startServers(3, IN_FLIGHT + 100);
  const [logServer, ...participantServers] = servers;
  try {
    const bank = await createBank({
      servers: participantServers,
      ...(logServer === undefined ? {} : { logServer }),
    });
    const daemon = await startDaemonProcess(bank);
    const rounds: { decided: number[]; undecided: number[] }[] = [];
    for (let round = 0; round < ROUNDS; round += 1) rounds.push(await killOnce(bank));
    await daemon.stop();
    const of = (kind: 'decided' | 'undecided'): object => {
      const all = rounds.flatMap((one) => one[kind]);
      return { branches: all.length, p50: rounded(median(all)), max: rounded(Math.max(...all)) };
    };
    return { rounds: ROUNDS, secondsDecided: of('decided'), secondsUndecided: of('undecided') };
  } finally {
    await Promise.all(servers.map((server) => server.destroy()));
  }
}

async function killOnce(bank: Bank): Promise<{ decided: number[]; undecided: number[] }> {
  const held = await holdTransactions(bank);
  const decided = new Set(
    (await bank.log.query('select transaction_id::text as id from pgxa.decision')).map(({ id }) =>
      String(id).replaceAll('-', ''),
    ),
  );
  const waiting = new Map<string, 'decided' | 'undecided'>();
  for (const { gid } of await bank.inDoubt()) {
    waiting.set(gid, decided.has(gid.split('_')[3] ?? '') ? 'decided' : 'undecided');
  }
  const times = { decided: [] as number[], undecided: [] as number[] };
  held.kill('SIGKILL');
  const killedAt = performance.now();
  await once(held, 'exit');
  await waitFor(
    'nothing in doubt',
    async () => {
      const left = new Set((await bank.inDoubt()).map(({ gid }) => gid));
      const seconds = (performance.now() - killedAt) / 1_000;
      for (const [gid, kind] of waiting) {
        if (left.has(gid)) continue;
        times[kind].push(seconds);
        waiting.delete(gid);
      }
      return waiting.size === 0;
    },
    { timeoutMs: 60_000, intervalMs: 20 },
  );
  return times;
}

async function holdTransactions(bank: Bank): Promise<ReturnType<typeof spawn>> {
  const script = fileURLToPath(new URL('holding-coordinator.ts', import.meta.url));
  const plan = {
    transactions: IN_FLIGHT,
    logUrl: bank.log.connectionString,
    participants: Object.fromEntries(
      bank.participants.map(({ name, connectionString }) => [name, connectionString]),
    ),
  };
  const child = spawn(process.execPath, ['--import', 'tsx', script, JSON.stringify(plan)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  createInterface({ input: child.stdout }).on('line', (line) => {
    console.log(line);
  });
  await waitFor(
    'the votes',
    async () => {
      const [log] = await bank.log.query(
        `select count(*)::int as count from pgxa.decision d join pgxa.coordinator c using (epoch)
          where c.pid = $1 and c.retired_at is null`,
        [child.pid],
      );
      const counts = await Promise.all(bank.participants.map(inDoubt));
      return log?.['count'] === IN_FLIGHT / 2 && counts.every((count) => count === IN_FLIGHT);
    },
    { timeoutMs: 60_000 },
  );
  return child;
}
