/**
 * Two-phase commit as a careful engineer writes it with pg: pools, the command tag of PREPARE is looked at, a
 * decision is inserted (and awaited) before COMMIT PREPARED and deleted (and awaited) after it. It keeps the
 * connections until the end, since COMMIT PREPARED needs one. It does not recover anything; what it would have
 * to know for that (transaction ids, servers, dead clients) it does not write down.
 */
import { randomUUID } from 'node:crypto';

import type pg from 'pg';

import {
  allOrFirstError,
  onEach,
  openPools,
  updateAll,
  type OpenContender,
  type Work,
} from './contender.ts';

export const HAND_LOG_SCHEMA =
  'create table hand_decision (id uuid primary key, decided_at timestamptz not null default now())';

type EachClient = (act: (client: pg.PoolClient, index: number) => Promise<void>) => Promise<void>;

/** All participants at once in every phase. */
export const openParallelTwoPhase: OpenContender = (setting) => open(setting, 'parallel');
/** One participant after the other in every phase. */
export const openSequentialTwoPhase: OpenContender = (setting) => open(setting, 'sequential');

async function open(
  { participants, log, concurrency }: Parameters<OpenContender>[0],
  manner: 'parallel' | 'sequential',
): ReturnType<OpenContender> {
  const { pools, close } = await openPools(participants, concurrency);
  const { pools: logPools, close: closeLog } = await openPools([log], concurrency);
  const [decisions] = logPools;
  if (decisions === undefined) throw new Error('unreachable: one place has one pool');
  return {
    transact: async (work) => {
      const ordered = { ...work, inOrder: work.inOrder || manner === 'sequential' };
      await transact(ordered, manner, pools, decisions);
    },
    close: async () => {
      await Promise.all([close(), closeLog()]);
    },
  };
}

async function transact(
  work: Work,
  manner: 'parallel' | 'sequential',
  pools: readonly pg.Pool[],
  decisions: pg.Pool,
): Promise<void> {
  const id = randomUUID();
  const clients = new Map<number, pg.PoolClient>();
  const each: EachClient = async (act) => {
    const held = [...clients.entries()].sort(([one], [other]) => one - other);
    if (manner === 'parallel')
      await allOrFirstError(held.map(([index, client]) => act(client, index)));
    else for (const [index, client] of held) await act(client, index);
  };
  const prepared = new Set<number>();
  let decided = false;
  try {
    await onEach(work, async (updates, participant) => {
      const client = await (pools[participant] as pg.Pool).connect();
      clients.set(participant, client);
      await client.query('begin');
      await updateAll(client, updates);
    });
    await each(async (client, index) => {
      const { command } = await client.query(`prepare transaction '${id}-${index}'`);
      if (command !== 'PREPARE') throw new Error(`PREPARE was answered by ${command}`);
      prepared.add(index);
    });
    decided = true;
    await decisions.query({ name: 'decide', text: DECIDE_SQL, values: [id] });
    await each(async (client, index) => {
      await client.query(`commit prepared '${id}-${index}'`);
    });
    await decisions.query({ name: 'forget', text: FORGET_SQL, values: [id] });
    for (const client of clients.values()) client.release();
  } catch (error) {
    if (decided) throw new Error('the run leaves branches in doubt', { cause: error });
    await each(async (client, index) => {
      if (prepared.has(index)) await client.query(`rollback prepared '${id}-${index}'`);
    });
    throw error;
  } finally {
    // The end of a session rolls back what is not prepared in it; released before, this does nothing.
    if (!decided) for (const client of clients.values()) client.release(true);
  }
}

const DECIDE_SQL = 'insert into hand_decision (id) values ($1)';
const FORGET_SQL = 'delete from hand_decision where id = $1';
