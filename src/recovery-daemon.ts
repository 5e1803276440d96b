/** The composition root of a daemon: wires its log, its participants and its loops together. */
import { randomBytes } from 'node:crypto';

import { parseDaemonConfig } from './config.ts';
import { openDecisionLog } from './decision-log/open.ts';
import { PostgresDaemonLog } from './decision-log/postgres-daemon-log.ts';
import type { DaemonLog } from './decision-log/daemon-log.ts';
import type { DecisionLog } from './decision-log/decision-log.ts';
import { ConfigError } from './errors.ts';
import { publish } from './events.ts';
import { makeParticipants, registerIn, type RegisterServer } from './open-participants.ts';
import type { RecoveryDaemon, RecoveryDaemonConfig } from './public-surface.ts';
import { Daemon } from './recovery/daemon.ts';
import { FailoverCheck } from './recovery/failover-check.ts';
import { Recoverer } from './recovery/recoverer.ts';
import { systemRuntime } from './runtime.ts';

/** One that is only looked at and finished for needs no branches. */
const PARTICIPANT_DEFAULTS = { lockTimeoutMs: 10_000, max: 1, pool: undefined };

/**
 * Starts a recovery daemon in this process: it finishes what any coordinator of this installation leaves
 * in doubt on these participants, until it is stopped. Several may run at once; leases in the log say
 * which one works on what. A participant that does not answer, is a standby or belongs to another
 * server than the registered one is looked at again and again, and keeps nothing else waiting.
 *
 * @throws ConfigError with code `PGXA_CONFIG_INVALID`, `PGXA_LOG_UNREACHABLE` (try again),
 *   `PGXA_LOG_NOT_MIGRATED`, `PGXA_LOG_TOO_NEW` or `PGXA_LOG_NOT_USABLE`.
 */
export async function createRecoveryDaemon(config: RecoveryDaemonConfig): Promise<RecoveryDaemon> {
  const parsed = parseDaemonConfig(config);
  const { name, heartbeatLimitMs, connectTimeoutMs, decisionLog: settings } = parsed;
  const runtime = systemRuntime;
  const log = await openDecisionLog({
    settings,
    coordinator: name,
    connectTimeoutMs,
    purpose: 'recovery',
  });
  const daemonLog = new PostgresDaemonLog({ settings, name, connectTimeoutMs, runtime });
  const participants = makeParticipants({
    config: {
      coordinator: name,
      connectTimeoutMs,
      participants: Object.fromEntries(
        Object.entries(parsed.participants).map(([participant, place]) => [
          participant,
          { ...place, ...PARTICIPANT_DEFAULTS },
        ]),
      ),
    },
    runtime,
    publish,
    register: onlyTheRegistered(log, daemonLog),
    followRegister: true,
  });
  const recoverer = new Recoverer({
    log,
    participants,
    // It has no transactions of its own.
    local: { isOwnEpoch: () => false, isAtWorkOn: () => false },
    heartbeatLimitMs,
    runtime,
    publish,
    name,
  });
  const failovers = new FailoverCheck({ log, daemonLog, participants, runtime, publish, name });
  const daemon = new Daemon({
    ...parsed,
    holderId: randomBytes(8).toString('hex'),
    log: daemonLog,
    recoverer,
    failovers,
    participants: [...participants.keys()],
    runtime,
    publish,
  });
  let stopped: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    await daemon.stop();
    await Promise.allSettled([...participants.values()].map((one) => one.close()));
    await Promise.allSettled([daemonLog.close(), log.close()]);
  };
  return {
    whenReady: daemon.whenReady,
    status: () => daemon.status(),
    stop: () => (stopped ??= stop()),
    [Symbol.asyncDispose]: () => (stopped ??= stop()),
  };
}

/**
 * A name that is new to the log is registered. A server that is not the registered one is left alone: a
 * program that uses it registers it when it starts, a daemon that was pointed at a copy must not.
 */
function onlyTheRegistered(log: DecisionLog, daemonLog: DaemonLog): RegisterServer {
  const registerNow = registerIn(log, publish);
  return async (participant, facts) => {
    const { systemIdentifier, databaseOid } = facts.server;
    const behind = await daemonLog.serverBehind(participant);
    const isOther =
      behind !== undefined &&
      (behind.systemIdentifier !== systemIdentifier || behind.databaseOid !== databaseOid);
    if (!isOther) return registerNow(participant, facts);
    throw new ConfigError(
      'PGXA_PARTICIPANT_IDENTITY',
      `participant "${participant}" answers from system ${systemIdentifier} database oid ` +
        `${databaseOid}; registered is system ${behind.systemIdentifier} database oid ` +
        `${behind.databaseOid}: left alone. If the new server is meant, start a program that uses it`,
      { participant },
    );
  };
}
