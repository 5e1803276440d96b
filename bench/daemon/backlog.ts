import pg from 'pg';

import { createBank, type Bank, type BankDatabase } from '../../test/support/bank.ts';
import { waitFor } from '../../test/support/wait.ts';
import {
  freeLeases,
  holdLeases,
  inDoubt,
  median,
  plantDecided,
  rounded,
  startDaemonProcess,
  startServers,
} from './setting.ts';

const BRANCHES_PER_PARTICIPANT = 5_000;
const ROUNDS = 5;
/** As many as a participant of the daemon has. */
const CONNECTIONS = 3;

/** 10,000 decided branches on two participants: the daemon against a bare pipelined loop, in turn. */
export async function backlog(): Promise<object> {
  const servers = await startServers(3, BRANCHES_PER_PARTICIPANT + 10);
  const [logServer, ...participantServers] = servers;
  try {
    const bank = await createBank({
      servers: participantServers,
      ...(logServer === undefined ? {} : { logServer }),
    });
    const seconds: { daemon: number[]; bare: number[]; bareOne: number[] } = {
      daemon: [],
      bare: [],
      bareOne: [],
    };
    for (let round = 0; round < ROUNDS; round += 1) {
      await holdLeases(bank);
      const daemon = await startDaemonProcess(bank);
      seconds.bare.push(await timed(() => bareLoop(bank, CONNECTIONS), bank));
      seconds.bareOne.push(await timed(() => bareLoop(bank, 1), bank));
      seconds.daemon.push(await timedDaemon(bank));
      await daemon.stop();
      console.log(JSON.stringify(seconds));
    }
    return {
      branches: BRANCHES_PER_PARTICIPANT * 2,
      daemonSeconds: rounded(median(seconds.daemon)),
      bareSeconds: rounded(median(seconds.bare)),
      bareOneConnectionSeconds: rounded(median(seconds.bareOne)),
      // One pipelined loop on each server; the daemon has three connections, which the other ratio grants to the loop too.
      ratio: rounded(median(seconds.bareOne) / median(seconds.daemon)),
      ratioToThreeConnections: rounded(median(seconds.bare) / median(seconds.daemon)),
    };
  } finally {
    await Promise.all(servers.map((server) => server.destroy()));
  }
}

let planted: string[][] = [];

async function timed(work: () => Promise<void>, bank: Bank): Promise<number> {
  planted = await plantDecided(bank, BRANCHES_PER_PARTICIPANT);
  const begin = performance.now();
  await work();
  const took = (performance.now() - begin) / 1_000;
  if (!(await isEmpty(bank))) throw new Error('there are branches left');
  return took;
}

/** From the moment in which the daemon, which has waited for its lease, is let at the branches. */
async function timedDaemon(bank: Bank): Promise<number> {
  return timed(async () => {
    await freeLeases(bank);
    await waitFor('all', () => isEmpty(bank), { timeoutMs: 120_000, intervalMs: 50 });
  }, bank);
}

async function isEmpty(bank: Bank): Promise<boolean> {
  return (await Promise.all(bank.participants.map(inDoubt))).every((count) => count === 0);
}

async function bareLoop(bank: Bank, connections: number): Promise<void> {
  await Promise.all(
    bank.participants.flatMap((one, index) =>
      Array.from({ length: connections }, (_, at) =>
        finishBare(
          one,
          (planted[index] ?? []).filter((__, which) => which % connections === at),
        ),
      ),
    ),
  );
}

async function finishBare(
  { connectionString }: BankDatabase,
  gids: readonly string[],
): Promise<void> {
  const client = new pg.Client({ connectionString, pipeline: true });
  await client.connect();
  await Promise.all(gids.map((gid) => client.query(`commit prepared '${gid}'`)));
  await client.end();
}
