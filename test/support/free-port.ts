import { randomInt } from 'node:crypto';

import { isFree } from '../../cli/sandbox/ports.ts';

/**
 * A loopback port that nobody listens on. It is taken from below the range that the system uses for
 * outgoing connections, so that none of them sits on it while the server is down between two starts.
 */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 100; tries += 1) {
    const port = randomInt(12_000, 32_000);
    if (await isFree(port)) return port;
  }
  throw new Error('no free port found between 12000 and 32000 on 127.0.0.1');
}
