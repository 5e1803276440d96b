/**
 * THE protocol: how one transaction commits or rolls back over its participants. No SQL and no
 * driver in here: branches, participants and the decision log are interfaces.
 *
 * Invariants (ARCHITECTURE.md has all twelve; these are the ones that this file keeps):
 *
 *  1. Decision before effect: COMMIT PREPARED is sent only after `decide` said that the row is durable.
 *  2. One decision: the register decides. Who loses, reads and obeys.
 *  3. A vote is evidence: only `yes` is yes; unknown is not.
 *  4. Unknown is never "rolled back": a lost reply to the decision is settled by the register.
 *  5. After a commit decision every failure is "pending".
 *  6. An absent gid is success only with proof; otherwise it is recorded as heuristic.
 *  7. A PREPARE can take effect after its client is gone: its backend is fenced before the branch
 *     counts as never prepared.
 *
 *                  no writer
 *             ┌──────────────────────────────────────────────────┐
 *             │    all yes             commit                    ▼
 *   active ─▶ voting ──────▶ deciding ─────────▶ committing ─▶ committed ◀──┐
 *     │         │ │             │ │ no answer        ▲                      │
 *     │         │ │ one writer  │ └──────▶ unknown ──┤ the register says    │
 *     │         │ │             │             │      │                      │
 *     │         │ └─────────────│─▶ committing-one-phase (one COMMIT) ──────┤
 *     │ throws  │ no, deadline  │ abort       │                             │
 *     ▼         ▼               ▼             ▼                             │
 *   rolling-back ◀──────────────┴─────────────┘ ───▶ rolled-back ◀──────────┘
 *
 *   step                     function          durable when it returns
 *   what did each do?        inspectAll        -
 *   no writer                commitReaders     nothing to make durable
 *   one writer               commitOnePhase    the branch's own COMMIT
 *   vote, all in parallel    collectVotes      each yes: PREPARE TRANSACTION, on its participant
 *   decide                   decide            THE COMMIT POINT: the row in the decision log
 *   finish, all in parallel  finishAll         COMMIT PREPARED, on each participant
 *
 * Gray and Lamport, "Consensus on Transaction Commit" (2006), section 3; Mohan, Lindsay and
 * Obermarck, "Transaction Management in the R* Distributed Database Management System" (1986) for
 * presumed abort and the read-only vote.
 */
import type { DecideReply, RecordedBranch } from '../decision-log/decision-log.ts';
import { HeuristicOutcomeError, OutcomeUnknownError, type RolledBackError } from '../errors.ts';
import type { Branch } from '../participant/participant.ts';
import type { DecidedBy, Decision, Vote } from '../states.ts';
import { finishAll, recordHeuristic, type BranchToFinish } from './finish.ts';
import { settleOnePhase } from './one-phase.ts';
import type { Committed, ProtocolContext, ProtocolTransaction } from './protocol-context.ts';
import { askReaders, commitReaders, endFollowing, splitReaders } from './readers.ts';
import { rollback } from './rollback.ts';
import {
  codeOfBranchFailure,
  decidedAbort,
  logRefused,
  outcomeUnknown,
  rolledBackBy,
  votedNo,
} from './rolled-back.ts';
import { asRecorded, settleByRegister, settleInBackground, SETTLE_PATIENCE_MS } from './settle.ts';

type YesVote = Extract<Vote, { kind: 'yes' }>;
interface Voted {
  readonly branch: Branch;
  readonly gid: string;
  readonly vote: Vote;
  /** It has something to prepare: a reader that refuses takes nothing away from a commit. */
  readonly writes: boolean;
}
interface YesVoted extends Voted {
  readonly vote: YesVote;
}

/**
 * Commits. Resolves once the transaction is committed for good (see the table above for what is
 * durable).
 *
 * @throws RolledBackError if it is surely not done, OutcomeUnknownError if nobody can tell yet,
 *   HeuristicOutcomeError if a branch ended against the decision.
 */
export async function commit(
  transaction: ProtocolTransaction,
  context: ProtocolContext,
): Promise<Committed> {
  transaction.setState('voting');
  const { writers, readers } = await inspectAll(transaction);
  const needsDecision = transaction.idempotencyKey !== undefined && writers.length > 0;
  const [onlyWriter] = writers;
  if (writers.length === 0) return commitReaders(transaction, readers);
  if (writers.length === 1 && onlyWriter !== undefined && !needsDecision) {
    return commitOnePhase(transaction, context, onlyWriter, readers);
  }
  return commitTwoPhase(transaction, context, writers, readers);
}

async function inspectAll(
  transaction: ProtocolTransaction,
): Promise<{ writers: Branch[]; readers: Branch[] }> {
  const works = await Promise.all(
    transaction.branches.map(async (branch) => ({ branch, work: await branch.inspect() })),
  );
  for (const { branch, work } of works) {
    if (work.kind !== 'failed') continue;
    await rollback(transaction);
    const code = codeOfBranchFailure(branch);
    throw rolledBackBy(code, transaction.id, branch.participant, work.error);
  }
  const of = (kind: string): Branch[] =>
    works.filter(({ work }) => work.kind === kind).map(({ branch }) => branch);
  return { writers: of('writer'), readers: of('read-only') };
}

/** One writer: its own COMMIT is the decision. */
async function commitOnePhase(
  transaction: ProtocolTransaction,
  context: ProtocolContext,
  writer: Branch,
  readers: readonly Branch[],
): Promise<Committed> {
  const { voting, following } = splitReaders(readers);
  await askReaders(transaction, voting);
  if (transaction.signal.aborted) {
    await rollback(transaction);
    throw transaction.signal.reason;
  }
  transaction.setState('committing-one-phase');
  await context.faultHook?.('before-one-phase-commit', transaction.id);
  for (const reader of following) reader.outliveDeadline();
  const reply = await writer.commitOnePhase();
  await context.faultHook?.('after-one-phase-commit', transaction.id);
  const outcome =
    reply.kind === 'unknown'
      ? await settleOnePhase(transaction.id, context, reply.evidence, SETTLE_PATIENCE_MS)
      : reply.kind;
  await endFollowing(
    transaction,
    following,
    outcome === 'committed' ? 'committed' : 'not-committed',
  );
  switch (outcome) {
    case 'committed':
      transaction.setState('committed');
      return { mode: 'one-phase', pending: [] };
    case 'rolled-back':
      transaction.setState('rolled-back');
      throw rolledBackBy(
        reply.kind === 'unknown' ? 'PGXA_CONNECTION_LOST' : 'PGXA_VOTE_NO',
        transaction.id,
        writer.participant,
        reply.kind === 'committed' ? undefined : reply.error,
      );
    case 'unknown':
      transaction.setState('unknown');
      throw new OutcomeUnknownError(
        `the reply to COMMIT on "${writer.participant}" is lost, and its fate cannot be asked yet`,
        {
          transactionId: transaction.id,
          participant: writer.participant,
          cause: reply.kind === 'committed' ? undefined : reply.error,
        },
      );
  }
}

async function commitTwoPhase(
  transaction: ProtocolTransaction,
  context: ProtocolContext,
  writers: readonly Branch[],
  readers: readonly Branch[],
): Promise<Committed> {
  await context.faultHook?.('before-vote', transaction.id);
  const { voting, following } = splitReaders(readers);
  const voted = await collectVotes(transaction, context, writers, voting);
  for (const { participant } of following) {
    context.publish('branch:voted', {
      transactionId: transaction.id,
      participant,
      vote: 'read-only',
    });
  }
  if (following.length === 0) transaction.releaseAdmission();
  await context.faultHook?.('after-votes', transaction.id);

  const dissent = voted.find(({ vote }) => vote.kind === 'no' || vote.kind === 'unknown');
  if (dissent !== undefined || transaction.signal.aborted) {
    await endFollowing(transaction, following, 'not-committed');
    return abandon(transaction, context, voted, dissent);
  }

  transaction.setState('deciding');
  for (const reader of following) reader.outliveDeadline();
  await context.faultHook?.('before-decide', transaction.id);
  const prepared = voted.filter(isPrepared);
  const decided = await decide(transaction, context, prepared);
  const commits = decided.kind === 'decided' && decided.decision === 'commit';
  const followed = endFollowing(transaction, following, commits ? 'committed' : 'not-committed');
  if (decided.kind === 'unknown') throw outcomeUnknown(transaction, decided.error);
  await context.faultHook?.('after-decide', transaction.id);
  if (decided.decision === 'abort') {
    await finishDecided(transaction, context, 'abort', prepared);
    throw decided.error;
  }
  const { recorded } = decided;
  const pending = await finishDecided(transaction, context, 'commit', prepared, recorded);
  await followed;
  await context.faultHook?.('after-finish', transaction.id);
  return { mode: 'two-phase', pending };
}

/** All votes in parallel. Resolves when every branch has answered or its session was given up. */
async function collectVotes(
  transaction: ProtocolTransaction,
  context: ProtocolContext,
  writers: readonly Branch[],
  readers: readonly Branch[],
): Promise<Voted[]> {
  const ask = async (branch: Branch, writes: boolean): Promise<Voted> => {
    const gid = context.gidOf(transaction.epoch, transaction.id, branch.ordinal);
    const answer = await (writes ? branch.prepare(gid) : branch.commitReadOnly());
    context.publish('branch:voted', {
      transactionId: transaction.id,
      participant: branch.participant,
      vote: answer.kind,
    });
    await context.faultHook?.('after-branch-vote', transaction.id);
    return { branch, gid, vote: answer, writes };
  };
  return Promise.all([
    ...writers.map((branch) => ask(branch, true)),
    ...readers.map((branch) => ask(branch, false)),
  ]);
}

function isPrepared(voted: Voted): voted is YesVoted {
  return voted.vote.kind === 'yes';
}

function mayBePrepared({ vote }: Voted): boolean {
  return vote.kind === 'yes' || vote.kind === 'unknown';
}

type Decided =
  | {
      readonly kind: 'decided';
      readonly decision: 'commit';
      /** Where it was read in the register: perhaps somebody else has decided it. */
      readonly recorded?: readonly RecordedBranch[];
    }
  | { readonly kind: 'decided'; readonly decision: 'abort'; readonly error: RolledBackError }
  | { readonly kind: 'unknown'; readonly error: Error };

/** The commit point. */
async function decide(
  transaction: ProtocolTransaction,
  context: ProtocolContext,
  prepared: readonly YesVoted[],
): Promise<Decided> {
  const reply = await context.log.decide({
    transactionId: transaction.id,
    epoch: transaction.epoch,
    label: transaction.label,
    idempotencyKey: transaction.idempotencyKey,
    branches: prepared.map(({ vote }) => vote.evidence),
  });
  switch (reply.kind) {
    case 'commit':
      return decidedBy(transaction, context, 'commit', 'coordinator');
    case 'abort':
      return decidedBy(transaction, context, 'abort', reply.decidedBy);
    case 'refused':
    case 'fenced':
    case 'already-done':
    case 'unknown':
      return settle(transaction, context, prepared, reply);
  }
}

/** Nothing is known to stand yet: what stands from now on is what the register says. */
async function settle(
  transaction: ProtocolTransaction,
  context: ProtocolContext,
  prepared: readonly YesVoted[],
  reply: Exclude<DecideReply, { kind: 'commit' | 'abort' }>,
): Promise<Decided> {
  const settled = await settleByRegister(transaction, context);
  const cause = 'error' in reply ? reply.error : fencedOf(reply);
  if (settled.kind === 'unknown') {
    transaction.setState('unknown');
    settleInBackground(transaction, context, prepared.map(toFinishOf));
    return { kind: 'unknown', error: cause ?? settled.error };
  }
  const { decision, decidedBy: by } = settled;
  const duplicateOf = reply.kind === 'already-done' ? reply.transactionId : undefined;
  const decided = decidedBy(transaction, context, decision, by, duplicateOf, cause);
  if (decision === 'commit') return { kind: 'decided', decision, recorded: settled.branches };
  if (reply.kind !== 'refused' || by !== 'coordinator') return decided;
  return { kind: 'decided', decision, error: logRefused(transaction, reply.error) };
}

function fencedOf({ kind }: DecideReply): Error | undefined {
  return kind === 'fenced'
    ? new Error('recovery has retired this coordinator: the log had not heard of it for too long')
    : undefined;
}

function decidedBy(
  transaction: ProtocolTransaction,
  context: ProtocolContext,
  decision: Decision,
  by: DecidedBy,
  duplicateOf?: string,
  cause?: Error,
): Decided {
  context.publish('transaction:decided', {
    transactionId: transaction.id,
    decision,
    decidedBy: by,
  });
  if (decision === 'commit') return { kind: 'decided', decision };
  return { kind: 'decided', decision, error: decidedAbort(transaction, by, duplicateOf, cause) };
}

/**
 * A vote was no or unknown, or the deadline has passed: abort. A branch that is prepared, or may be, is rolled back
 * only behind the tombstone, although no commit was asked for: an operator may be deciding, and this process may
 * sleep for any time between a look at the register and its ROLLBACK PREPARED. What the register says is obeyed.
 */
async function abandon(
  transaction: ProtocolTransaction,
  context: ProtocolContext,
  voted: readonly Voted[],
  dissent: Voted | undefined,
): Promise<Committed> {
  const toFinish = voted.filter(mayBePrepared);
  if (toFinish.length > 0) {
    transaction.setState('deciding');
    const settled = await settleByRegister(transaction, context);
    if (settled.kind === 'unknown') {
      transaction.setState('unknown');
      const inDoubt = toFinish.map(toFinishOf);
      settleInBackground(transaction, context, inDoubt);
      throw outcomeUnknown(transaction, settled.error);
    }
    const { decision, decidedBy: by } = settled;
    context.publish('transaction:decided', {
      transactionId: transaction.id,
      decision,
      decidedBy: by,
    });
    if (decision === 'commit') return obeyCommit(transaction, context, voted, settled.branches);
  }
  await context.faultHook?.('before-rollback-prepared', transaction.id);
  await finishDecided(transaction, context, 'abort', toFinish);
  throw reasonOf(transaction, dissent);
}

/** An operator has decided commit before this coordinator could decide abort. */
async function obeyCommit(
  transaction: ProtocolTransaction,
  context: ProtocolContext,
  voted: readonly Voted[],
  recorded: readonly RecordedBranch[],
): Promise<Committed> {
  const toFinish = voted.filter(mayBePrepared);
  const refused = voted.filter(({ vote, writes }) => writes && vote.kind === 'no');
  for (const { branch, gid } of refused) {
    const { participant } = branch;
    const evidence = 'an operator decided commit, and this branch had refused to prepare';
    await recordHeuristic(
      transaction,
      context,
      'commit',
      { participant, gid },
      'rollback',
      evidence,
    );
  }
  const pending = await finishDecided(transaction, context, 'commit', toFinish, recorded);
  if (refused.length === 0) return { mode: 'two-phase', pending };
  throw new HeuristicOutcomeError(
    `an operator decided commit, and ${refused.length} of ${voted.length} branches had refused to prepare`,
    { transactionId: transaction.id, kind: 'mixed' },
  );
}

/** Phase two. Returns the participants whose branch is pending. */
async function finishDecided(
  transaction: ProtocolTransaction,
  context: ProtocolContext,
  decision: Decision,
  branches: readonly Voted[],
  recorded: readonly RecordedBranch[] = [],
): Promise<string[]> {
  transaction.setState(decision === 'commit' ? 'committing' : 'rolling-back');
  const toFinish = branches.map((voted) => asRecorded(toFinishOf(voted), recorded));
  const ended = decision === 'commit' ? 'committed' : 'rolled-back';
  try {
    const pending = await finishAll(transaction, context, decision, toFinish);
    transaction.setState(ended);
    return pending;
  } catch (error) {
    if (error instanceof HeuristicOutcomeError) transaction.setState(ended);
    throw error;
  }
}

function toFinishOf({ branch, gid, vote }: Voted): BranchToFinish {
  if (!('evidence' in vote)) throw new Error('only a branch that may be prepared is finished');
  return {
    participant: branch.participant,
    gid,
    evidence: vote.evidence,
    // Invariant 7: its PREPARE may still be on its way.
    fenceFirst: vote.kind === 'unknown',
  };
}

function reasonOf(transaction: ProtocolTransaction, dissent: Voted | undefined): Error {
  if (transaction.signal.aborted) return transaction.signal.reason as Error;
  const vote = dissent?.vote;
  const error = vote?.kind === 'no' || vote?.kind === 'unknown' ? vote.error : undefined;
  if (vote?.kind !== 'unknown') return votedNo(transaction, dissent?.branch, error);
  return rolledBackBy('PGXA_VOTE_UNKNOWN', transaction.id, dissent?.branch.participant, error);
}
