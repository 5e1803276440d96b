/**
 * The ceiling: the same statements in local transactions that know nothing of each other. Half of a transfer
 * can be lost. With one participant it is the plain transaction that "one writer" is held against.
 */
import { openPools, onEach, updateAll, type OpenContender } from './contender.ts';

export const openLocalCommits: OpenContender = async ({ participants, concurrency }) => {
  const { pools, close } = await openPools(participants, concurrency);
  return {
    transact: async (work) => {
      await onEach(work, async (updates, participant) => {
        const pool = pools[participant];
        if (pool === undefined) throw new Error('more updates than participants');
        const client = await pool.connect();
        try {
          await client.query('begin');
          await updateAll(client, updates);
          await client.query('commit');
          client.release();
        } catch (error) {
          client.release(true);
          throw error;
        }
      });
    },
    close,
  };
};
