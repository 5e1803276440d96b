import { createRecoveryDaemon, type RecoveryDaemon } from '../../src/index.ts';
import type { Bank } from './bank.ts';

/** A recovery daemon for all of a bank, ready for work. */
export async function startDaemon(bank: Bank): Promise<RecoveryDaemon> {
  const daemon = await createRecoveryDaemon({
    name: 'box1',
    decisionLog: { connectionString: bank.log.connectionString },
    participants: Object.fromEntries(
      bank.participants.map(({ name, connectionString }) => [name, { connectionString }]),
    ),
  });
  await daemon.whenReady;
  return daemon;
}
