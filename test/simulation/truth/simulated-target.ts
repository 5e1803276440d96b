import pg from 'pg';

import { toError } from '../../../src/errors.ts';
import { installHost } from '../host.ts';
import { SimulatedNetwork } from '../network.ts';
import { SimulatedServer } from '../postgres/server.ts';
import { SimulatedProcess } from '../process.ts';
import { Random } from '../random.ts';
import { Scheduler } from '../scheduler.ts';
import {
  hearNotices,
  send,
  type Outcome,
  type Request,
  type Target,
  type TruthClient,
} from './target.ts';

const HOST = 'server';

/** The simulated server, behind the simulated wire and the real client. */
export function createSimulatedTarget(seed: number, maxPrepared: number): Target {
  const scheduler = new Scheduler();
  const random = new Random(seed, 3);
  const server = new SimulatedServer({
    name: HOST,
    databaseName: 'truth',
    systemIdentifier: '1',
    replication: 'none',
    maxPrepared,
    hidesWarnings: false,
    installation: '0123456789ab',
    scheduler,
    random,
    observer: {
      at: () => undefined,
      registering: () => undefined,
      decidedLate: () => undefined,
      deciding: () => undefined,
      finishing: () => undefined,
      meeting: () => undefined,
    },
  });
  const network = new SimulatedNetwork({
    scheduler,
    random,
    servers: new Map([[HOST, server]]),
    latencyMs: [0.1, 0.2],
    slow: 0,
    detoursStrangers: false,
    sending: () => undefined,
  });
  const process = new SimulatedProcess('truth', scheduler, random, network);
  const clients = new Map<number, TruthClient>();

  /** Outside of every promise, since the simulation empties the queue of promises itself. */
  const inside = <T>(work: () => Promise<T>): Promise<T> =>
    new Promise((resolve, reject) => {
      setImmediate(() => {
        const uninstall = installHost('pg');
        // Told only when the surroundings are Node's own again: whoever waits goes on in there.
        let tell: (() => void) | undefined;
        try {
          process.deliver(() => {
            work().then(
              (value) => {
                tell = () => {
                  resolve(value);
                };
              },
              (error: unknown) => {
                tell = () => {
                  reject(toError(error));
                };
              },
            );
          });
          // Long waits end by a timeout, in virtual time.
          while (tell === undefined && scheduler.step());
        } finally {
          uninstall();
        }
        if (tell === undefined) {
          reject(new Error('the simulated server does not answer, and nothing is left to happen'));
        }
        tell?.();
      });
    });

  const open = async (session: number): Promise<void> => {
    const old = clients.get(session);
    await inside(async () => {
      await old?.client.end();
      const client = new pg.Client({ host: HOST, user: 'app', database: 'truth' });
      clients.set(session, hearNotices(client));
      await client.connect();
    });
  };
  return {
    name: 'simulated',
    open,
    run: (session, request): Promise<Outcome> => {
      const client = clients.get(session);
      if (client === undefined) throw new Error(`session ${session} is not open`);
      return inside(() => send(client, request));
    },
    prepared: () => Promise.resolve([...server.prepared()].map(({ gid }) => gid).sort()),
    crash: async () => {
      server.crash(true);
      server.restart();
      await inside(() => Promise.resolve());
      for (let events = 0; events < 200; events += 1) scheduler.step();
    },
    close: () => Promise.resolve(),
  };
}

export type { Request };
