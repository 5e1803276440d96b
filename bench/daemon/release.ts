import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

import { createBank, type Bank } from '../../test/support/bank.ts';
import { waitFor } from '../../test/support/wait.ts';
import { inDoubt, median, rounded, startDaemonProcess, startServers } from './setting.ts';

const IN_FLIGHT = 1_000;
const ROUNDS = 5;

type Kind = 'decided' | 'undecided';
/** Seconds from the kill until each branch was free. */
type Times = Record<Kind, number[]>;

/**
 * A coordinator with 1,000 transactions in flight on two participants, half of them decided and the others only
 * voted, is killed beside a daemon with the defaults: how long until each branch is free.
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
    const rounds: Times[] = [];
    for (let round = 0; round < ROUNDS; round += 1) rounds.push(await killOnce(bank));
    await daemon.stop();
    const of = (kind: Kind): object => {
      const all = rounds.flatMap((one) => one[kind]);
      return { branches: all.length, p50: rounded(median(all)), max: rounded(Math.max(...all)) };
    };
    return { rounds: ROUNDS, secondsDecided: of('decided'), secondsUndecided: of('undecided') };
  } finally {
    await Promise.all(servers.map((server) => server.destroy()));
  }
}

async function killOnce(bank: Bank): Promise<Times> {
  const coordinator = startCoordinator(bank);
  try {
    await waitFor(
      'all votes',
      async () => (await Promise.all(bank.participants.map(inDoubt))).every((n) => n === IN_FLIGHT),
      { timeoutMs: 60_000 },
    );
    const ended = once(coordinator, 'exit');
    coordinator.send('decide');
    await ended;
    return await timesOf(bank, performance.now());
  } finally {
    coordinator.kill('SIGKILL');
  }
}

async function timesOf(bank: Bank, killedAtMs: number): Promise<Times> {
  const rows = await bank.log.query('select transaction_id::text as id from pgxa.decision');
  const decided = new Set(rows.map(({ id }) => String(id).replaceAll('-', '')));
  const times: Times = { decided: [], undecided: [] };
  let before: readonly string[] = [];
  await waitFor(
    'nothing in doubt',
    async () => {
      const left = new Set((await bank.inDoubt()).map(({ gid, participant }) => participant + gid));
      const seconds = (performance.now() - killedAtMs) / 1_000;
      for (const branch of before) {
        if (left.has(branch)) continue;
        times[decided.has(branch.split('_')[3] ?? '') ? 'decided' : 'undecided'].push(seconds);
      }
      before = [...left];
      return left.size === 0;
    },
    { timeoutMs: 60_000, intervalMs: 20 },
  );
  return times;
}

function startCoordinator(bank: Bank): ChildProcess {
  const script = fileURLToPath(new URL('holding-coordinator.ts', import.meta.url));
  const plan = {
    transactions: IN_FLIGHT,
    logUrl: bank.log.connectionString,
    participants: Object.fromEntries(
      bank.participants.map(({ name, connectionString }) => [name, connectionString]),
    ),
  };
  return spawn(process.execPath, ['--import', 'tsx', script, JSON.stringify(plan)], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
}
