/** Reads what `doctor` judges: the log and all participants at once, each for itself and in bounded time. */
import type { ConnectionConfig } from '../config.ts';
import { PRIVILEGES_SQL } from '../decision-log/open.ts';
import { readSchemaVersion, schemaVersion } from '../decision-log/migrate.ts';
import { failedAttemptOf, type FailedAttemptRow } from '../decision-log/failed-attempts.ts';
import { FAILED_ATTEMPTS_SQL, ALL_LEASES_SQL } from '../decision-log/operator-statements.ts';
import { INSTALLATION_SQL } from '../decision-log/statements.ts';
import { toError } from '../errors.ts';
import { factsOfRow, type ServerFactsRow } from '../participant/server-facts.ts';
import { connectConfigurationHint } from '../participant/sqlstate.ts';
import { within } from '../patience.ts';
import { connectOnce, type OnceClient } from '../postgres/once.ts';
import type { Runtime } from '../runtime.ts';
import { readCondition } from './doctor-condition.ts';
import type {
  Answer,
  DoctorFacts,
  LogFacts,
  LogRecords,
  ParticipantFacts,
  Purpose,
  Rights,
} from './doctor-model.ts';
import * as sql from './doctor-statements.ts';
import { takeSurvey, type SurveyOptions } from './survey.ts';

export interface DoctorOptions extends SurveyOptions {
  readonly places: {
    readonly log: ConnectionConfig;
    readonly participants: ReadonlyMap<string, ConnectionConfig>;
    readonly connectTimeoutMs: number;
  };
}

export async function readFacts(options: DoctorOptions): Promise<DoctorFacts> {
  const { places, heartbeatLimitMs, runtime, answerTimeoutMs } = options;
  const readingLog = ask(options, places.log, (client) =>
    readLog(client, places.log, options.runtime),
  );
  // A log that hangs must not use up the time of the participants.
  const prefix = within(runtime, answerTimeoutMs / 2, () => readingLog.then(prefixOf)).then(
    (known) => known ?? ANY_INSTALLATION,
  );
  const [log, survey, ...participants] = await Promise.all([
    readingLog,
    takeSurvey(options),
    ...[...places.participants].map(
      async ([name, place]) =>
        [
          name,
          await ask(options, place, (client) =>
            readParticipant(client, place, options.runtime, prefix),
          ),
        ] as const,
    ),
  ]);
  return { log, survey, participants: new Map(participants), heartbeatLimitMs };
}

/** Without the log. */
const ANY_INSTALLATION = 'pgxa_';

function prefixOf(log: Answer<LogFacts>): string {
  const installation = log.kind === 'answered' ? log.facts.records?.installation : undefined;
  return installation === undefined ? ANY_INSTALLATION : `pgxa_${installation}_`;
}

/** One session for one look. Whatever hangs is cut off. */
async function ask<T>(
  { runtime, answerTimeoutMs, places }: DoctorOptions,
  place: ConnectionConfig,
  read: (client: OnceClient) => Promise<T>,
): Promise<Answer<T>> {
  let client: OnceClient | undefined;
  try {
    const answer = await within(runtime, answerTimeoutMs, async () => {
      client = await connectOnce({
        application_name: 'pgxa doctor',
        connectionTimeoutMillis: places.connectTimeoutMs,
        ...place,
      });
      return { facts: await read(client) };
    });
    if (answer !== undefined) return { kind: 'answered', facts: answer.facts };
    return { kind: 'silent', error: `no answer within ${answerTimeoutMs} ms` };
  } catch (thrown) {
    const error = toError(thrown).message;
    const hint = connectConfigurationHint(thrown);
    return hint === undefined ? { kind: 'silent', error } : { kind: 'refused', error, hint };
  } finally {
    client?.destroy();
  }
}

/** What this login may not ask is not known, and no reason to know nothing. */
async function orNothing<T>(asked: Promise<T>): Promise<T | undefined> {
  return asked.catch(() => undefined);
}

async function readParticipant(
  client: OnceClient,
  place: ConnectionConfig,
  runtime: Runtime,
  prefix: Promise<string>,
): Promise<ParticipantFacts> {
  const condition = await readCondition(client, place, runtime);
  const [row] = (await client.query(sql.SLOTS_AND_FACTS_SQL)) as unknown as readonly [
    ServerFactsRow & { readonly slots_used: number },
  ];
  const known = await prefix;
  const [rights] = (await orNothing(client.query(sql.RIGHTS_SQL, [known]))) ?? [];
  const elsewhere = await orNothing(client.query(sql.ELSEWHERE_SQL, [known]));
  return {
    condition,
    server: factsOfRow(row),
    slotsUsed: row.slots_used,
    isInstallationKnown: known !== ANY_INSTALLATION,
    rights: rights === undefined ? undefined : rightsOf(rights as unknown as RightsRow),
    elsewhere: elsewhere as unknown as ParticipantFacts['elsewhere'],
  };
}

interface RightsRow {
  readonly superuser: boolean;
  readonly roles: readonly {
    readonly role: string | null;
    readonly branches: number;
    readonly sessions: number;
    readonly may_finish: boolean;
  }[];
  readonly settable: readonly string[];
}

function rightsOf({ superuser, roles, settable }: RightsRow): Rights {
  return {
    superuser,
    settable,
    roles: roles.map(({ role, branches, sessions, may_finish }) => ({
      role: role ?? undefined,
      branches,
      sessions,
      mayFinish: may_finish,
    })),
  };
}

const PURPOSES: readonly Purpose[] = ['application', 'recovery', 'operator', 'monitor'];

async function readLog(
  client: OnceClient,
  place: ConnectionConfig,
  runtime: Runtime,
): Promise<LogFacts> {
  const condition = await readCondition(client, place, runtime);
  const [there] = await client.query(sql.SCHEMA_SQL);
  const found = await orNothing(readSchemaVersion(client));
  const purposes: Purpose[] = [];
  for (const purpose of PURPOSES) {
    const [row] = (await orNothing(client.query(PRIVILEGES_SQL, [purpose]))) ?? [];
    if (row?.['allowed'] === true) purposes.push(purpose);
  }
  const records = found === undefined ? undefined : await orNothing(readRecords(client));
  return {
    condition,
    schema: { isThere: there?.['is_there'] === true, found, known: schemaVersion() },
    purposes,
    records,
  };
}

async function readRecords(client: OnceClient): Promise<LogRecords> {
  const rows = async <Row>(text: string): Promise<Row[]> =>
    (await client.query(text)) as unknown as Row[];
  const [installation] = await rows<{ id: string }>(INSTALLATION_SQL);
  const servers = await rows<RegisteredRow>(sql.REGISTERED_SQL);
  const leases = await rows<{ name: string; holder: string; remaining_ms: string }>(ALL_LEASES_SQL);
  const epochs = await rows<EpochRow>(sql.LIVE_EPOCHS_SQL);
  const failed = await rows<FailedAttemptRow>(FAILED_ATTEMPTS_SQL);
  return {
    installation: installation?.id ?? '',
    servers: servers.map((row) => ({
      participant: row.participant,
      systemIdentifier: row.system_identifier,
      databaseOid: row.database_oid,
      timeline: row.timeline,
      listedTimeline: row.listed_timeline ?? undefined,
      listedAgeMs: row.listed_age_ms === null ? undefined : Number(row.listed_age_ms),
      retired: row.retired,
    })),
    leases: leases.map(({ name, holder, remaining_ms }) => ({
      name,
      holder,
      remainingMs: Number(remaining_ms),
    })),
    coordinators: epochs.map((row) => ({
      epoch: row.epoch,
      coordinator: row.coordinator,
      host: row.host,
      pid: row.pid,
      version: row.version,
      guarded: row.guarded,
      ageMs: Number(row.age_ms),
      retired: false,
      heartbeatAgeMs: Number(row.heartbeat_age_ms),
      heartbeatLimitMs: row.heartbeat_limit_ms,
      heartbeat: row.heartbeat,
      sessionGone: row.session_gone,
    })),
    failedAttempts: failed.map(failedAttemptOf),
  };
}

interface RegisteredRow {
  readonly participant: string;
  readonly system_identifier: string;
  readonly database_oid: string;
  readonly timeline: string;
  readonly listed_timeline: string | null;
  readonly listed_age_ms: string | null;
  readonly retired: boolean;
}

interface EpochRow {
  readonly epoch: string;
  readonly coordinator: string;
  readonly host: string;
  readonly pid: number;
  readonly version: string;
  readonly guarded: boolean;
  readonly age_ms: string;
  readonly heartbeat_age_ms: string;
  readonly heartbeat_limit_ms: number;
  readonly heartbeat: string;
  readonly session_gone: boolean;
}
