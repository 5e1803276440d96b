/** Faults of what a server needs: slots, room on its disk, its synchronous standby. */
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import pg from 'pg';

import { cancelWaits, regainStandby } from '../support/lonely.ts';
import { databaseOf, serverClaim, type Fault, type Field } from './nemesis.ts';
import { startAgain } from './server-faults.ts';
import type { SoakDatabase } from './world.ts';

/** Somebody else prepares until no slot is left. */
const slots: Fault = {
  name: 'slots-exhausted',
  weight: 2,
  claim: (field) => [serverClaim(field.random.pick(field.world.participants))],
  run: async (field, claimed) => {
    const one = databaseOf(field, claimed);
    const client = new pg.Client({
      connectionString: one.url(),
      application_name: 'pgxa test support',
    });
    client.on('error', () => undefined);
    const gids: string[] = [];
    try {
      await client.connect();
      for (let full = false; !full;) full = await takeSlot(client, gids);
      field.fired('slots-exhausted', 1, { where: one.name, taken: gids.length });
      await field.wait(field.random.int(100, 2_000));
      for (const gid of gids) await client.query(`rollback prepared ${pg.escapeLiteral(gid)}`);
    } finally {
      await client.end();
    }
  },
};

/** True when none was left. */
async function takeSlot(client: pg.Client, gids: string[]): Promise<boolean> {
  const gid = `somebody else ${gids.length}`;
  await client.query('begin');
  try {
    await client.query(`prepare transaction ${pg.escapeLiteral(gid)}`);
    gids.push(gid);
    return false;
  } catch (error) {
    if ((error as { code?: string }).code === '53200') return true;
    throw error;
  }
}

/**
 * The synchronous standby is gone: every commit waits, and an impatient operator cancels the waits. What is
 * cancelled then is committed here and proven nowhere else.
 */
function standbyLost(name: string, candidates: (field: Field) => readonly SoakDatabase[]): Fault {
  return {
    name,
    weight: 1,
    claim: (field) => [serverClaim(field.random.pick(candidates(field)))],
    run: async (field, claimed) => {
      const { server, name: where } = databaseOf(field, claimed);
      await server.query('postgres', `alter system set synchronous_standby_names = 'nobody'`);
      try {
        await server.query('postgres', 'select pg_reload_conf()');
        const until = performance.now() + field.random.int(300, 2_500);
        while (performance.now() < until && !field.ending.aborted) {
          await field.wait(field.random.int(20, 400));
          const waits = await cancelWaits(server);
          if (waits.length > 0) field.fired(name, waits.length, { where });
        }
      } finally {
        await regainStandby(server);
      }
    },
  };
}

const FULL = /No space left on device/;
/** So long may a busy machine take to notice. */
const FILL_MS = 20_000;

/** The disk of the WAL is full: the server panics, and cannot start until there is room again. */
const diskFull: Fault = {
  name: 'disk-full',
  weight: 1,
  claim: (field) => {
    const small = field.world.participants.find((one) => one.wal !== undefined);
    return small === undefined ? undefined : [serverClaim(small)];
  },
  run: async (field, claimed) => {
    const one = databaseOf(field, claimed);
    const { server, wal, name: where } = one;
    if (wal === undefined) throw new Error(`the WAL of ${where} is on no disk of its own`);
    const { size } = await stat(wal.serverLog);
    const filler = join(wal.directory, 'filler');
    await writeFile(filler, Buffer.alloc(wal.bytes)).catch(() => undefined);
    const untilMs = performance.now() + FILL_MS;
    let felt = false;
    while (!felt && performance.now() < untilMs) {
      // What it has left of its segments would last a while.
      await server.query('postgres', 'select pg_switch_wal()').catch(() => undefined);
      const log = await readFile(wal.serverLog);
      felt = FULL.test(log.subarray(size).toString('latin1'));
      await sleep(50);
    }
    if (felt) field.fired('disk-full', 1, { where });
    if (felt) await field.wait(field.random.int(0, 1_500));
    await rm(filler);
    // It may have given up, or be in the middle of doing so; also where it was too slow to be seen.
    const isUp = await server.query('postgres', 'select 1').then(
      () => !felt,
      () => false,
    );
    if (isUp) return;
    await server.kill9().catch(() => undefined);
    await startAgain(field, one);
  },
};

export const DISK_FAULTS: readonly Fault[] = [diskFull];
export const RESOURCE_FAULTS: readonly Fault[] = [
  slots,
  standbyLost('participant-standby-lost', ({ world }) => world.participants),
  standbyLost('log-standby-lost', ({ world }) => [world.log]),
];
