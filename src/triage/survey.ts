/**
 * One look at everything at once: all participants and the log, in parallel. What does not answer is shown
 * as not answering, never as empty.
 *
 *   participants ─ list (as recovery does), burden ─┐
 *   log ─ servers, leases, open heuristics ─────────┴─▶ decisions, epochs, horizon ─▶ fates ─▶ verdicts
 */
import type { DecisionLog, EpochStatus, StandingDecision } from '../decision-log/decision-log.ts';
import type {
  CoordinatorRecord,
  FailedAttempt,
  LeaseRecord,
  OpenHeuristic,
  OperatorLog,
} from '../decision-log/operator-log.ts';
import { ConfigError, toError } from '../errors.ts';
import { parseGid } from '../participant/gid.ts';
import type { InDoubtListing, Participant, PreparedBranch } from '../participant/participant.ts';
import { attemptAt, withAttempts } from './attempts.ts';
import { branchesOf, fatesOfMissing, type PreparedHere } from './branches.ts';
import { foreignOriginOf } from './foreign.ts';
import { within } from '../patience.ts';
import type { Runtime } from '../runtime.ts';
import type { Inspector, ServerBurden } from './inspector.ts';
import type { ForeignView, ParticipantView, Survey, TransactionView } from './model.ts';
import { viewOf } from './transaction-view.ts';

export interface OpenLog {
  readonly log: DecisionLog;
  readonly operatorLog: OperatorLog;
}

export interface SurveyOptions {
  readonly participants: ReadonlyMap<string, Participant>;
  readonly inspectors: ReadonlyMap<string, Inspector>;
  readonly openLog: () => Promise<OpenLog>;
  readonly heartbeatLimitMs: number;
  readonly runtime: Runtime;
  /** What has not answered by then counts as not answering. */
  readonly answerTimeoutMs: number;
}

/** What one participant has answered. */
interface Look {
  readonly name: string;
  readonly listing: InDoubtListing | undefined;
  readonly burden: ServerBurden | undefined;
  readonly view: Omit<ParticipantView, 'daemon' | 'attempt'>;
}

interface FromLog {
  readonly installation: string;
  readonly heuristics: readonly OpenHeuristic[];
  readonly leases: readonly LeaseRecord[];
  readonly failedAttempts: readonly FailedAttempt[];
  /** Names of the participants that programs and daemons have registered, without those that are gone for good. */
  readonly registered: readonly string[];
  /** Of the transactions in question. */
  readonly ids: readonly string[];
  readonly standing: ReadonlyMap<string, StandingDecision>;
  readonly epochs: ReadonlyMap<string, EpochStatus>;
  readonly coordinators: ReadonlyMap<string, CoordinatorRecord>;
  readonly horizonMs: number;
}

/** How many decided transactions a prefix may fit before it is called ambiguous. */
const DECIDED_MAX = 20;

/**
 * Takes a survey. Never rejects. With `about`, the hexadecimal beginning of an id, transactions that are
 * decided and no more in doubt are in it too.
 */
export async function takeSurvey(options: SurveyOptions, about?: string): Promise<Survey> {
  const takenAt = new Date();
  const inTime: InTime = (work) => inTimeOrNever(options, work);
  const opening = inTime(options.openLog);
  // It is awaited below; until then its failure is nobody's.
  opening.catch(() => undefined);
  const looks = await Promise.all(
    [...options.participants.values()].map((participant) =>
      lookAt(participant, options.inspectors.get(participant.name), inTime),
    ),
  );
  const listed = looks.flatMap((look) => preparedOf(look));
  let fromLog: FromLog | undefined;
  let logError: string | undefined;
  try {
    const log = await opening;
    fromLog = await inTime(() => askLog(log, listed, about));
  } catch (thrown) {
    logError = toError(thrown).message;
  }
  const isOurs = ({ gid }: PreparedHere): boolean =>
    fromLog === undefined || gid.installation === fromLog.installation;
  const transactions = await judgeAll(options, looks, listed.filter(isOurs), fromLog);
  const views = [...looks.map(({ view }) => view), ...notConfigured(options, fromLog)];
  return {
    takenAt,
    installation: fromLog?.installation,
    log: { status: fromLog === undefined ? 'unreachable' : 'reachable', error: logError },
    complete: fromLog !== undefined && views.every(({ status }) => status === 'listed'),
    participants: views.map((view) => ({
      ...view,
      daemon: holderOf(fromLog?.leases ?? [], view.name),
      attempt: attemptAt(fromLog?.failedAttempts ?? [], view.name, undefined),
    })),
    transactions: withAttempts(transactions, fromLog?.failedAttempts ?? []),
    foreign: looks.flatMap((look) => foreignOf(look, fromLog?.installation)),
  };
}

/** A survey that does not look at them must not look whole: they may hold anything. */
function notConfigured(
  { participants }: SurveyOptions,
  fromLog: FromLog | undefined,
): Look['view'][] {
  const names = (fromLog?.registered ?? []).filter((name) => !participants.has(name));
  return names.map((name) => ({
    name,
    status: 'not-configured',
    error:
      'the decision log knows it, and the configuration does not: name it there, or, if it is gone for good, ' +
      'set retired_at of its row in pgxa.participant',
    server: undefined,
    slots: undefined,
    inspectionError: undefined,
  }));
}

type InTime = <T>(work: () => Promise<T>) => Promise<T>;

async function inTimeOrNever<T>(
  { runtime, answerTimeoutMs }: SurveyOptions,
  work: () => Promise<T>,
): Promise<T> {
  const answered = await within(runtime, answerTimeoutMs, async () => ({ value: await work() }));
  if (answered === undefined) throw new Error(`no answer within ${answerTimeoutMs} ms`);
  return answered.value;
}

async function lookAt(
  participant: Participant,
  inspector: Inspector | undefined,
  inTime: InTime,
): Promise<Look> {
  const { name } = participant;
  const [listed, burdened] = await Promise.allSettled([
    inTime(() => participant.listInDoubt()),
    inspector && inTime(() => inspector.burden()),
  ]);
  const view = { name, server: undefined, slots: undefined, inspectionError: undefined };
  if (listed.status === 'rejected') {
    const error = toError(listed.reason);
    const status = statusOf(error);
    return {
      name,
      listing: undefined,
      burden: undefined,
      view: { ...view, status, error: error.message },
    };
  }
  const listing = listed.value;
  if (listing.kind !== 'listed') {
    const error = listing.kind === 'standby' ? STANDBY : OTHER_SERVER;
    return { name, listing, burden: undefined, view: { ...view, status: listing.kind, error } };
  }
  const { server, slots } = listing;
  const burden = burdened.status === 'fulfilled' ? burdened.value : undefined;
  const isSame = burden?.systemIdentifier === server.systemIdentifier;
  const inspectionError =
    burdened.status === 'rejected' ? toError(burdened.reason).message : undefined;
  return {
    name,
    listing,
    burden: isSame ? burden : undefined,
    view: { ...view, status: 'listed', error: undefined, server, slots, inspectionError },
  };
}

const STANDBY =
  'a standby answers (it lists nothing, whatever its primary holds): connect to the primary';
const OTHER_SERVER = 'another server than the registered one answers under this name';

function statusOf(error: Error): ParticipantView['status'] {
  if (!(error instanceof ConfigError)) return 'unreachable';
  if (error.code === 'PGXA_PARTICIPANT_IDENTITY') return 'other-server';
  return 'unusable';
}

/** All that carry the name of a transaction of pgxa, of whatever installation. */
function preparedOf({ name, listing, burden }: Look): PreparedHere[] {
  if (listing?.kind !== 'listed') return [];
  return listing.branches.flatMap((prepared) => {
    const gid = parseGid(prepared.gid);
    if (gid === undefined) return [];
    const { server } = listing;
    return [{ participant: name, prepared, gid, server, ...burdenOf(burden, prepared) }];
  });
}

function burdenOf(
  burden: ServerBurden | undefined,
  prepared: PreparedBranch,
): Pick<PreparedHere, 'burden' | 'freezeLimit'> {
  return { burden: burden?.burdens.get(prepared.gid), freezeLimit: burden?.freezeLimit };
}

function foreignOf(look: Look, installation: string | undefined): ForeignView[] {
  if (look.listing?.kind !== 'listed') return [];
  return look.listing.branches.flatMap((prepared) => {
    const gid = parseGid(prepared.gid);
    // Without the log nobody can tell which installation is ours.
    const isOurs = gid !== undefined && gid.installation === (installation ?? gid.installation);
    if (isOurs) return [];
    const { burden, freezeLimit } = burdenOf(look.burden, prepared);
    return [
      {
        participant: look.name,
        gid: prepared.gid,
        origin: foreignOriginOf(prepared.gid),
        xid: prepared.xid,
        ageMs: prepared.ageMs,
        owner: prepared.owner ?? undefined,
        xidAge: burden?.xidAge,
        freezeLimit,
        blocked: burden?.blocked ?? [],
      },
    ];
  });
}

async function askLog(
  { log, operatorLog }: OpenLog,
  listed: readonly PreparedHere[],
  about: string | undefined,
): Promise<FromLog> {
  const ours = listed.filter(({ gid }) => gid.installation === log.installation);
  const epochIds = [...new Set(ours.map(({ gid }) => gid.epoch))];
  const [open, leases, failedAttempts, servers, decided, epochs, coordinators, horizonMs] =
    await Promise.all([
      operatorLog.heuristics([]),
      operatorLog.leases(),
      operatorLog.failedAttempts(),
      operatorLog.servers(),
      about === undefined ? [] : operatorLog.decidedWithPrefix(about, DECIDED_MAX),
      log.epochsOf(epochIds),
      operatorLog.coordinators({ epochs: epochIds, includeRetired: true }),
      log.forgottenBefore(),
    ]);
  const ids = [
    ...new Set([
      ...ours.map(({ gid }) => gid.transactionId),
      ...open.map(({ transactionId }) => transactionId),
      ...decided,
    ]),
  ];
  const [standing, heuristics] = await Promise.all([
    log.decisionsOf(ids),
    about === undefined ? open : operatorLog.heuristics(decided),
  ]);
  return {
    installation: log.installation,
    heuristics,
    leases,
    failedAttempts,
    registered: servers.filter(({ retired }) => !retired).map(({ participant }) => participant),
    ids,
    standing,
    epochs,
    coordinators: new Map(coordinators.map((one) => [one.epoch, one])),
    horizonMs: horizonMs ?? Number.NEGATIVE_INFINITY,
  };
}

async function judgeAll(
  { inspectors, heartbeatLimitMs }: SurveyOptions,
  looks: readonly Look[],
  prepared: readonly PreparedHere[],
  fromLog: FromLog | undefined,
): Promise<TransactionView[]> {
  const byId = groupBy(prepared, ({ gid }) => gid.transactionId);
  const ids = [...new Set([...byId.keys(), ...(fromLog?.ids ?? [])])];
  const servers = new Map(looks.map(({ name, view }) => [name, view.server] as const));
  const fates = await fatesOfMissing(byId, fromLog?.standing ?? new Map(), servers, inspectors);
  const views = ids.map((transactionId) => {
    const here = byId.get(transactionId) ?? [];
    const standing = fromLog?.standing.get(transactionId);
    const gid = here[0]?.gid;
    const epoch = gid && fromLog?.epochs.get(gid.epoch);
    const facts = {
      epoch,
      horizonMs: fromLog?.horizonMs ?? Number.NEGATIVE_INFINITY,
      nowMs: Date.now(),
      heartbeatLimitMs,
      local: NOT_A_COORDINATOR,
    };
    return viewOf({
      transactionId,
      standing,
      isLogReachable: fromLog !== undefined,
      branches: branchesOf(here, standing, fromLog === undefined ? undefined : facts, fates),
      heuristics: (fromLog?.heuristics ?? []).filter((one) => one.transactionId === transactionId),
      epochId: gid?.epoch,
      epoch,
      coordinator: gid && fromLog?.coordinators.get(gid.epoch),
    });
  });
  return views.sort((a, b) => a.beganAt.getTime() - b.beganAt.getTime());
}

const NOT_A_COORDINATOR = { isOwnEpoch: () => false, isAtWorkOn: () => false };

function holderOf(leases: readonly LeaseRecord[], participant: string): string | undefined {
  return leases.find(
    ({ name, remainingMs }) => name === `participant ${participant}` && remainingMs > 0,
  )?.holder;
}

function groupBy<T>(items: readonly T[], key: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(key(item));
    if (group === undefined) groups.set(key(item), [item]);
    else group.push(item);
  }
  return groups;
}
