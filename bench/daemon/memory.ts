import { createBank } from '../../test/support/bank.ts';
import { waitFor } from '../../test/support/wait.ts';
import {
  inDoubt,
  plantDecided,
  rounded,
  startDaemonProcess,
  startServers,
  usageOf,
} from './setting.ts';

const ROUNDS = 20;
const BRANCHES_PER_PARTICIPANT = 2_500;

/** Memory of one daemon over 100,000 branches that it finishes. */
export async function memory(): Promise<object> {
  const servers = await startServers(2, BRANCHES_PER_PARTICIPANT + 10);
  try {
    const [logServer] = servers;
    const bank = await createBank({
      servers,
      ...(logServer === undefined ? {} : { logServer }),
    });
    const daemon = await startDaemonProcess(bank);
    const heapMb: number[] = [];
    const rssMb: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      await plantDecided(bank, BRANCHES_PER_PARTICIPANT);
      await waitFor(
        'all',
        async () => (await Promise.all(bank.participants.map(inDoubt))).every((n) => n === 0),
        { timeoutMs: 60_000 },
      );
      const usage = await usageOf(daemon);
      heapMb.push(rounded(usage.heapMb, 1));
      rssMb.push(rounded(usage.rssMb, 0));
    }
    await daemon.stop();
    return { branches: ROUNDS * BRANCHES_PER_PARTICIPANT * 2, heapMb, rssMb };
  } finally {
    await Promise.all(servers.map((server) => server.destroy()));
  }
}
