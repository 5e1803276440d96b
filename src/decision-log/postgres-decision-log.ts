import { toError } from '../errors.ts';
import {
  ConnectionGroup,
  DedicatedConnection,
  type Command,
  type CommandReply,
} from '../postgres/dedicated-connection.ts';
import type { ConnectionSettings } from '../postgres/pool.ts';
import { isUnconfirmed } from '../postgres/unconfirmed.ts';
import type { DecidedBy, ServerIdentity } from '../states.ts';
import {
  SESSION_GONE_AFTER_MS,
  type AbortRequest,
  type CommitRequest,
  type CoordinatorInfo,
  type DecideReply,
  type DecisionLog,
  type EpochStatus,
  type HeuristicRecord,
  type StandingDecision,
} from './decision-log.ts';
import { GroupCommit } from './group-commit.ts';
import {
  answerAll,
  decideCommand,
  isWithoutPartition,
  sqlstateOf,
  standingOf,
  statementGroups,
  unanswered,
  type DecisionRow,
  type EpochRow,
} from './rows.ts';
import { REPLY_TIMEOUT_MS, setUpSession } from './session.ts';
import * as sql from './statements.ts';

export interface PostgresDecisionLogOptions {
  readonly settings: ConnectionSettings;
  readonly installation: string;
  /** Name of the coordinator, for application_name and audit. */
  readonly coordinator: string;
  readonly connectTimeoutMs: number;
}

/** Keeps a statement below a few hundred kilobytes. */
const BATCH_MAX = 512;
const READ_CONNECTIONS = 2;
const SETTLE_CONNECTIONS = 2;

export class PostgresDecisionLog implements DecisionLog {
  readonly installation: string;
  readonly #coordinator: string;
  /** Decides, and does nothing else: a statement that waits holds up the commits behind it. */
  readonly #decider: DedicatedConnection;
  /** Holds the advisory lock of the epoch; heartbeats go through it. */
  readonly #session: DedicatedConnection;
  readonly #reads: ConnectionGroup;
  /** Tombstones wait for decisions that are being written: they must not hold up the reads. */
  readonly #settles: ConnectionGroup;
  readonly #commits: GroupCommit<CommitRequest, DecideReply>;
  #epoch: string | undefined;

  constructor(options: PostgresDecisionLogOptions) {
    this.installation = options.installation;
    this.#coordinator = options.coordinator;
    const connection = {
      config: { application_name: `pgxa ${options.coordinator}`, ...options.settings },
      connectTimeoutMs: options.connectTimeoutMs,
      commandTimeoutMs: REPLY_TIMEOUT_MS,
      onConnect: setUpSession,
    };
    this.#decider = new DedicatedConnection(connection);
    this.#reads = new ConnectionGroup(READ_CONNECTIONS, connection);
    this.#settles = new ConnectionGroup(SETTLE_CONNECTIONS, connection);
    this.#session = new DedicatedConnection({
      ...connection,
      onConnect: async (run) => {
        await setUpSession(run);
        if (this.#epoch !== undefined) {
          await run({ text: sql.LOCK_EPOCH_SQL, values: [this.#epoch] });
        }
      },
    });
    this.#commits = new GroupCommit((batch) => this.#decideAll(batch), BATCH_MAX);
  }

  decide(request: CommitRequest): Promise<DecideReply> {
    return this.#commits.submit(request);
  }

  async settle(
    requests: readonly AbortRequest[],
    decidedBy: DecidedBy,
  ): Promise<ReadonlyMap<string, StandingDecision>> {
    let decidable = requests;
    let won: Map<string, StandingDecision>;
    try {
      won = await this.#abort(requests, decidedBy);
    } catch (error) {
      if (!isWithoutPartition(error)) throw error;
      const ids = requests.map(({ transactionId }) => transactionId);
      const remembered = await this.#makePartitions(ids);
      decidable = requests.filter(({ transactionId }) => remembered.has(transactionId));
      won = await this.#abort(decidable, decidedBy);
    }
    const lost = decidable.flatMap(({ transactionId: id }) => (won.has(id) ? [] : [id]));
    const standing = await this.decisionsOf(lost);
    if (standing.size < lost.length) {
      throw new Error('a decision that stood is gone: has the decision log failed over?');
    }
    await this.#keepKeys(decidable.filter((one) => isCommit(standing.get(one.transactionId))));
    return new Map([...won, ...standing]);
  }

  /** Returns those that it has won for sure; the others stand otherwise, or are not proven durable. */
  async #abort(
    requests: readonly AbortRequest[],
    decidedBy: DecidedBy,
  ): Promise<Map<string, StandingDecision>> {
    if (requests.length === 0) return new Map();
    const { rows, notices } = await this.#settles.run<{ transaction_id: string; decided_at: Date }>(
      {
        text: sql.ABORT_SQL,
        values: [
          decidedBy,
          requests.map(({ transactionId }) => transactionId),
          requests.map(({ epoch }) => epoch),
        ],
      },
    );
    if (isUnconfirmed(notices)) return new Map();
    const decision = { decision: 'abort', decidedBy, label: undefined, branches: [] } as const;
    return new Map(
      rows.map((row) => [row.transaction_id, { ...decision, decidedAt: row.decided_at }]),
    );
  }

  async decisionsOf(
    transactionIds: readonly string[],
  ): Promise<ReadonlyMap<string, StandingDecision>> {
    if (transactionIds.length === 0) return new Map();
    const values = [transactionIds];
    const rows = await this.#readDurable<DecisionRow>(
      { text: sql.DECISIONS_SQL, values },
      { text: sql.DECISIONS_BARRIER_SQL, values },
    );
    return new Map(rows.map((row) => [row.transaction_id, standingOf(row)]));
  }

  async forgottenBefore(): Promise<number | undefined> {
    const { rows } = await this.#reads.run<{ forgotten_before_ms: string }>({
      text: sql.HORIZON_SQL,
    });
    return rows[0] === undefined ? undefined : Number(rows[0].forgotten_before_ms);
  }

  async findByIdempotencyKey(key: string): Promise<string | undefined> {
    return (await this.#takenKeys([key])).get(key);
  }

  async registerCoordinator(info: CoordinatorInfo): Promise<void> {
    await this.#reads.run({
      text: sql.REGISTER_COORDINATOR_SQL,
      values: [
        info.epoch,
        info.name,
        info.host,
        info.pid,
        info.version,
        info.heartbeatLimitMs ?? 0,
      ],
    });
    this.#epoch = info.epoch;
    // Fails only where sessions are not ours (a transaction pooler): then heartbeats alone count.
    await this.#session.run({ text: sql.LOCK_EPOCH_SQL, values: [info.epoch] });
    await this.heartbeat(info.epoch);
  }

  async heartbeat(epoch: string): Promise<boolean> {
    const { rowCount } = await this.#session.run({ text: sql.HEARTBEAT_SQL, values: [epoch] });
    return rowCount === 1;
  }

  async epochsOf(epochs: readonly string[]): Promise<ReadonlyMap<string, EpochStatus>> {
    if (epochs.length === 0) return new Map();
    const { rows } = await this.#reads.run<EpochRow>({ text: sql.EPOCHS_SQL, values: [epochs] });
    return new Map(
      rows.map((row) => [
        row.epoch,
        {
          coordinator: row.name,
          retired: row.retired,
          heartbeatAgeMs: Number(row.heartbeat_age_ms),
          heartbeatLimitMs: row.heartbeat_limit_ms,
          heartbeat: row.heartbeat,
          sessionGone: row.session_gone,
        },
      ]),
    );
  }

  async retire(epoch: string, heartbeatLimitMs: number): Promise<boolean> {
    const goneAfterMs = Math.min(SESSION_GONE_AFTER_MS, heartbeatLimitMs);
    await this.#settles.run({
      text: sql.RETIRE_SQL,
      values: [epoch, heartbeatLimitMs, goneAfterMs],
    });
    const { rows } = await this.#reads.run<{ retired: boolean }>({
      text: sql.IS_RETIRED_SQL,
      values: [epoch],
    });
    return rows[0]?.retired === true;
  }

  async endEpoch(epoch: string): Promise<void> {
    await this.#session.run({ text: sql.END_EPOCH_SQL, values: [epoch] });
  }

  async registerParticipant(
    name: string,
    server: ServerIdentity,
    databaseName: string,
  ): Promise<string | undefined> {
    const { systemIdentifier, databaseOid, timeline } = server;
    const { rows } = await this.#reads.run<{ replaces: string | null }>({
      text: sql.REGISTER_PARTICIPANT_SQL,
      values: [name, systemIdentifier, databaseOid, databaseName, timeline, this.#coordinator],
    });
    return rows[0]?.replaces ?? undefined;
  }

  async requestRecovery(participant: string): Promise<void> {
    await this.#reads.run({
      text: sql.REQUEST_RECOVERY_SQL,
      values: [`participant ${participant}`],
    });
  }

  async recordHeuristic(record: HeuristicRecord): Promise<boolean> {
    const { gid, kind, transactionId, participant, decision, evidence, foundBy } = record;
    const { rowCount } = await this.#reads.run({
      text: sql.RECORD_HEURISTIC_SQL,
      values: [gid, kind, transactionId, participant, decision, evidence, foundBy],
    });
    return rowCount === 1;
  }

  async close(): Promise<void> {
    const all = [this.#decider, this.#session, this.#reads, this.#settles];
    await Promise.all(all.map((one) => one.close()));
  }

  /** As few statements as can be: one, unless the batch holds two epochs or one key twice. */
  async #decideAll(batch: readonly CommitRequest[]): Promise<readonly DecideReply[]> {
    const replies = new Map<CommitRequest, DecideReply>();
    for (const group of statementGroups(batch)) {
      for (const [request, reply] of await this.#decideGroup(group)) replies.set(request, reply);
    }
    return batch.map((request) => replies.get(request) ?? unanswered());
  }

  async #decideGroup(
    group: readonly CommitRequest[],
    { hasMadeDays }: { readonly hasMadeDays: boolean } = { hasMadeDays: false },
  ): Promise<Map<CommitRequest, DecideReply>> {
    let reply: CommandReply<{ transaction_id: string }>;
    try {
      reply = await this.#decider.run(decideCommand(group));
    } catch (thrown) {
      const error = toError(thrown);
      if (isWithoutPartition(error) && !hasMadeDays) return this.#decideOnNewDay(group);
      return this.#judgeFailure(group, error);
    }
    // Cut off while it waited for a synchronous standby: written here, proven nowhere else.
    if (isUnconfirmed(reply.notices)) {
      const error = new Error('the decision was not confirmed by the synchronous standby');
      return answerAll(group, { kind: 'unknown', error });
    }
    const decided = new Set(reply.rows.map((row) => row.transaction_id));
    const lost = group.filter(({ transactionId }) => !decided.has(transactionId));
    const answers = await this.#whyLost(lost);
    for (const request of group) {
      if (decided.has(request.transactionId)) answers.set(request, { kind: 'commit' });
    }
    return answers;
  }

  /** Not decided by us: a decision stood, or the epoch is retired. */
  async #whyLost(lost: readonly CommitRequest[]): Promise<Map<CommitRequest, DecideReply>> {
    const answers = new Map<CommitRequest, DecideReply>();
    if (lost.length === 0) return answers;
    try {
      const standing = await this.decisionsOf(lost.map(({ transactionId }) => transactionId));
      for (const request of lost) {
        const found = standing.get(request.transactionId);
        if (found === undefined) answers.set(request, { kind: 'fenced' });
        else if (found.decision === 'commit') answers.set(request, { kind: 'commit' });
        else answers.set(request, { kind: 'abort', decidedBy: found.decidedBy });
      }
      await this.#keepKeys(lost.filter((one) => answers.get(one)?.kind === 'commit'));
      return answers;
    } catch (thrown) {
      return answerAll(lost, { kind: 'unknown', error: toError(thrown) });
    }
  }

  /** The commit stands, whatever becomes of its key: who waits for the answer gets it. */
  async #keepKeys(committed: readonly AbortRequest[]): Promise<void> {
    const keyed = committed.filter(({ idempotencyKey }) => idempotencyKey !== undefined);
    if (keyed.length === 0) return;
    const values = [
      keyed.map(({ idempotencyKey }) => idempotencyKey),
      keyed.map(({ transactionId }) => transactionId),
    ];
    await this.#settles.run({ text: sql.KEEP_KEYS_SQL, values }).catch(() => undefined);
  }

  /**
   * A taken key fails the whole statement, so nothing of it is written: those whose key is taken have
   * their answer, the others try again without them. Any other failure leaves the fate open.
   */
  async #judgeFailure(
    group: readonly CommitRequest[],
    error: Error,
  ): Promise<Map<CommitRequest, DecideReply>> {
    // Data that the log cannot store (22), or a forgotten day: one request's fault, not its neighbours'.
    const sqlstate = sqlstateOf(error);
    if (sqlstate?.startsWith('22') === true || sqlstate === FORGOTTEN) {
      if (group.length === 1) return answerAll(group, { kind: 'refused', error });
      const alone = await Promise.all(group.map((request) => this.#decideGroup([request])));
      return new Map(alone.flatMap((answers) => [...answers]));
    }
    const keyTaken = (error as { constraint?: string }).constraint === 'idempotency_pkey';
    if (!keyTaken) return answerAll(group, { kind: 'unknown', error });
    const taken = await this.#takenKeys(keysOf(group)).catch(() => undefined);
    // Not seen, though it just clashed: its writer rolled back, or the log is gone. Settle decides.
    if (taken === undefined || taken.size === 0)
      return answerAll(group, { kind: 'unknown', error });
    const answers = new Map<CommitRequest, DecideReply>();
    const others: CommitRequest[] = [];
    for (const request of group) {
      const existing = taken.get(request.idempotencyKey ?? '');
      if (existing === undefined) others.push(request);
      else answers.set(request, { kind: 'already-done', transactionId: existing });
    }
    if (others.length > 0) {
      for (const [request, reply] of await this.#decideGroup(others)) answers.set(request, reply);
    }
    return answers;
  }

  /** Nobody has decided on that day yet, and no daemon has made its partition ahead. */
  async #decideOnNewDay(group: readonly CommitRequest[]): Promise<Map<CommitRequest, DecideReply>> {
    const ids = group.map(({ transactionId }) => transactionId);
    try {
      await this.#reads.run({ text: sql.MAKE_PARTITIONS_SQL, values: [ids] });
    } catch (thrown) {
      return this.#judgeFailure(group, toError(thrown));
    }
    return this.#decideGroup(group, { hasMadeDays: true });
  }

  /** Returns those whose day the log still remembers. */
  async #makePartitions(transactionIds: readonly string[]): Promise<Set<string>> {
    const made = await Promise.all(
      transactionIds.map(async (id) => {
        try {
          await this.#reads.run({ text: sql.MAKE_PARTITIONS_SQL, values: [[id]] });
          return [id];
        } catch (error) {
          if (sqlstateOf(error) !== FORGOTTEN) throw error;
          return [];
        }
      }),
    );
    return new Set(made.flat());
  }

  /** Those of the keys that are taken, each with the transaction that took it. */
  async #takenKeys(keys: readonly string[]): Promise<Map<string, string>> {
    const rows = await this.#readDurable<{ key: string; transaction_id: string }>(
      { text: sql.KEYS_SQL, values: [keys] },
      { text: sql.KEYS_BARRIER_SQL, values: [keys] },
    );
    return new Map(rows.map((row) => [row.key, row.transaction_id]));
  }

  /** What is read, and behind it on the same session the barrier that proves it durable. */
  async #readDurable<Row>(read: Command, barrier: Command): Promise<readonly Row[]> {
    const [found, proof] = await this.#reads.runAdjacent<Row>([read, barrier]);
    if (found?.status !== 'fulfilled') throw toError(found?.reason);
    const { rows } = found.value;
    if (rows.length === 0) return rows;
    if (proof?.status !== 'fulfilled') throw toError(proof?.reason);
    if (isUnconfirmed(proof.value.notices)) {
      throw new Error('the decision log could not confirm that its decisions are replicated');
    }
    return rows;
  }
}

function keysOf(group: readonly CommitRequest[]): string[] {
  return group.flatMap(({ idempotencyKey }) => idempotencyKey ?? []);
}

/** Raised by pgxa.make_partition. */
const FORGOTTEN = 'PX001';

function isCommit(standing: StandingDecision | undefined): boolean {
  return standing?.decision === 'commit';
}
