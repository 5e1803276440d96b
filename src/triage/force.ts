/**
 * An operator's own decision: ahead of the log's, or against it. Everything that can go through the register
 * goes through it, so forcing an undecided transaction decides it for all of its branches, and who loses
 * against a coordinator or against recovery is told so and has changed nothing.
 *
 *   undecided, roll back   retire the epoch if its time has run out; then the tombstone, as recovery writes it
 *   undecided, commit      prove the branches; retire the epoch, so that none can join them; prove them again, then
 *                          write commit with their evidence, unless somebody has written abort
 *   decided otherwise      the branches alone, one by one; each that obeys is recorded as heuristic
 *   forgotten, or ahead    the branches alone; the register is shut for their day, so operators wait for each other
 */
import type { DecisionLog, RecordedBranch } from '../decision-log/decision-log.ts';
import type { AuditEntry } from '../decision-log/operator-log.ts';
import { toError } from '../errors.ts';
import { parseGid } from '../participant/gid.ts';
import type { InDoubtListing, Participant } from '../participant/participant.ts';
import { isSameHistory } from '../participant/server-facts.ts';
import type { Decision, FinishResult, HeuristicKind, ServerIdentity } from '../states.ts';
import type { Assessment } from './assess.ts';
import type { BranchView, TransactionView } from './model.ts';
import { resolve, type ResolveOptions, type Resolution } from './resolve.ts';
import type { OpenLog } from './survey.ts';

export interface ForceRequest {
  readonly transaction: TransactionView;
  readonly decision: Decision;
  readonly assessment: Assessment;
  readonly reason: string;
  readonly override: boolean;
}

export interface ForcedBranch {
  readonly participant: string;
  readonly gid: string;
  /**
   * `lost`: somebody was faster, and the branch has ended the other way. `unknown`: it is gone, and nobody can tell
   * how it has ended.
   */
  readonly result: 'forced' | 'lost' | 'pending' | 'unknown';
  readonly detail: string | undefined;
}

export type ForceResult = ForceOutcome & {
  /** Why the end of it could not be written to the audit; its beginning stands there. */
  readonly unaudited?: string;
};

type ForceOutcome =
  /** The operator's decision stands in the register, for all branches. */
  | { readonly kind: 'decided'; readonly resolution: Resolution }
  /** Somebody else's decision stands there, or the branches cannot be proven: nothing is decided by this operator. */
  | { readonly kind: 'lost'; readonly why: string }
  | { readonly kind: 'branches'; readonly branches: readonly ForcedBranch[] };

/** What has been done must be written down: as often, and so far apart, is it tried. */
const RECORD_ATTEMPTS = 5;
const RECORD_PAUSE_MS = 500;
/** An operator waits for it, and a participant that is silent takes its time at each. */
const FINISH_ATTEMPTS = 3;

/** Rejects when the log does not answer before anything is done; afterwards the result says what is missing in it. */
export async function force(options: ResolveOptions, request: ForceRequest): Promise<ForceResult> {
  const { transaction, decision, assessment, reason, override } = request;
  const open = await options.openLog();
  const entry: AuditEntry = {
    actor: options.actor,
    action: `force ${decision === 'commit' ? 'commit' : 'rollback'}`,
    transactionId: transaction.transactionId,
    epoch: transaction.coordinator?.epoch,
    reason,
    before: { ...evidenceOf(transaction), override, objections: assessment.objections },
  };
  // Nothing is done that the audit does not know of already.
  await open.operatorLog.note({ ...entry, action: `${entry.action} begins` });
  const result = await act(options, open, request);
  const unaudited = await tryAgain(options, () =>
    open.operatorLog.note({ ...entry, action: `${entry.action} ended`, after: result }),
  );
  return unaudited === undefined ? result : { ...result, unaudited: unaudited.message };
}

/** Why it failed in the end; undefined when it is done. */
async function tryAgain(
  { runtime }: ResolveOptions,
  work: () => Promise<unknown>,
): Promise<Error | undefined> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await work();
      return undefined;
    } catch (thrown) {
      if (attempt === RECORD_ATTEMPTS) return toError(thrown);
      await runtime.sleep(RECORD_PAUSE_MS);
    }
  }
}

function evidenceOf({ verdict, decision, coordinator, branches }: TransactionView): object {
  return {
    verdict,
    decision,
    coordinator,
    branches: branches.map(({ participant, branch, gid, state, xid, server, row }) => ({
      participant,
      branch,
      gid,
      state,
      xid,
      server,
      row,
    })),
  };
}

function act(options: ResolveOptions, open: OpenLog, request: ForceRequest): Promise<ForceOutcome> {
  const { assessment, decision, transaction } = request;
  if (assessment.way !== 'decide') {
    return open.operatorLog.alone(
      transaction.transactionId,
      () => forceBranches(options, open, request),
      () => lost('another operator is at work on it'),
    );
  }
  return decision === 'commit'
    ? decideCommit(options, open, request)
    : decideAbort(options, open, request);
}

async function decideAbort(
  options: ResolveOptions,
  { log }: OpenLog,
  { transaction, override }: ForceRequest,
): Promise<ForceOutcome> {
  const { transactionId } = transaction;
  const epoch = epochOf(transaction);
  if ((await retireTheDead(options, log, { epoch, override })) === 'alive') return lost(ALIVE);
  const standing = (await log.settle([{ transactionId, epoch }], 'operator')).get(transactionId);
  if (standing?.decision === 'abort') return carryOut(options, transaction);
  return lost(standing === undefined ? FORGOTTEN : committedBy(standing.decidedBy));
}

async function decideCommit(
  options: ResolveOptions,
  { log, operatorLog }: OpenLog,
  { transaction, override }: ForceRequest,
): Promise<ForceOutcome> {
  const { transactionId } = transaction;
  const epoch = epochOf(transaction);
  // What cannot be committed must not cost a coordinator its epoch.
  const before = await proveBranches(options, transaction, 'durable');
  if (typeof before === 'string') return lost(before);
  const found = await retireTheDead(options, log, { epoch, override });
  if (found === 'alive') return lost(ALIVE);
  if (found === 'known') await operatorLog.retireNow(epoch);
  const branches = await proveBranches(options, transaction, 'durable');
  if (typeof branches === 'string') return lost(`${branches}; its coordinator is retired by now`);
  await operatorLog.commit({ transactionId, epoch, label: transaction.label, branches });
  const standing = (await log.decisionsOf([transactionId])).get(transactionId);
  if (standing?.decision === 'commit') return carryOut(options, transaction);
  if (standing === undefined) return lost('its epoch is not retired');
  return lost(`the log decided abort meanwhile, by ${standing.decidedBy}`);
}

/** Without the override only an epoch whose time has run out is retired, by the rule of recovery; with it, none here. */
async function retireTheDead(
  { heartbeatLimitMs }: ResolveOptions,
  log: DecisionLog,
  { epoch, override }: { readonly epoch: string; readonly override: boolean },
): Promise<'alive' | 'known' | 'unknown'> {
  const isKnown = (await log.epochsOf([epoch])).has(epoch);
  if (isKnown && !override && !(await log.retire(epoch, heartbeatLimitMs))) return 'alive';
  return isKnown ? 'known' : 'unknown';
}

/**
 * The branches as evidence, or why they are none. pg_prepared_xacts reads the name first and the xid later,
 * from a slot that may be another's by then; a gid is used once, so one that is listed again after its xid was
 * read was there all the time, and the xid is its own. A commit needs votes: for it the second listing has to be
 * durable, as the answer to a PREPARE is.
 */
async function proveBranches(
  { participants }: ResolveOptions,
  transaction: TransactionView,
  needed: 'listed' | 'durable',
): Promise<readonly RecordedBranch[] | string> {
  const proven: RecordedBranch[] = [];
  for (const { participant, gid, xid, branch, server: seen } of prepared(transaction)) {
    let listing: InDoubtListing | undefined;
    try {
      const place = participants.get(participant);
      listing = await (needed === 'durable' ? place?.listDurable() : place?.listInDoubt());
    } catch (thrown) {
      return `the branch on ${participant} cannot be proven: ${toError(thrown).message}`;
    }
    if (listing?.kind !== 'listed' || !isWhereSeen(listing.server, seen)) {
      return `the branch on ${participant} cannot be proven: another server answers than the one that was seen`;
    }
    const again = listing.branches.find((one) => one.gid === gid);
    if (again?.xid !== xid) return `the branch on ${participant} is not prepared there any more`;
    const { systemIdentifier, timeline } = listing.server;
    proven.push({ participant, branch, xid, systemIdentifier, timeline });
  }
  return proven;
}

/** Evidence is of one history; an operator who was shown another one looks again. */
function isWhereSeen(server: ServerIdentity, seen: BranchView['server']): boolean {
  if (seen === undefined) return false;
  const { systemIdentifier, timeline, databaseOid = server.databaseOid } = seen;
  return isSameHistory(server, { systemIdentifier, timeline, databaseOid });
}

/** The register has spoken: from here on it is what recovery does with any decision. */
async function carryOut(
  options: ResolveOptions,
  transaction: TransactionView,
): Promise<ForceOutcome> {
  return { kind: 'decided', resolution: await resolve(options, [transaction]) };
}

async function forceBranches(
  options: ResolveOptions,
  open: OpenLog,
  request: ForceRequest,
): Promise<ForceOutcome> {
  const isCommit = request.decision === 'commit';
  const proof = await proveBranches(options, request.transaction, isCommit ? 'durable' : 'listed');
  if (typeof proof === 'string') return lost(proof);
  const forced = await Promise.all(
    prepared(request.transaction).map((branch) => forceBranch(options, open, request, branch)),
  );
  return { kind: 'branches', branches: forced };
}

/** Never rejects: what has become of a branch is told whatever becomes of the others and of the log. */
async function forceBranch(
  options: ResolveOptions,
  open: OpenLog,
  request: ForceRequest,
  branch: BranchView,
): Promise<ForcedBranch> {
  const { participant, gid, xid, server } = branch;
  const told = { participant, gid };
  const place = options.participants.get(participant);
  const { decision, reason } = request;
  const result = await finishSurely(options, place, { gid, decision, xid, server });
  switch (result.kind) {
    case 'done': {
      const kind = decision === 'commit' ? 'commit' : 'rollback';
      const evidence = `forced against the decision by ${options.actor}: ${reason}`;
      const detail = await record(options, open, request, branch, kind, evidence);
      return { ...told, result: 'forced', detail };
    }
    case 'heuristic': {
      // Ended as decided, by recovery: no heuristic outcome at all.
      if (result.heuristic !== 'hazard')
        return { ...told, result: 'lost', detail: result.evidence };
      const missing = await record(options, open, request, branch, 'hazard', result.evidence);
      const detail = missing === undefined ? result.evidence : `${result.evidence}; ${missing}`;
      return { ...told, result: 'unknown', detail };
    }
    case 'pending':
      return { ...told, result: 'pending', detail: result.error.message };
  }
}

/** Without a decision there is none that it could be against. Returns what is to be told if it cannot be kept. */
async function record(
  options: ResolveOptions,
  { log }: OpenLog,
  { transaction: { transactionId, decision } }: ForceRequest,
  { participant, gid }: BranchView,
  kind: HeuristicKind,
  evidence: string,
): Promise<string | undefined> {
  if (decision === undefined) return undefined;
  const found = { transactionId, gid, participant, decision: decision.decision, kind, evidence };
  const error = await tryAgain(options, () =>
    log.recordHeuristic({ ...found, foundBy: options.actor }),
  );
  return error && `the heuristic outcome could not be recorded in the log: ${error.message}`;
}

/**
 * A lost answer is asked for again: the branch may have obeyed, and then nobody would find it on any list, nor record what it
 * was against. By its xid the next attempt tells.
 */
async function finishSurely(
  { runtime }: ResolveOptions,
  ...request: Parameters<typeof finish>
): Promise<FinishResult> {
  for (let attempt = 1; ; attempt += 1) {
    const result = await finish(...request).catch((thrown: unknown): FinishResult => ({
      kind: 'pending',
      error: toError(thrown),
    }));
    if (result.kind !== 'pending' || attempt === FINISH_ATTEMPTS) return result;
    await runtime.sleep(RECORD_PAUSE_MS);
  }
}

async function finish(
  participant: Participant | undefined,
  {
    gid,
    decision,
    xid,
    server,
  }: Pick<BranchView, 'gid' | 'xid' | 'server'> & { decision: Decision },
): Promise<FinishResult> {
  if (participant === undefined || server?.databaseOid === undefined) {
    return { kind: 'pending', error: new Error('its server is not known') };
  }
  const identity = { ...server, databaseOid: server.databaseOid };
  return participant.finish({ gid, decision, evidence: { xid, server: identity } });
}

function prepared({ branches }: TransactionView): readonly BranchView[] {
  return branches.filter(({ state }) => state === 'prepared');
}

function epochOf({ branches }: TransactionView): string {
  const gid = branches.map((branch) => parseGid(branch.gid)).find((one) => one !== undefined);
  if (gid === undefined) throw new Error('unreachable: a prepared branch has a gid');
  return gid.epoch;
}

function lost(why: string): ForceOutcome {
  return { kind: 'lost', why };
}

function committedBy(who: string): string {
  return `the log decided commit meanwhile, by ${who}`;
}

const ALIVE = 'its coordinator has shown a sign of life';
const FORGOTTEN = 'the log has forgotten the day of this transaction';
