import type { Config, ParticipantConfig } from './config.ts';
import type { DecisionLog } from './decision-log/decision-log.ts';
import { ConfigError, toError } from './errors.ts';
import type { Publish } from './events.ts';
import type { Participant } from './participant/participant.ts';
import {
  PostgresParticipant,
  type PostgresParticipantOptions,
} from './participant/postgres-participant.ts';
import { isSameRunning, type ServerFacts } from './participant/server-facts.ts';
import {
  createPool,
  hearErrors,
  settingsOfPool,
  type ConnectionSettings,
} from './postgres/pool.ts';
import type { Runtime } from './runtime.ts';

/** What is done with the server that a participant has at its first look. */
export type RegisterServer = (name: string, facts: ServerFacts) => Promise<void>;

export interface OpenParticipantsOptions {
  readonly config: Pick<Config, 'coordinator' | 'connectTimeoutMs' | 'participants'> &
    Partial<Pick<Config, 'timeoutMs'>>;
  readonly runtime: Runtime;
  readonly publish: Publish;
  readonly register: RegisterServer;
  /** A server that takes the place of the registered one is registered anew, if `register` lets it. */
  readonly followRegister: boolean;
}

/**
 * Makes the participants; connects to none. `register` sees each server at its first look, after it was
 * made sure that no other participant is the same database.
 */
export function makeParticipants(
  options: OpenParticipantsOptions,
): ReadonlyMap<string, Participant> {
  const servers = new Map<string, ServerFacts>();
  const participants = new Map<string, PostgresParticipant>();
  /** A name that has led astray at its first look must not stand in the way of the one it has led to for good. */
  const lookAgainAt = async (name: string): Promise<void> => {
    const before = servers.get(name);
    if (before === undefined) return;
    // Not compared with while it is looked at: two that have led to each other would ask each other for ever.
    servers.delete(name);
    await participants.get(name)?.lookAgain(before);
    if (!servers.has(name)) servers.set(name, before);
  };
  /**
   * One that answers from another database than the registered one may have led astray at its first look. Then the
   * registered database is that of another participant, to which nobody comes where this one's turn is before its.
   */
  const meetOthers = async (): Promise<void> => {
    const strangers = [...participants.values()].filter(({ wasLookedAt }) => !wasLookedAt);
    await Promise.allSettled(strangers.map((one) => one.verify()));
  };
  for (const [name, place] of Object.entries(options.config.participants)) {
    const register = async (facts: ServerFacts): Promise<void> => {
      const other = sameAs(servers, name, facts);
      if (other !== undefined) await lookAgainAt(other);
      assertDistinct(servers, name, facts);
      await options.register(name, facts);
      // Two that were looked at meanwhile: the later one is refused.
      assertDistinct(servers, name, facts);
      servers.set(name, facts);
    };
    participants.set(name, makeParticipant(name, place, options, { register, meetOthers }));
  }
  return participants;
}

/** Notes in the log which server stands behind a name, and says so when it is another one than before. */
export function registerIn(log: DecisionLog, publish: Publish): RegisterServer {
  return async (name, facts) => {
    const before = await log.registerParticipant(name, facts.server, facts.databaseName);
    if (before !== undefined) publish('participant:server-changed', { participant: name, before });
  };
}

/**
 * Makes the participants and looks at their servers, all at once. One that does not answer is kept: it
 * is looked at again when a branch needs it.
 *
 * @throws ConfigError for one that can never take part, and for two that are the same database.
 */
export async function openParticipants(
  config: Config,
  log: DecisionLog,
  runtime: Runtime,
  publish: Publish,
): Promise<ReadonlyMap<string, Participant>> {
  const register = registerIn(log, publish);
  const participants = makeParticipants({
    config,
    runtime,
    publish,
    register,
    followRegister: false,
  });
  const refused = await verifyAll(participants, publish);
  const [first] = refused;
  if (first === undefined) return participants;
  await Promise.allSettled([...participants.values()].map((one) => one.close()));
  if (refused.length === 1) throw first;
  throw new ConfigError(first.code, refused.map(({ message }) => message).join('; '), {
    cause: new AggregateError(refused),
  });
}

async function verifyAll(
  participants: ReadonlyMap<string, Participant>,
  publish: Publish,
): Promise<ConfigError[]> {
  const refused = await Promise.all(
    [...participants.values()].map(async (participant) => {
      try {
        await participant.verify();
        return [];
      } catch (thrown) {
        if (thrown instanceof ConfigError) return [thrown];
        const error = toError(thrown);
        publish('participant:unavailable', { participant: participant.name, error });
        return [];
      }
    }),
  );
  return refused.flat();
}

function makeParticipant(
  name: string,
  place: ParticipantConfig,
  { config, runtime, followRegister }: OpenParticipantsOptions,
  among: Pick<PostgresParticipantOptions, 'register' | 'meetOthers'>,
): PostgresParticipant {
  const { pool, max, lockTimeoutMs, ...given } = place;
  const settings = placeOf(name, place, given);
  if (pool !== undefined) hearErrors(pool);
  const ownPool =
    pool === undefined
      ? createPool({
          application_name: `pgxa ${config.coordinator}`,
          connectionTimeoutMillis: config.connectTimeoutMs,
          keepAlive: true,
          ...settings,
          ...(max === undefined ? {} : { max }),
        })
      : undefined;
  return new PostgresParticipant({
    name,
    pool: pool ?? (ownPool?.pool as NonNullable<typeof pool>),
    endPool: ownPool === undefined ? undefined : (timeoutMs) => ownPool.end(timeoutMs),
    settings,
    connectTimeoutMs: config.connectTimeoutMs,
    lockTimeoutMs,
    timeoutMs: ownPool === undefined ? undefined : config.timeoutMs,
    runtime,
    followRegister,
    ...among,
  });
}

function placeOf(name: string, options: ParticipantConfig, given: object): ConnectionSettings {
  const isGiven = Object.values(given).some((value) => value !== undefined);
  const settings = isGiven || options.pool === undefined ? given : settingsOfPool(options.pool);
  if (settings !== undefined) return settings;
  throw new ConfigError(
    'PGXA_CONFIG_INVALID',
    `configuration: participants.${name}: the pool does not tell where its database is (it is not ` +
      'a node-postgres Pool): give connectionString beside it',
    { participant: name },
  );
}

/** The other participant that is the same database. */
function sameAs(
  servers: ReadonlyMap<string, ServerFacts>,
  name: string,
  facts: ServerFacts,
): string | undefined {
  for (const [other, known] of servers) {
    if (other !== name && isSameRunning(known, facts)) return other;
  }
  return undefined;
}

function assertDistinct(
  servers: ReadonlyMap<string, ServerFacts>,
  name: string,
  facts: ServerFacts,
): void {
  const other = sameAs(servers, name, facts);
  if (other === undefined) return;
  throw new ConfigError(
    'PGXA_PARTICIPANTS_NOT_DISTINCT',
    `participants "${other}" and "${name}" are the same database ("${facts.databaseName}" on ` +
      `system ${facts.server.systemIdentifier}): configure it once`,
    { participant: name },
  );
}
