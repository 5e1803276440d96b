import { ConfigError, toError } from '../errors.ts';
import { throwIfAborted, type Cancelled } from '../cancellation.ts';
import type { PoolClientLike, PoolLike } from '../postgres/client.ts';
import { untilAborted } from '../patience.ts';
import { ConnectionGroup, type RunCommand } from '../postgres/dedicated-connection.ts';
import { poolMax, type ConnectionSettings } from '../postgres/pool.ts';
import { SAFE_PATH_SQL } from '../postgres/safe-path.ts';
import { assertReplicated } from '../postgres/unconfirmed.ts';
import type { Runtime } from '../runtime.ts';
import type {
  Backend,
  BranchEvidence,
  FinishResult,
  ServerIdentity,
  XactStatus,
} from '../states.ts';
import type { BranchHost } from './branch-host.ts';
import { isDirect, setUpBranchSession, type BranchSession } from './branch-session.ts';
import { finishBranch } from './finisher.ts';
import type {
  Branch,
  BranchSpec,
  FateHere,
  FinishRequest,
  InDoubtListing,
  Participant,
} from './participant.ts';
import { branchesOfRow, LIST_BARRIER_SQL, LIST_SQL, type ListingRow } from './listing.ts';
import { PostgresBranch } from './postgres-branch.ts';
import {
  assertUsable,
  factsOfRow,
  isSameDatabase,
  isSameHistory,
  isSameRunning,
  SERVER_FACTS_SQL,
  onlyRow,
  type ServerFacts,
  type ServerFactsRow,
} from './server-facts.ts';
import { connectConfigurationHint, isConnectionLoss, sqlstateOf } from './sqlstate.ts';
import { XactFates } from './xact-fate.ts';

export interface PostgresParticipantOptions {
  readonly name: string;
  /** Where branches run. */
  readonly pool: PoolLike;
  /** Ends the pool, if it was made for this participant. */
  readonly endPool: ((timeoutMs: number) => Promise<void>) | undefined;
  /** For the connections beside the pool: phase two, recovery, fencing. */
  readonly settings: ConnectionSettings;
  readonly connectTimeoutMs: number;
  readonly lockTimeoutMs: number;
  /** Of transactions that say nothing else; given to the sessions of a pool that is ours alone. */
  readonly timeoutMs: number | undefined;
  readonly runtime: Runtime;
  /** Compares with, or makes, the registration in the decision log; throws ConfigError if refused. */
  readonly register: (facts: ServerFacts) => Promise<void>;
  /** Looks at the participants that were never looked at; the database that is registered here may be one of theirs. */
  readonly meetOthers: () => Promise<void>;
  /** When recovery finds another server than the registered one, `register` is asked again. */
  readonly followRegister: boolean;
}

/**
 * Connections for phase two and recovery. Each pipelines, and the server works on one command of a
 * connection at a time: a few of them let their flushes share one write to disk.
 */
const FINISH_CONNECTIONS = 3;
/** COMMIT PREPARED waits for one flush, and for a synchronous standby if there is one. */
const COMMAND_TIMEOUT_MS = 10_000;
/** How long the server may take to end a backend that is told to. */
const TERMINATE_TIMEOUT_MS = 3_000;
/** Time for clients to come back and end, before they are cut off. */
const POOL_END_TIMEOUT_MS = 2_000;
/** How often recovery makes sure that the log has registered no other server. */
const REGISTER_EVERY_MS = 60_000;
/** More unusable idle clients in a row than this mean that the pool is broken. */
const CHECKOUTS_MAX = 20;

export class PostgresParticipant implements Participant, BranchHost {
  readonly name: string;
  readonly lockTimeoutMs: number;
  readonly runtime: Runtime;
  readonly capacity: number;
  readonly #options: PostgresParticipantOptions;
  readonly #connections: ConnectionGroup;
  readonly #fates: XactFates;
  /** What is known of the sessions in the pool, asked once for each. */
  readonly #sessions = new WeakMap<PoolClientLike, BranchSession>();
  #leavesSessionsAlone = false;
  #registered: ServerIdentity | undefined;
  #registerAgainMs = 0;
  #registering: Promise<ServerIdentity> | undefined;

  constructor(options: PostgresParticipantOptions) {
    this.#options = options;
    this.name = options.name;
    this.lockTimeoutMs = options.lockTimeoutMs;
    this.runtime = options.runtime;
    this.capacity = poolMax(options.pool);
    this.#connections = new ConnectionGroup(FINISH_CONNECTIONS, {
      config: { application_name: `pgxa ${options.name}`, ...options.settings },
      connectTimeoutMs: options.connectTimeoutMs,
      commandTimeoutMs: COMMAND_TIMEOUT_MS,
      onConnect: setUpSession,
    });
    this.#fates = new XactFates(options.name, this.#connections, (server) =>
      this.#isRegistered(server),
    );
  }

  get wasLookedAt(): boolean {
    return this.#registered !== undefined;
  }

  async verify(): Promise<ServerIdentity> {
    return this.#verify(await this.#factsBesidePool());
  }

  /**
   * Another participant has come upon the database that is registered here. Which of the two names is led astray,
   * or was, only a new connection tells: if this one leads to another database by now, that one is registered.
   */
  async lookAgain(known: ServerFacts): Promise<void> {
    this.#connections.renew();
    try {
      const facts = await this.#factsBesidePool();
      assertUsable(this.name, facts);
      if (!isSameRunning(known, facts)) await this.#register(facts);
    } catch {
      // It cannot be looked at, or not be registered: what was seen last counts.
    }
  }

  branch(spec: BranchSpec): Branch {
    return new PostgresBranch(this, spec);
  }

  async finish(request: FinishRequest): Promise<FinishResult> {
    return finishBranch(this.#connections, request, (xid) => this.#fates.status(xid));
  }

  async fence(backend: Backend): Promise<boolean> {
    const isIt = `pid = $1 and (backend_start is null
                  or extract(epoch from backend_start)::text = $2)`;
    const values = [backend.pid, backend.startedAt];
    try {
      await this.#connections.run({
        text: `select pg_terminate_backend(pid, ${TERMINATE_TIMEOUT_MS})
                 from pg_stat_activity where ${isIt}`,
        values,
      });
      // Not seen on a standby, or on another server, is no information.
      const { rows } = await this.#connections.run<{ here: boolean; gone: boolean }>({
        text: `select not pg_is_in_recovery()
                      and (select system_identifier::text from pg_control_system()) = $3 as here,
                      not exists (select from pg_stat_activity where ${isIt}) as gone`,
        values: [...values, this.#registered?.systemIdentifier ?? ''],
      });
      if (rows[0]?.here === false) this.#connections.renew();
      return rows[0]?.here === true && rows[0].gone;
    } catch {
      return false;
    }
  }

  fenceLater(backend: Backend): void {
    void this.fence(backend);
  }

  async xactStatus({
    xid,
    incarnation,
    server: original,
  }: Pick<BranchEvidence, 'xid' | 'incarnation' | 'server'>): Promise<XactStatus> {
    if (xid === undefined) return 'no-information';
    const answer = await this.#fates.status(xid);
    const sameHistory = answer.server !== undefined && isSameHistory(answer.server, original);
    // After a crash the id may be another transaction's; if so, ours was lost, and "aborted" is right still.
    const isOurs = incarnation !== undefined && answer.incarnation === incarnation;
    if (!sameHistory || (!isOurs && answer.status !== 'aborted')) return 'no-information';
    return answer.status;
  }

  fateHere(xid: string): Promise<{ server: ServerIdentity; fate: FateHere }> {
    return this.#fates.here(xid);
  }

  async listInDoubt(): Promise<InDoubtListing> {
    const { rows } = await this.#connections.run<{ listing: ListingRow }>({ text: LIST_SQL });
    return this.#listed(rows);
  }

  async listDurable(): Promise<InDoubtListing> {
    const [listed, proof] = await this.#connections.runAdjacent<{ listing: ListingRow }>([
      { text: LIST_SQL },
      { text: LIST_BARRIER_SQL },
    ]);
    if (listed?.status !== 'fulfilled') throw toError(listed?.reason);
    const listing = await this.#listed(listed.value.rows);
    if (listing.kind === 'listed') assertReplicated(proof);
    return listing;
  }

  async #listed([one]: readonly { listing: ListingRow }[]): Promise<InDoubtListing> {
    const row = one?.listing;
    if (row === undefined) throw new Error('unreachable: the query always answers one row');
    const facts = factsOfRow(row.facts);
    // Invariant 9: an empty list from the wrong server is no information.
    if (facts.inRecovery) {
      this.#connections.renew();
      return { kind: 'standby' };
    }
    if (!(await this.#isAccepted(facts))) {
      this.#connections.renew();
      return { kind: 'other-server', server: facts.server };
    }
    const branches = branchesOfRow(row);
    const slots = { used: row.slots_used, max: facts.maxPreparedTransactions };
    return { kind: 'listed', server: facts.server, branches, slots };
  }

  async acquire(signal: Cancelled): Promise<BranchSession> {
    for (let checkout = 1; checkout <= CHECKOUTS_MAX; checkout += 1) {
      const client = await this.#checkOut(signal);
      const status = client.getTransactionStatus?.();
      // Somebody released it inside a transaction: BEGIN would only warn, and join that one.
      if (status !== undefined && status !== null && status !== 'I') {
        client.release(true);
        continue;
      }
      // It was made while the name led to another server.
      const known = this.#sessions.get(client);
      if (known !== undefined && !this.#isRegistered(known.facts.server)) {
        client.release(true);
        continue;
      }
      // Whatever took from one what it was given may have taken it from all.
      if (known?.given !== undefined && this.#leavesSessionsAlone) {
        client.release(true);
        checkout -= 1;
        continue;
      }
      if (known !== undefined) return known;
      try {
        return await this.#lookAt(client, signal);
      } catch (error) {
        client.release(true);
        throw error;
      }
    }
    throw new Error(
      `the pool of "${this.name}" only has clients that cannot be used: inside a transaction, or elsewhere`,
    );
  }

  async sessionOf(client: PoolClientLike): Promise<BranchSession> {
    const { rows } = (await client.query(SERVER_FACTS_SQL)) as { rows: ServerFactsRow[] };
    const facts = onlyRow(rows);
    await this.#verify(facts);
    const session = { client, facts, given: undefined };
    this.#sessions.set(client, session);
    return session;
  }

  leaveSessionsAlone(): void {
    this.#leavesSessionsAlone = true;
  }

  /** The deadline counts here too: a new connection may be as silent as any. */
  async #lookAt(client: PoolClientLike, signal: Cancelled): Promise<BranchSession> {
    // Until a branch listens, nobody does, and an unheard error ends the process.
    client.on('error', ignoreError);
    const session = await untilAborted(signal, this.#setUp(client));
    client.removeListener('error', ignoreError);
    return session;
  }

  async #setUp(client: PoolClientLike): Promise<BranchSession> {
    const session = await this.sessionOf(client);
    const { timeoutMs, lockTimeoutMs } = this.#options;
    const isOurs = timeoutMs !== undefined && isDirect(client, session.facts);
    if (!isOurs || this.#leavesSessionsAlone) return session;
    try {
      const given = await setUpBranchSession(client, session.facts, { lockTimeoutMs, timeoutMs });
      const set = { ...session, given };
      this.#sessions.set(client, set);
      return set;
    } catch (error) {
      if (isConnectionLoss(error) || sqlstateOf(error) === undefined) throw error;
      // The server is well and will not have it (a login trigger or a pooler left a statement of that name).
      this.leaveSessionsAlone();
      return session;
    }
  }

  async close(): Promise<void> {
    await this.#connections.close();
    await this.#options.endPool?.(POOL_END_TIMEOUT_MS);
  }

  async #factsBesidePool(): Promise<ServerFacts> {
    try {
      const { rows } = await this.#connections.run<ServerFactsRow>({ text: SERVER_FACTS_SQL });
      return onlyRow(rows);
    } catch (error) {
      const hint = connectConfigurationHint(error);
      if (hint === undefined) throw error;
      throw new ConfigError(
        'PGXA_PARTICIPANT_NOT_USABLE',
        `cannot connect to participant "${this.name}" (SQLSTATE ${sqlstateOf(error) ?? 'none'}: ` +
          `${toError(error).message}): ${hint}`,
        { participant: this.name, cause: error },
      );
    }
  }

  async #verify(facts: ServerFacts): Promise<ServerIdentity> {
    assertUsable(this.name, facts);
    const registered = await this.#registeredFor(facts);
    if (!isSameDatabase(registered, facts.server)) {
      throw new ConfigError(
        'PGXA_PARTICIPANT_IDENTITY',
        `participant "${this.name}" answers from another database than the registered one: ` +
          `expected ${describeServer(registered)}, got ${describeServer(facts.server)}`,
        { participant: this.name },
      );
    }
    return facts.server;
  }

  /** What a session with these facts is compared with. */
  async #registeredFor(facts: ServerFacts): Promise<ServerIdentity> {
    const registered = this.#registered ?? (await this.#registerFirst(facts));
    if (isSameDatabase(registered, facts.server)) return registered;
    // Who comes upon the database that is registered here has this one looked at again.
    await this.#options.meetOthers();
    return this.#registered ?? registered;
  }

  /** Of those that are here first at once one is registered: the others may have come from elsewhere. */
  async #registerFirst(facts: ServerFacts): Promise<ServerIdentity> {
    this.#registering ??= this.#register(facts);
    try {
      return await this.#registering;
    } finally {
      this.#registering = undefined;
    }
  }

  async #register(facts: ServerFacts): Promise<ServerIdentity> {
    await this.#options.register(facts);
    this.#registered = facts.server;
    this.#registerAgainMs = this.runtime.now() + REGISTER_EVERY_MS;
    return facts.server;
  }

  /** Registers a server that is the first behind its name, or that may follow the one that was there. */
  async #isAccepted(facts: ServerFacts): Promise<boolean> {
    try {
      if (this.#registered === undefined) await this.#verify(facts);
      const isSame = this.#isRegistered(facts.server);
      if (!this.#options.followRegister) return isSame;
      const isDue = !isSame || this.runtime.now() >= this.#registerAgainMs;
      if (isDue) await this.#registerAgain(facts, isSame);
      return true;
    } catch (error) {
      this.#connections.renew();
      throw error;
    }
  }

  /** A program may have registered another server meanwhile: then this one is left alone. */
  async #registerAgain(facts: ServerFacts, isSame: boolean): Promise<void> {
    try {
      await this.#register(facts);
    } catch (error) {
      // The log does not answer: what it said last counts.
      if (!isSame || error instanceof ConfigError) throw error;
    }
  }

  #isRegistered(server: ServerIdentity | undefined): boolean {
    if (server === undefined) return false;
    return this.#registered === undefined || isSameDatabase(this.#registered, server);
  }

  async #checkOut(signal: Cancelled): Promise<PoolClientLike> {
    throwIfAborted(signal);
    const checkout = this.#options.pool.connect();
    try {
      return await untilAborted(signal, checkout);
    } catch (error) {
      // The pool may still hand the client out: nobody waits for it any more.
      if (signal.aborted)
        checkout.then(
          (client) => {
            client.release();
          },
          () => undefined,
        );
      throw error;
    }
  }
}

/** The notices of a finish are evidence: a role that hides warnings would hide "not replicated". */
async function setUpSession(run: RunCommand): Promise<void> {
  await run({ text: SAFE_PATH_SQL });
  await run({
    text: `select set_config('client_min_messages', 'warning', false)
            where current_setting('client_min_messages') not in ('warning', 'notice', 'log')
              and current_setting('client_min_messages') !~ '^debug'`,
  });
}

function ignoreError(): void {
  // Told by the query that it breaks.
}

function describeServer(server: ServerIdentity): string {
  return `system ${server.systemIdentifier} database oid ${server.databaseOid}`;
}
