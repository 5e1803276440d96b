import { setTimeout as delay } from 'node:timers/promises';

import { createBank } from '../../test/support/bank.ts';
import { rounded, startDaemonProcess, startServers, usageOf } from './setting.ts';

const PARTICIPANTS = 20;
const MINUTES = Number(process.env['PGXA_IDLE_MINUTES'] ?? '5');

/** CPU and memory of a daemon with nothing to do. */
export async function idle(): Promise<object> {
  const servers = await startServers(1, 64);
  try {
    const [server] = servers;
    const bank = await createBank({
      servers,
      ...(server === undefined ? {} : { logServer: server }),
      participants: Array.from({ length: PARTICIPANTS }, (_, index) => `p${index}`),
    });
    const daemon = await startDaemonProcess(bank);
    const before = await usageOf(daemon);
    await delay(MINUTES * 60_000);
    const after = await usageOf(daemon);
    await daemon.stop();
    return {
      participants: PARTICIPANTS,
      minutes: MINUTES,
      cpuPercent: rounded((after.cpuMs - before.cpuMs) / (MINUTES * 600)),
      rssMb: rounded(after.rssMb, 0),
    };
  } finally {
    await Promise.all(servers.map((server) => server.destroy()));
  }
}
