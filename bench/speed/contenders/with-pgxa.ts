import { createTransactionManager } from '../../../src/index.ts';
import { onEach, updateAll, type OpenContender } from './contender.ts';

/** pgxa as a program uses it. With one participant in the work: its one-writer path. */
export const openPgxa: OpenContender = async ({ participants, log, concurrency }) => {
  const manager = await createTransactionManager({
    coordinator: 'bench',
    decisionLog: { connectionString: log.connectionString },
    participants: Object.fromEntries(
      participants.map(({ name, connectionString }) => [
        name,
        { connectionString, max: concurrency },
      ]),
    ),
  });
  const names = participants.map(({ name }) => name);
  return {
    transact: async (work) => {
      await manager.run(async (tx) => {
        await onEach(work, (updates, participant) =>
          updateAll(tx.on(names[participant] ?? ''), updates),
        );
      });
    },
    close: () => manager.close(),
  };
};
