import type { DecisionLog, StandingDecision } from '../decision-log/decision-log.ts';
import type { Publish } from '../events.ts';
import type { Gid } from '../participant/gid.ts';
import type { Participant, PreparedBranch } from '../participant/participant.ts';
import type { Runtime } from '../runtime.ts';
import type { DecidedBy, Decision, ServerIdentity } from '../states.ts';
import { decide, type DecisionRow } from './decision-table.ts';
import { observeUndecided, type LocalCoordinator } from './observe.ts';
import type { BranchLeft, HeuristicFound } from './report.ts';

export interface PassOptions {
  readonly log: DecisionLog;
  readonly local: LocalCoordinator;
  readonly heartbeatLimitMs: number;
  readonly runtime: Runtime;
  readonly publish: Publish;
  /** For the records that it writes. */
  readonly name: string;
  /** Who wins the tombstones; default is recovery. */
  readonly decidedBy?: DecidedBy;
  /** No branch is begun any more once it is aborted; those in hand are finished. */
  readonly signal: AbortSignal | undefined;
  /** Called for every branch that is committed now. */
  readonly onCommitted: (gid: Gid, stands: StandingDecision) => void;
}

export interface OurBranch {
  readonly prepared: PreparedBranch;
  readonly gid: Gid;
}

/** What stands in the register, per transaction id. */
type Standing = ReadonlyMap<string, StandingDecision>;

interface Look {
  readonly branches: readonly OurBranch[];
  readonly standing: Standing;
}

/** Branches of one participant that are being finished at once: bounds memory, fills the pipelines. */
const FINISHES_IN_FLIGHT = 192;
/** Branches that are looked up at once: keeps a statement on the log well below its time limit. */
const BRANCHES_PER_LOOK = 1_000;

/** The work of one pass on one participant whose list has been read. */
export class Pass {
  readonly #options: PassOptions;
  readonly #participant: Participant;
  readonly #server: ServerIdentity;
  readonly #retired = new Map<string, Promise<boolean>>();
  readonly #left: BranchLeft[] = [];
  readonly #heuristics: HeuristicFound[] = [];
  #committed = 0;
  #rolledBack = 0;

  constructor(options: PassOptions, participant: Participant, server: ServerIdentity) {
    this.#options = options;
    this.#participant = participant;
    this.#server = server;
  }

  get committed(): number {
    return this.#committed;
  }
  get rolledBack(): number {
    return this.#rolledBack;
  }
  get left(): readonly BranchLeft[] {
    return this.#left;
  }
  get heuristics(): readonly HeuristicFound[] {
    return this.#heuristics;
  }

  /** Oldest first, as they are listed. While some are being finished, the next ones are looked up. */
  async run(branches: readonly OurBranch[]): Promise<void> {
    const { publish, signal } = this.#options;
    const participant = this.#participant.name;
    let looking = this.#lookUp(branches, 0);
    // Awaited in the next round, or nobody needs it any more.
    looking.catch(() => undefined);
    for (let at = 0; at < branches.length; at += BRANCHES_PER_LOOK) {
      if (signal?.aborted === true) return;
      const look = await looking;
      looking = this.#lookUp(branches, at + BRANCHES_PER_LOOK);
      looking.catch(() => undefined);
      await this.#act(look);
      if (branches.length <= BRANCHES_PER_LOOK) return;
      const done = Math.min(at + BRANCHES_PER_LOOK, branches.length);
      publish('recovery:progress', { participant, done, total: branches.length });
    }
  }

  async #lookUp(branches: readonly OurBranch[], at: number): Promise<Look> {
    const some = branches.slice(at, at + BRANCHES_PER_LOOK);
    const ids = [...new Set(some.map(({ gid }) => gid.transactionId))];
    return { branches: some, standing: await this.#options.log.decisionsOf(ids) };
  }

  async #act({ branches, standing }: Look): Promise<void> {
    const undecided = branches.filter(({ gid }) => !standing.has(gid.transactionId));
    const [, decidedNow] = await Promise.all([
      this.#finishAll(branches, standing),
      this.#decideOpen(undecided),
    ]);
    await this.#finishAll(undecided, decidedNow);
  }

  /** Rows F to J: those without a decision. Returns what stands for those that got one. */
  async #decideOpen(undecided: readonly OurBranch[]): Promise<Standing> {
    if (undecided.length === 0) return new Map();
    const { log, local, heartbeatLimitMs, decidedBy = 'recovery' } = this.#options;
    const horizonMs = await this.#horizonMs(undecided);
    const statuses = await log.epochsOf([...new Set(undecided.map(({ gid }) => gid.epoch))]);
    const toWin: OurBranch[] = [];
    await Promise.all(
      undecided.map(async (branch) => {
        const epoch = statuses.get(branch.gid.epoch);
        const facts = { epoch, horizonMs, nowMs: Date.now(), heartbeatLimitMs, local };
        const row = decide(observeUndecided(branch.gid, facts));
        if (row.action === 'win-abort') toWin.push(branch);
        else if (row.action !== 'retire') this.#leave(branch, row);
        else if (await this.#retire(branch.gid.epoch)) toWin.push(branch);
        else this.#leave(branch, row);
      }),
    );
    const requests = new Map(
      toWin.map(({ gid: { transactionId, epoch } }) => [transactionId, { transactionId, epoch }]),
    );
    if (requests.size === 0) return new Map();
    const standing = await log.settle([...requests.values()], decidedBy);
    for (const branch of toWin) {
      if (!standing.has(branch.gid.transactionId)) this.#leave(branch, FORGOTTEN);
    }
    return standing;
  }

  /** Asked for old branches alone: retention is two days at least, so for others there is no horizon. */
  async #horizonMs(undecided: readonly OurBranch[]): Promise<number> {
    const isOld = undecided.some(({ prepared }) => prepared.ageMs > RETENTION_LEAST_MS / 2);
    const horizonMs = isOld ? await this.#options.log.forgottenBefore() : undefined;
    return horizonMs ?? Number.NEGATIVE_INFINITY;
  }

  /** Once per epoch and pass. An epoch that cannot be retired now is left to the next pass. */
  #retire(epoch: string): Promise<boolean> {
    const { log, heartbeatLimitMs } = this.#options;
    const known =
      this.#retired.get(epoch) ?? log.retire(epoch, heartbeatLimitMs).catch(() => false);
    this.#retired.set(epoch, known);
    return known;
  }

  async #finishAll(branches: readonly OurBranch[], standing: Standing): Promise<void> {
    const queue = branches.flatMap((branch) => {
      const stands = standing.get(branch.gid.transactionId);
      return stands === undefined ? [] : [{ branch, stands }];
    });
    // One queue, several takers: each holds one branch in flight.
    const entries = queue.values();
    const takers = Array.from({ length: Math.min(FINISHES_IN_FLIGHT, queue.length) }, async () => {
      for (const { branch, stands } of entries) {
        if (this.#options.signal?.aborted === true) return;
        await this.#finish(branch, stands);
      }
    });
    await Promise.all(takers);
  }

  async #finish(branch: OurBranch, stands: StandingDecision): Promise<void> {
    const { prepared, gid } = branch;
    const { decision } = stands;
    const xid = recordedXid(stands, gid, this.#server);
    const result = await this.#participant.finish({
      gid: prepared.gid,
      decision,
      evidence: { xid, server: this.#server },
      // An abort records no xid. Gone is what it wants, and all finishers obey the register.
      absentMeansAborted: decision === 'abort',
      owner: prepared.ownedByOther ? (prepared.owner ?? undefined) : undefined,
    });
    const { transactionId } = gid;
    const participant = this.#participant.name;
    switch (result.kind) {
      case 'done':
        if (decision === 'commit') {
          this.#committed += 1;
          this.#options.onCommitted(gid, stands);
        } else this.#rolledBack += 1;
        this.#options.publish('branch:finished', { transactionId, participant, decision });
        return;
      case 'pending': {
        const row = decide({ server: 'registered', gid: 'ours', decision, coordinator: 'live' });
        this.#leave(branch, row, result.error);
        return;
      }
      case 'heuristic':
        // Decided by hand, without a word of the branches: that it is gone says that somebody finished it.
        if (xid === undefined) return;
        await this.#record(branch, decision, result.heuristic, result.evidence);
    }
  }

  async #record(
    { prepared, gid: { transactionId } }: OurBranch,
    decision: Decision,
    kind: HeuristicFound['kind'],
    evidence: string,
  ): Promise<void> {
    const { log, publish, name } = this.#options;
    const participant = this.#participant.name;
    const found = { gid: prepared.gid, transactionId, decision, kind, evidence };
    this.#heuristics.push(found);
    publish('heuristic:found', { ...found, participant });
    await log.recordHeuristic({ ...found, participant, foundBy: name });
  }

  #leave({ prepared, gid }: OurBranch, row: DecisionRow, error?: Error): void {
    this.#left.push({
      gid: prepared.gid,
      transactionId: gid.transactionId,
      row: row.row,
      reason: row.why,
      error,
    });
  }
}

const FORGOTTEN = decide({
  server: 'registered',
  gid: 'ours',
  decision: 'forgotten',
  coordinator: 'retired',
});

/** pgxa.drop_partitions refuses less. */
const RETENTION_LEAST_MS = 2 * 86_400_000;

/**
 * The xid that the branch had at its vote, as the decision recorded it. The one that pg_prepared_xacts shows
 * is no evidence: it is read after the list, unlocked, from a slot that another branch may have by then.
 */
function recordedXid(
  { branches }: StandingDecision,
  { branch }: Gid,
  { systemIdentifier }: ServerIdentity,
): string | undefined {
  return branches.find(
    (recorded) => recorded.branch === branch && recorded.systemIdentifier === systemIdentifier,
  )?.xid;
}
