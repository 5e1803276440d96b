import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

import { EXIT } from '../exit-codes.ts';
import { SERVERS } from './folder.ts';
import { SandboxProblem } from './problem.ts';

/**
 * A loopback port for each server: those that were asked for, or three in a row that are free.
 *
 * @throws SandboxProblem when one of those that were asked for is taken.
 */
export async function choosePorts(
  first: number | undefined,
  kept: readonly number[] | undefined,
): Promise<readonly number[]> {
  const wanted = first === undefined ? kept : inARow(first);
  if (wanted !== undefined) {
    for (const port of wanted) await assertFree(port);
    return wanted;
  }
  for (let tries = 0; tries < 100; tries += 1) {
    // Below the range from which the system takes ports for outgoing connections.
    const ports = inARow(randomInt(12_000, 32_000));
    if ((await Promise.all(ports.map(isFree))).every(Boolean)) return ports;
  }
  throw new SandboxProblem('no three free ports in a row were found: name the first with --port');
}

function inARow(first: number): number[] {
  return SERVERS.map((_, at) => first + at);
}

async function assertFree(port: number): Promise<void> {
  if (await isFree(port)) return;
  throw new SandboxProblem(
    `port ${port} of 127.0.0.1 is taken (needed: ${SERVERS.length} in a row). Name another first one with ` +
      '--port, or none: then free ones are found',
    EXIT.refused,
  );
}

/** Nobody listens there on loopback. */
export async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => {
      resolve(false);
    });
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      server.close(() => {
        resolve(true);
      });
    });
  });
}
