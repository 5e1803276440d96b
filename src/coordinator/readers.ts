import type { Branch } from '../participant/participant.ts';
import type { Committed, ProtocolTransaction } from './protocol-context.ts';
import { rollback } from './rollback.ts';
import { votedNo } from './rolled-back.ts';

/** Zero writers: nothing to make durable. */
export async function commitReaders(
  transaction: ProtocolTransaction,
  readers: readonly Branch[],
): Promise<Committed> {
  await askReaders(transaction, readers);
  if (transaction.signal.aborted) {
    await rollback(transaction);
    throw transaction.signal.reason;
  }
  transaction.releaseAdmission();
  transaction.setState('committed');
  return { mode: readers.length === 0 ? 'none' : 'read-only', pending: [] };
}

/** COMMIT of branches that only read, as their vote. */
export async function askReaders(
  transaction: ProtocolTransaction,
  readers: readonly Branch[],
): Promise<void> {
  const votes = await Promise.all(readers.map((branch) => branch.commitReadOnly()));
  for (const [index, vote] of votes.entries()) {
    if (vote.kind === 'read-only') continue;
    await rollback(transaction);
    if (transaction.signal.aborted) throw transaction.signal.reason;
    const error = vote.kind === 'yes' ? undefined : vote.error;
    throw votedNo(transaction, readers[index], error);
  }
}

/**
 * A serializable reader may learn only at COMMIT that what it read must not be relied on: it votes. The
 * others have no vote, and end with the outcome: a function that they called may have sent NOTIFY or
 * written to a foreign table, which no transaction id shows, and which must not be told too early.
 */
export function splitReaders(readers: readonly Branch[]): {
  voting: Branch[];
  following: Branch[];
} {
  return {
    voting: readers.filter(({ mayFailAtCommit }) => mayFailAtCommit),
    following: readers.filter(({ mayFailAtCommit }) => !mayFailAtCommit),
  };
}

/** Ends the readers that have no vote; all sessions are back in their pools then. */
export async function endFollowing(
  transaction: ProtocolTransaction,
  following: readonly Branch[],
  outcome: 'committed' | 'not-committed',
): Promise<void> {
  await Promise.all(
    following.map(async (branch) => {
      if (outcome === 'committed') await branch.commitReadOnly();
      else await branch.rollback();
    }),
  );
  transaction.releaseAdmission();
}
