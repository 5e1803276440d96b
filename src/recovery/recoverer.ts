/**
 * One recovery pass: observe, decide, act. Safe beside live coordinators, other recoverers and
 * operators, because it decides nothing by itself: a commit needs a durable row, an abort has to be
 * won in the register, and who loses obeys what stands.
 *
 * Per participant, and independent of the others (invariant 11):
 *  1. list the prepared branches, with the state and identity of the server in the same statement
 *  2. look their transactions up in the log; a row is an answer, its absence is not
 *  3. for those without a row, look at their coordinators, and ask the decision table
 *  4. act, pipelined; record what ended otherwise than decided
 */
import {
  SESSION_GONE_AFTER_MS,
  type DecisionLog,
  type EpochStatus,
  type StandingDecision,
} from '../decision-log/decision-log.ts';
import { toError } from '../errors.ts';
import type { Publish } from '../events.ts';
import { parseGid, type Gid } from '../participant/gid.ts';
import type { InDoubtListing, Participant, PreparedBranch } from '../participant/participant.ts';
import type { Runtime } from '../runtime.ts';
import type { Decision, ServerIdentity } from '../states.ts';
import { decide, type DecisionRow, type Observation } from './decision-table.ts';
import {
  mergeReports,
  summarize,
  type BranchLeft,
  type HeuristicFound,
  type ParticipantReport,
  type RecoveryReport,
} from './report.ts';

/** What this process itself knows better than the log: its own epoch and what it is at work on. */
export interface LocalCoordinator {
  isOwnEpoch(epoch: string): boolean;
  isAtWorkOn(transactionId: string): boolean;
}

export interface RecovererOptions {
  readonly log: DecisionLog;
  readonly participants: ReadonlyMap<string, Participant>;
  readonly local: LocalCoordinator;
  readonly heartbeatLimitMs: number;
  readonly runtime: Runtime;
  readonly publish: Publish;
  /** For the records that it writes. */
  readonly name: string;
}

/** Branches of one participant that are being finished at once: bounds memory, fills the pipelines. */
const FINISHES_IN_FLIGHT = 64;
/** How often a silent coordinator is looked at again. */
const LIFE_SIGN_POLL_MS = 100;

/** What stands in the register, per transaction id. */
type Standing = ReadonlyMap<string, StandingDecision>;

interface OurBranch {
  readonly prepared: PreparedBranch;
  readonly gid: Gid;
}

export class Recoverer {
  readonly #options: RecovererOptions;

  constructor(options: RecovererOptions) {
    this.#options = options;
  }

  /**
   * One pass over all participants. With `wait`, undecided branches whose coordinator cannot be told
   * from a dead one are looked at until it has shown a sign of life or its time has run out, at most
   * a little over `heartbeatLimitMs`: then no branch of a dead coordinator is left.
   */
  async recover(options: { readonly wait: boolean }): Promise<RecoveryReport> {
    const names = [...this.#options.participants.keys()];
    let reports = await this.#passOver(names, {});
    if (!options.wait) return summarize(reports);
    reports = await this.#untilCertain(reports);
    // A PREPARE may outlive the client that sent it by a moment (invariant 7): look once more.
    if (summarize(reports).committed + summarize(reports).rolledBack > 0) {
      reports = await this.#untilCertain(await this.#passOver(names, reports));
    }
    return summarize(reports);
  }

  /** One pass over one participant. Never rejects: what went wrong is in the report. */
  async recoverParticipant(name: string): Promise<ParticipantReport> {
    const participant = this.#options.participants.get(name);
    if (participant === undefined) throw new Error(`no participant "${name}"`);
    const report = await this.#observeAndAct(participant);
    this.#options.publish('recovery:pass', {
      participant: name,
      committed: report.committed,
      rolledBack: report.rolledBack,
      left: report.left.length,
      failed: report.left.filter(({ error }) => error !== undefined).length,
      error: report.error,
    });
    return report;
  }

  async #passOver(
    names: readonly string[],
    earlier: Readonly<Record<string, ParticipantReport>>,
  ): Promise<Record<string, ParticipantReport>> {
    const entries = await Promise.all(
      names.map(async (name) => {
        const report = await this.recoverParticipant(name);
        const before = earlier[name];
        return [name, before === undefined ? report : mergeReports(before, report)] as const;
      }),
    );
    return { ...earlier, ...Object.fromEntries(entries) };
  }

  /** Repeats the pass where a branch waits for a coordinator that has not shown a sign of life. */
  async #untilCertain(
    first: Record<string, ParticipantReport>,
  ): Promise<Record<string, ParticipantReport>> {
    const { runtime, heartbeatLimitMs } = this.#options;
    const untilMs = runtime.now() + heartbeatLimitMs + SESSION_GONE_AFTER_MS;
    const firstHeartbeats = new Map<string, string>();
    const proven = new Set(
      epochsInDoubt(first).filter((epoch) => this.#options.local.isOwnEpoch(epoch)),
    );
    let reports = first;
    while (runtime.now() < untilMs) {
      const waiting = namesWaiting(reports, proven);
      if (waiting.length === 0) break;
      await runtime.sleep(LIFE_SIGN_POLL_MS);
      try {
        await this.#lookForLife(reports, firstHeartbeats, proven);
      } catch {
        // The log is away: nothing is known, nothing is done, and the report says so.
        break;
      }
      reports = await this.#passOver(namesWaiting(reports, proven), reports);
    }
    return reports;
  }

  async #lookForLife(
    reports: Readonly<Record<string, ParticipantReport>>,
    firstHeartbeats: Map<string, string>,
    proven: Set<string>,
  ): Promise<void> {
    const unproven = epochsInDoubt(reports).filter((epoch) => !proven.has(epoch));
    for (const [epoch, status] of await this.#options.log.epochsOf(unproven)) {
      const before = firstHeartbeats.get(epoch) ?? status.heartbeat;
      firstHeartbeats.set(epoch, before);
      if (before !== status.heartbeat) proven.add(epoch);
    }
  }

  async #observeAndAct(participant: Participant): Promise<ParticipantReport> {
    let listing: InDoubtListing;
    try {
      listing = await participant.listInDoubt();
    } catch (thrown) {
      return emptyReport('unreachable', toError(thrown));
    }
    if (listing.kind !== 'listed') {
      const { why } = decide({
        server: listing.kind === 'standby' ? 'standby' : 'other',
        gid: 'foreign',
        decision: 'none',
        coordinator: 'unregistered',
      });
      return emptyReport(listing.kind, new Error(why));
    }
    const ours = listing.branches.flatMap((prepared) => this.#ours(prepared));
    const foreign = listing.branches.length - ours.length;
    const pass = new Pass(this.#options, participant, listing.server);
    try {
      await pass.run(ours);
    } catch (thrown) {
      return { ...pass.report(), foreign, error: toError(thrown) };
    }
    return { ...pass.report(), foreign };
  }

  #ours(prepared: PreparedBranch): OurBranch[] {
    const gid = parseGid(prepared.gid);
    return gid?.installation === this.#options.log.installation ? [{ prepared, gid }] : [];
  }
}

/** The work of one pass on one participant whose list has been read. */
class Pass {
  readonly #options: RecovererOptions;
  readonly #participant: Participant;
  readonly #server: ServerIdentity;
  #committed = 0;
  #rolledBack = 0;
  readonly #left: BranchLeft[] = [];
  readonly #heuristics: HeuristicFound[] = [];

  constructor(options: RecovererOptions, participant: Participant, server: ServerIdentity) {
    this.#options = options;
    this.#participant = participant;
    this.#server = server;
  }

  report(): ParticipantReport {
    return {
      status: 'listed',
      committed: this.#committed,
      rolledBack: this.#rolledBack,
      left: this.#left,
      heuristics: this.#heuristics,
      foreign: 0,
      error: undefined,
    };
  }

  async run(branches: readonly OurBranch[]): Promise<void> {
    if (branches.length === 0) return;
    const standing = await this.#standingOf(branches);
    const undecided = branches.filter(({ gid }) => !standing.has(gid.transactionId));
    const [, decidedNow] = await Promise.all([
      this.#finishAll(branches, standing),
      this.#decideOpen(undecided),
    ]);
    await this.#finishAll(undecided, decidedNow);
  }

  #standingOf(branches: readonly OurBranch[]): Promise<Standing> {
    const ids = [...new Set(branches.map(({ gid }) => gid.transactionId))];
    return this.#options.log.decisionsOf(ids);
  }

  /** Rows F to I: those without a decision. Returns what stands for those that got one. */
  async #decideOpen(undecided: readonly OurBranch[]): Promise<Standing> {
    const { log } = this.#options;
    const epochs = [...new Set(undecided.map(({ gid }) => gid.epoch))];
    const statuses = await log.epochsOf(epochs);
    const toWin: OurBranch[] = [];
    const retired = new Map<string, Promise<boolean>>();
    await Promise.all(
      undecided.map(async (branch) => {
        const row = decide({
          server: 'registered',
          gid: 'ours',
          decision: 'none',
          coordinator: this.#coordinatorOf(branch.gid, statuses.get(branch.gid.epoch)),
        });
        if (row.action === 'win-abort') toWin.push(branch);
        else if (row.action !== 'retire') this.#leave(branch, row);
        else if (await this.#retire(branch.gid.epoch, retired)) toWin.push(branch);
        else this.#leave(branch, row);
      }),
    );
    const requests = new Map(
      toWin.map(({ gid: { transactionId, epoch } }) => [transactionId, { transactionId, epoch }]),
    );
    if (requests.size === 0) return new Map();
    return log.settle([...requests.values()], 'recovery');
  }

  #coordinatorOf(gid: Gid, status: EpochStatus | undefined): Observation['coordinator'] {
    const { local, heartbeatLimitMs } = this.#options;
    if (local.isOwnEpoch(gid.epoch))
      return local.isAtWorkOn(gid.transactionId) ? 'live' : 'retired';
    if (status === undefined) return 'unregistered';
    if (status.retired) return 'retired';
    const goneAfterMs = Math.min(SESSION_GONE_AFTER_MS, heartbeatLimitMs);
    const gone = status.sessionGone && status.heartbeatAgeMs > goneAfterMs;
    return gone || status.heartbeatAgeMs > heartbeatLimitMs ? 'silent' : 'live';
  }

  /** Once per epoch and pass. An epoch that cannot be retired now is left to the next pass. */
  #retire(epoch: string, retired: Map<string, Promise<boolean>>): Promise<boolean> {
    const { log, heartbeatLimitMs } = this.#options;
    const known = retired.get(epoch) ?? log.retire(epoch, heartbeatLimitMs).catch(() => false);
    retired.set(epoch, known);
    return known;
  }

  async #finishAll(branches: readonly OurBranch[], standing: Standing): Promise<void> {
    const queue = branches.flatMap((branch) => {
      const stands = standing.get(branch.gid.transactionId);
      return stands === undefined ? [] : [{ branch, stands }];
    });
    // One queue, several takers: each holds one branch in flight.
    const takers = Array.from({ length: Math.min(FINISHES_IN_FLIGHT, queue.length) }, async () => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        await this.#finish(next.branch, next.stands);
      }
    });
    await Promise.all(takers);
  }

  async #finish(branch: OurBranch, stands: StandingDecision): Promise<void> {
    const { prepared, gid } = branch;
    const { decision } = stands;
    const result = await this.#participant.finish({
      gid: prepared.gid,
      decision,
      evidence: { xid: recordedXid(stands, gid, this.#server), server: this.#server },
      // An abort records no xid. Gone is what it wants, and all finishers obey the register.
      absentMeansAborted: decision === 'abort',
      owner: prepared.ownedByOther ? (prepared.owner ?? undefined) : undefined,
    });
    const { transactionId } = gid;
    const participant = this.#participant.name;
    switch (result.kind) {
      case 'done':
        if (decision === 'commit') this.#committed += 1;
        else this.#rolledBack += 1;
        this.#options.publish('branch:finished', { transactionId, participant, decision });
        return;
      case 'pending': {
        const row = decide({
          server: 'registered',
          gid: 'ours',
          decision,
          coordinator: 'live',
        });
        this.#leave(branch, row, result.error);
        return;
      }
      case 'heuristic':
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

function emptyReport(status: ParticipantReport['status'], error: Error): ParticipantReport {
  return { status, committed: 0, rolledBack: 0, left: [], heuristics: [], foreign: 0, error };
}

/** The epoch of a branch that was left because its coordinator seems to be alive, or silent. */
function epochInDoubt({ row, gid }: BranchLeft): string[] {
  const epoch = parseGid(gid)?.epoch;
  return (row === 'F' || row === 'G') && epoch !== undefined ? [epoch] : [];
}

function epochsInDoubt(reports: Readonly<Record<string, ParticipantReport>>): string[] {
  const epochs = Object.values(reports).flatMap(({ left }) => left.flatMap(epochInDoubt));
  return [...new Set(epochs)];
}

function namesWaiting(
  reports: Readonly<Record<string, ParticipantReport>>,
  proven: ReadonlySet<string>,
): string[] {
  return Object.entries(reports).flatMap(([name, { left }]) =>
    left.flatMap(epochInDoubt).some((epoch) => !proven.has(epoch)) ? [name] : [],
  );
}
