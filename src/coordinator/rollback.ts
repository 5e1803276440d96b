import type { ProtocolTransaction } from './protocol-context.ts';

/** Rolls back what was never voted on. Resolves when all sessions are released. Never rejects. */
export async function rollback(transaction: ProtocolTransaction): Promise<void> {
  transaction.setState('rolling-back');
  await Promise.all(transaction.branches.map((branch) => branch.rollback()));
  transaction.releaseAdmission();
  transaction.setState('rolled-back');
}
