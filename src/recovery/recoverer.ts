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
import { SESSION_GONE_AFTER_MS } from '../decision-log/decision-log.ts';
import { ConfigError, toError } from '../errors.ts';
import { parseGid } from '../participant/gid.ts';
import type { InDoubtListing, Participant, PreparedBranch } from '../participant/participant.ts';
import { within } from '../patience.ts';
import { decide } from './decision-table.ts';
import { Pass, type OurBranch, type PassOptions } from './pass.ts';
import {
  mergeReports,
  summarize,
  type BranchLeft,
  type ParticipantReport,
  type RecoveryReport,
} from './report.ts';
import { Siblings, type SiblingFound } from './siblings.ts';

export interface RecovererOptions extends Omit<PassOptions, 'signal' | 'onCommitted'> {
  readonly participants: ReadonlyMap<string, Participant>;
}

export interface ParticipantPassOptions {
  /** Branches that are not tried now; they are in the report as left. */
  readonly skip?: (gid: string) => BranchLeft | undefined;
  /** No branch is begun any more once it is aborted; those in hand are finished. */
  readonly signal?: AbortSignal;
}

/** A server answers, and not the one that is meant. */
const WRONG_SERVER = new Set(['PGXA_PARTICIPANT_IDENTITY', 'PGXA_PARTICIPANTS_NOT_DISTINCT']);
/** How often a silent coordinator is looked at again. */
const LIFE_SIGN_POLL_MS = 100;
/** How long one call waits for a participant that is asked about siblings. */
const SIBLINGS_PATIENCE_MS = 3_000;

export class Recoverer {
  readonly #options: RecovererOptions;
  readonly #siblings: Siblings;

  constructor(options: RecovererOptions) {
    this.#options = options;
    this.#siblings = new Siblings(options);
  }

  /**
   * One pass over all participants. With `wait`, undecided branches whose coordinator cannot be told
   * from a dead one are looked at until it has shown a sign of life or its time has run out, at most
   * a little over `heartbeatLimitMs`: then no branch of a dead coordinator is left.
   */
  async recover(options: { readonly wait: boolean }): Promise<RecoveryReport> {
    const names = [...this.#options.participants.keys()];
    let reports = await this.#passOver(names, {});
    if (options.wait) {
      reports = await this.#untilCertain(reports);
      // A PREPARE may outlive the client that sent it by a moment (invariant 7): look once more.
      if (summarize(reports).committed + summarize(reports).rolledBack > 0) {
        reports = await this.#untilCertain(await this.#passOver(names, reports));
      }
    }
    return summarize(withFound(reports, await this.siblingsFound()));
  }

  /**
   * Siblings of what the last passes have committed that are rolled back, and recorded now. Waits for a
   * participant that does not answer, but not for long.
   */
  async siblingsFound(): Promise<readonly SiblingFound[]> {
    await within(this.#options.runtime, SIBLINGS_PATIENCE_MS, () => this.#siblings.ask());
    return this.#siblings.takeFound();
  }

  /** One pass over one participant. Never rejects: what went wrong is in the report. */
  async recoverParticipant(
    name: string,
    passOptions: ParticipantPassOptions = {},
  ): Promise<ParticipantReport> {
    const participant = this.#options.participants.get(name);
    if (participant === undefined) throw new Error(`no participant "${name}"`);
    const report = await this.#observeAndAct(participant, passOptions);
    this.#options.publish('recovery:pass', {
      participant: name,
      committed: report.committed,
      rolledBack: report.rolledBack,
      left: report.left.length,
      failed: report.left.filter(({ error }) => error !== undefined).length,
      error: report.error,
    });
    // Nobody waits for it: another participant is asked, which may be away.
    void this.#siblings.ask();
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

  async #observeAndAct(
    participant: Participant,
    { skip, signal }: ParticipantPassOptions,
  ): Promise<ParticipantReport> {
    let listing: InDoubtListing;
    try {
      listing = await participant.listInDoubt();
    } catch (thrown) {
      const isOther = thrown instanceof ConfigError && WRONG_SERVER.has(thrown.code);
      return emptyReport(isOther ? 'other-server' : 'unreachable', toError(thrown));
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
    const skipped = ours.flatMap(({ prepared: { gid } }) => skip?.(gid) ?? []);
    const skippedGids = new Set(skipped.map(({ gid }) => gid));
    const pass = new Pass(
      {
        ...this.#options,
        signal,
        onCommitted: (gid, stands) => {
          this.#siblings.compare(gid, stands);
        },
      },
      participant,
      listing.server,
    );
    let error: Error | undefined;
    try {
      await pass.run(ours.filter(({ prepared }) => !skippedGids.has(prepared.gid)));
    } catch (thrown) {
      error = toError(thrown);
    }
    const { committed, rolledBack, heuristics } = pass;
    return {
      status: 'listed',
      committed,
      rolledBack,
      left: [...pass.left, ...skipped],
      heuristics,
      foreign: listing.branches.length - ours.length,
      oldestMs: Math.max(0, ...leftAges(ours, [...pass.left, ...skipped])),
      oldest: oldestId(ours),
      server: listing.server,
      slots: listing.slots,
      error,
    };
  }

  #ours(prepared: PreparedBranch): OurBranch[] {
    const gid = parseGid(prepared.gid);
    return gid?.installation === this.#options.log.installation ? [{ prepared, gid }] : [];
  }
}

/** Each sibling in the report of its own participant. */
function withFound(
  reports: Record<string, ParticipantReport>,
  found: readonly SiblingFound[],
): Record<string, ParticipantReport> {
  const all = { ...reports };
  for (const { participant, ...one } of found) {
    const report = all[participant];
    if (report === undefined) continue;
    all[participant] = { ...report, heuristics: [...report.heuristics, one] };
  }
  return all;
}

function emptyReport(status: ParticipantReport['status'], error: Error): ParticipantReport {
  return {
    status,
    committed: 0,
    rolledBack: 0,
    left: [],
    heuristics: [],
    foreign: 0,
    oldestMs: 0,
    oldest: undefined,
    server: undefined,
    slots: undefined,
    error,
  };
}

function leftAges(ours: readonly OurBranch[], left: readonly BranchLeft[]): number[] {
  const gids = new Set(left.map(({ gid }) => gid));
  return ours.flatMap(({ prepared }) => (gids.has(prepared.gid) ? [prepared.ageMs] : []));
}

/** UUIDv7 sort by time. */
function oldestId(ours: readonly OurBranch[]): string | undefined {
  let oldest: string | undefined;
  for (const { gid } of ours) {
    if (oldest === undefined || gid.transactionId < oldest) oldest = gid.transactionId;
  }
  return oldest;
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
