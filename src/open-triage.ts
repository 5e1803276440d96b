/** The composition root of triage: what an operator, and the command line, work with. */
import { parseDaemonConfig, type DaemonConfig } from './config.ts';
import { openDecisionLog } from './decision-log/open.ts';
import type { ServerRecord } from './decision-log/operator-log.ts';
import { PostgresOperatorLog } from './decision-log/postgres-operator-log.ts';
import { ConfigError } from './errors.ts';
import { publish } from './events.ts';
import { makeParticipants, type RegisterServer } from './open-participants.ts';
import { within } from './patience.ts';
import type { RecoveryDaemonConfig } from './public-surface.ts';
import { systemRuntime } from './runtime.ts';
import { Inspector } from './triage/inspector.ts';
import type { OpenLog } from './triage/survey.ts';
import { Triage } from './triage/triage.ts';

export interface TriageConfig extends RecoveryDaemonConfig {
  /** Who acts, for the audit: `alice@laptop`. */
  readonly actor: string;
  /** `monitor` needs to read only; `operator` is needed for whatever changes something. */
  readonly purpose: 'monitor' | 'operator';
  /** Longest wait for any one answer of a participant, in milliseconds; default 10 000. */
  readonly answerTimeoutMs?: number;
}

const ANSWER_TIMEOUT_MS = 10_000;
const PARTICIPANT_DEFAULTS = { lockTimeoutMs: 10_000, max: 1, pool: undefined };

/**
 * Makes a triage over these participants and this log. Connects to nothing yet: what does not answer is
 * shown in what it is asked for.
 *
 * @throws ConfigError with code `PGXA_CONFIG_INVALID`.
 */
export function openTriage(config: TriageConfig): Triage {
  const { actor, purpose, answerTimeoutMs = ANSWER_TIMEOUT_MS, ...daemonConfig } = config;
  const parsed = parseDaemonConfig(daemonConfig);
  const { name, heartbeatLimitMs, connectTimeoutMs } = parsed;
  let opened: Promise<OpenLog> | undefined;
  const openLog = (): Promise<OpenLog> =>
    (opened ??= openInTime(parsed, purpose, answerTimeoutMs / 2));
  const places = Object.entries(parsed.participants);
  const participants = makeParticipants({
    config: {
      coordinator: name,
      connectTimeoutMs,
      participants: Object.fromEntries(
        places.map(([participant, place]) => [participant, { ...place, ...PARTICIPANT_DEFAULTS }]),
      ),
    },
    runtime: systemRuntime,
    publish,
    register: onlyTheRegistered(openLog),
    followRegister: false,
  });
  const inspectors = new Map(
    places.map(([participant, settings]) => [
      participant,
      new Inspector({
        name: participant,
        settings,
        connectTimeoutMs,
        commandTimeoutMs: answerTimeoutMs,
      }),
    ]),
  );
  return new Triage({
    actor,
    participants,
    inspectors,
    openLog,
    heartbeatLimitMs,
    answerTimeoutMs,
    places: { log: parsed.decisionLog, participants: new Map(places), connectTimeoutMs },
    runtime: systemRuntime,
    publish,
    close: async () => {
      await Promise.allSettled([...participants.values()].map((one) => one.close()));
      await Promise.allSettled([...inspectors.values()].map((one) => one.close()));
      const log = await opened?.catch(() => undefined);
      await Promise.allSettled([log?.log.close(), log?.operatorLog.close()]);
    },
  });
}

/**
 * A log that hangs must not use up the time of the participants, which are compared with what it has registered. One
 * that was late stays away for good: nothing that was not compared is ever acted on.
 */
async function openInTime(
  config: DaemonConfig,
  purpose: TriageConfig['purpose'],
  patienceMs: number,
): Promise<OpenLog> {
  const opened = await within(systemRuntime, patienceMs, () => open(config, purpose));
  if (opened !== undefined) return opened;
  throw new ConfigError(
    'PGXA_LOG_UNREACHABLE',
    `the decision log has not answered within ${Math.round(patienceMs)} ms`,
  );
}

async function open(
  { decisionLog: settings, name, connectTimeoutMs }: DaemonConfig,
  purpose: TriageConfig['purpose'],
): Promise<OpenLog> {
  const log = await openDecisionLog({ settings, coordinator: name, connectTimeoutMs, purpose });
  return { log, operatorLog: new PostgresOperatorLog({ settings, name, connectTimeoutMs }) };
}

/**
 * Who looks registers nothing: a server that is not the registered one is left alone. While the log does not
 * answer nothing is compared, and nothing can be done either.
 */
function onlyTheRegistered(openLog: () => Promise<OpenLog>): RegisterServer {
  let servers: Promise<readonly ServerRecord[]> | undefined;
  const ask = async (): Promise<readonly ServerRecord[]> => {
    const log = await openLog().catch(() => undefined);
    return log === undefined ? [] : log.operatorLog.servers();
  };
  return async (participant, { server }) => {
    const registered = (await (servers ??= ask())).find((one) => one.participant === participant);
    const isOther =
      registered !== undefined &&
      (registered.systemIdentifier !== server.systemIdentifier ||
        registered.databaseOid !== server.databaseOid);
    if (!isOther) return;
    throw new ConfigError(
      'PGXA_PARTICIPANT_IDENTITY',
      `participant "${participant}" answers from system ${server.systemIdentifier} database oid ` +
        `${server.databaseOid}; registered is system ${registered.systemIdentifier} database oid ` +
        `${registered.databaseOid}: left alone. If the new server is meant, start a program that uses it`,
      { participant },
    );
  };
}
