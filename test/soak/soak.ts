/** One soak from the first server to the last read. */
import { setTimeout as sleep } from 'node:timers/promises';

import { builtCli } from '../support/built-cli.ts';
import { temporaryFolder, type Folder } from '../support/cli.ts';
import { lookForLeaks, readAll, readDaemons, readList, waitUntilQuiet } from './final-reads.ts';
import { HistoryWriter } from './history.ts';
import type { Least } from './ledger.ts';
import { Nemesis, type Fault } from './nemesis.ts';
import type { Profile } from './profiles.ts';
import { Random } from './random.ts';
import { TRANSACTION_TYPES } from './transactions.ts';
import { Worker, type Role } from './workers.ts';
import { makeWorld, plantForeign, type World } from './world.ts';

const HEARTBEAT_LIMIT_MS = 3_000;
/** A coordinator lets its questions be answered, and closes: no more than this. */
const END_MS = 60_000;

/** Whatever the faults are. */
const VERBS = ['list', 'check', 'explain', 'resolve'];
/** Where the operator is left alone at times. */
const FORCES = ['force rollback'];

export interface SoakOptions {
  readonly profile: Profile;
  readonly seed: number;
  readonly minutes: number;
  readonly file: string;
}

export async function soak(options: SoakOptions): Promise<void> {
  const { profile, seed, minutes, file } = options;
  const history = new HistoryWriter(file);
  const cli = await builtCli();
  const world = await makeWorld();
  const folder = await temporaryFolder();
  const workers: Worker[] = [];
  // Who may not mount a small disk cannot fill one.
  const small = world.participants.some(({ wal }) => wal !== undefined);
  const faults = profile.faults.filter(({ name }) => name !== 'disk-full' || small);
  try {
    history.write('harness', {
      kind: 'configured',
      seed,
      settings: { profile: profile.name, minutes, least: leastOf(options, faults) },
    });
    for (const one of world.participants) {
      const gids = await plantForeign(world, one);
      history.write('harness', { kind: 'planted-foreign', participant: one.name, gids });
    }
    workers.push(...(await makeWorkers({ profile, seed, world, history, cli, folder })));
    for (const worker of workers) worker.start();
    const random = new Random(seed);
    const nemesis = new Nemesis({
      ...profile,
      faults,
      world,
      workers,
      random,
      history,
      heartbeatLimitMs: HEARTBEAT_LIMIT_MS,
    });
    await nemesis.rage(performance.now() + minutes * 60_000);
    await nemesis.heal();
    await windDown(world, workers, history);
  } finally {
    await Promise.all(workers.map((worker) => worker.close()));
    await world.close();
    await folder.remove();
    await history.close();
  }
}

/** I26: in the time of the soak, this much at least. */
function leastOf({ minutes, profile }: SoakOptions, faults: readonly Fault[]): Least {
  const long = minutes >= 2;
  return {
    ok: Math.floor(minutes * 100),
    fail: Math.floor(minutes * 10),
    info: 0,
    faults: long ? [...faults.map(({ name }) => name), ...(profile.effects ?? [])] : [],
    types: minutes >= 0.5 ? TRANSACTION_TYPES : [],
    verbs: [...(long ? VERBS : []), ...(long && profile.forcesAgainst ? FORCES : [])],
  };
}

interface Crew {
  readonly profile: Profile;
  readonly seed: number;
  readonly world: World;
  readonly history: HistoryWriter;
  readonly cli: string;
  readonly folder: Folder;
}

async function makeWorkers({ profile, seed, world, ...tools }: Crew): Promise<Worker[]> {
  const operators: Worker[] = [];
  const tell = (line: string): void => {
    for (const one of operators) one.tell(line);
  };
  const make = async (role: Role, count: number): Promise<Worker[]> => {
    const made: Worker[] = [];
    for (let number = 1; number <= count; number += 1) {
      made.push(
        await Worker.make(
          {
            name: `${role}-${number}`,
            role,
            seed: seed * 1_000 + made.length * 100 + role.length,
            concurrency: role === 'coordinator' ? profile.concurrency : 2,
            intervalMs: role === 'daemon' ? profile.daemonIntervalMs : 300,
            heartbeatLimitMs: HEARTBEAT_LIMIT_MS,
            forcesAgainst: profile.forcesAgainst,
            ...tools,
            onEvent: (event) => {
              // Whom nobody could answer is asked about by somebody else too.
              if (event.kind === 'info') tell(`ask ${event.id}`);
              if (event.kind !== 'begun') return;
              const key = event.key === undefined ? '-' : 'key';
              tell(['begun', event.id, key, ...event.writers].join(' '));
            },
          },
          world,
        ),
      );
    }
    return made;
  };
  operators.push(...(await make('operator', profile.operators)));
  const coordinators = await make('coordinator', profile.coordinators);
  return [...coordinators, ...(await make('daemon', profile.daemons)), ...operators];
}

/** Coordinators first, while recovery goes on; then, when nothing is in doubt, recovery. */
async function windDown(
  world: World,
  workers: readonly Worker[],
  history: HistoryWriter,
): Promise<void> {
  await waitUntilQuietUnderLoad();
  const endAll = async (...roles: Role[]): Promise<void> => {
    await Promise.all(
      workers
        .filter(({ role }) => roles.includes(role))
        .map(async (worker) => {
          if (await worker.end(END_MS)) return;
          const what = `the process was there ${END_MS} ms after it was asked to end`;
          history.write('harness', { kind: 'final-leak', where: worker.name, what });
        }),
    );
  };
  await endAll('coordinator');
  await waitUntilQuiet(world, history);
  await endAll('operator');
  await readDaemons(workers, history);
  await readList(world, workers, history);
  await endAll('daemon');
  await lookForLeaks(world, history);
  await readAll(world, history);
}

/** Work goes on after the last fault, so that what healed is seen to work. */
async function waitUntilQuietUnderLoad(): Promise<void> {
  await sleep(3_000);
}
