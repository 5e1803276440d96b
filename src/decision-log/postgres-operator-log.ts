import { DedicatedConnection } from '../postgres/dedicated-connection.ts';
import type { ConnectionSettings } from '../postgres/pool.ts';
import { isUnconfirmed } from '../postgres/unconfirmed.ts';
import type { DecidedBy, Decision, HeuristicKind } from '../states.ts';
import type {
  AuditEntry,
  AuditRecord,
  CoordinatorRecord,
  DecisionRecord,
  FailedAttempt,
  HistoryFilter,
  LeaseRecord,
  OpenHeuristic,
  OperatorCommit,
  OperatorLog,
  ServerRecord,
} from './operator-log.ts';
import { failedAttemptOf, type FailedAttemptRow } from './failed-attempts.ts';
import * as sql from './operator-statements.ts';
import { isWithoutPartition, standingOf, type DecisionRow } from './rows.ts';
import { REPLY_TIMEOUT_MS, setUpSession } from './session.ts';
import { MAKE_PARTITIONS_SQL } from './statements.ts';

export interface PostgresOperatorLogOptions {
  readonly settings: ConnectionSettings;
  readonly name: string;
  readonly connectTimeoutMs: number;
}

export class PostgresOperatorLog implements OperatorLog {
  readonly #connection: DedicatedConnection;

  constructor({ settings, name, connectTimeoutMs }: PostgresOperatorLogOptions) {
    this.#connection = new DedicatedConnection({
      config: { application_name: `pgxa ${name}`, ...settings },
      connectTimeoutMs,
      commandTimeoutMs: REPLY_TIMEOUT_MS,
      onConnect: setUpSession,
    });
  }

  async coordinators(filter: {
    readonly epochs?: readonly string[];
    readonly includeRetired: boolean;
  }): Promise<readonly CoordinatorRecord[]> {
    const rows = await this.#rows<CoordinatorRow>(sql.COORDINATORS_SQL, [
      filter.epochs ?? null,
      filter.includeRetired,
    ]);
    return rows.map((row) => ({
      epoch: row.epoch,
      name: row.name,
      host: row.host,
      pid: row.pid,
      version: row.version,
      role: row.role_name,
      startedAt: row.started_at,
      heartbeatAt: row.heartbeat_at,
      retiredAt: row.retired_at ?? undefined,
      retiredBy: row.retired_by ?? undefined,
    }));
  }

  async heuristics(transactionIds: readonly string[]): Promise<readonly OpenHeuristic[]> {
    return (await this.#rows<HeuristicRow>(sql.HEURISTICS_SQL, [transactionIds])).map(heuristicOf);
  }

  async servers(): Promise<readonly ServerRecord[]> {
    return (await this.#rows<ServerRow>(sql.SERVERS_SQL, [])).map((row) => ({
      participant: row.name,
      systemIdentifier: row.system_identifier,
      databaseOid: row.database_oid,
      databaseName: row.database_name,
      timeline: row.timeline,
      listedAt: row.listed_at ?? undefined,
      retired: row.retired,
    }));
  }

  async leases(): Promise<readonly LeaseRecord[]> {
    const rows = await this.#rows<{ name: string; holder: string; remaining_ms: string }>(
      sql.ALL_LEASES_SQL,
      [],
    );
    return rows.map(({ name, holder, remaining_ms }) => ({
      name,
      holder,
      remainingMs: Number(remaining_ms),
    }));
  }

  async failedAttempts(): Promise<readonly FailedAttempt[]> {
    return (await this.#rows<FailedAttemptRow>(sql.FAILED_ATTEMPTS_SQL, [])).map(failedAttemptOf);
  }

  async decidedWithPrefix(hex: string, limit: number): Promise<readonly string[]> {
    const rows = await this.#rows<{ transaction_id: string }>(sql.PREFIX_SQL, [hex, limit]);
    return rows.map(({ transaction_id }) => transaction_id);
  }

  async history(filter: HistoryFilter): Promise<readonly DecisionRecord[]> {
    const { since, until, decision, decidedBy, label, transactionId, limit } = filter;
    const values = [since, until, decision, decidedBy, label, transactionId, limit];
    const rows = await this.#rows<HistoryRow>(sql.HISTORY_SQL, values.map(orNull));
    return rows.map((row) => ({
      ...standingOf(row),
      transactionId: row.transaction_id,
      epoch: row.epoch,
      coordinator: row.coordinator ?? undefined,
    }));
  }

  async audit({
    since,
    until,
    transactionId,
    limit,
  }: HistoryFilter): Promise<readonly AuditRecord[]> {
    const values = [since, until, transactionId, limit];
    const rows = await this.#rows<AuditRow>(sql.AUDIT_SQL, values.map(orNull));
    return rows.map((row) => ({
      id: row.id,
      at: row.at,
      role: row.role_name,
      actor: row.actor,
      action: row.action,
      transactionId: row.transaction_id ?? undefined,
      epoch: row.epoch ?? undefined,
      reason: row.reason ?? undefined,
      before: row.before ?? undefined,
      after: row.after ?? undefined,
    }));
  }

  async commit({ transactionId, epoch, label, branches }: OperatorCommit): Promise<void> {
    const recorded = branches.map(({ participant, branch, xid, systemIdentifier, timeline }) => ({
      participant,
      branch,
      xid,
      system: systemIdentifier,
      timeline,
    }));
    const values = [transactionId, epoch, label ?? null, JSON.stringify(recorded)];
    try {
      await this.#rows(sql.OPERATOR_COMMIT_SQL, values);
    } catch (error) {
      if (!isWithoutPartition(error)) throw error;
      await this.#rows(MAKE_PARTITIONS_SQL, [[transactionId]]);
      await this.#rows(sql.OPERATOR_COMMIT_SQL, values);
    }
  }

  async retireNow(epoch: string): Promise<void> {
    await this.#rows(sql.RETIRE_NOW_SQL, [epoch]);
  }

  async alone<T>(transactionId: string, work: () => Promise<T>, otherwise: () => T): Promise<T> {
    const [row] = await this.#rows<{ locked: boolean }>(sql.LOCK_OPERATOR_SQL, [transactionId]);
    if (row?.locked !== true) return otherwise();
    try {
      return await work();
    } finally {
      // With a session that is gone the lock is gone too.
      await this.#rows(sql.UNLOCK_OPERATOR_SQL, [transactionId]).catch(() => undefined);
    }
  }

  async note(entry: AuditEntry): Promise<void> {
    const { actor, action, transactionId, epoch, reason, before, after } = entry;
    const json = (value: unknown): string | null =>
      value === undefined ? null : JSON.stringify(value);
    const { notices } = await this.#connection.run({
      text: sql.NOTE_SQL,
      values: [
        ...[actor, action, transactionId, epoch, reason].map(orNull),
        json(before),
        json(after),
      ],
    });
    if (isUnconfirmed(notices)) {
      throw new Error('the audit was not confirmed by the synchronous standby of the log');
    }
  }

  async acknowledge(
    transactionId: string,
    shown: readonly Pick<OpenHeuristic, 'gid' | 'kind'>[],
    actor: string,
    reason: string,
  ): Promise<readonly OpenHeuristic[]> {
    const pairs = [shown.map(({ gid }) => gid), shown.map(({ kind }) => kind)];
    const values = [transactionId, actor, reason, ...pairs];
    return (await this.#rows<HeuristicRow>(sql.ACKNOWLEDGE_SQL, values)).map(heuristicOf);
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  async #rows<Row>(text: string, values: readonly unknown[]): Promise<Row[]> {
    return (await this.#connection.run<Row>({ text, values })).rows;
  }
}

function orNull(value: unknown): unknown {
  return value ?? null;
}

function heuristicOf(row: HeuristicRow): OpenHeuristic {
  const { acknowledged_at: at, acknowledged_by: by, acknowledged_reason: reason } = row;
  return {
    gid: row.gid,
    kind: row.kind,
    transactionId: row.transaction_id,
    participant: row.participant,
    decision: row.decision,
    evidence: row.evidence,
    foundBy: row.found_by,
    foundAt: row.found_at,
    acknowledged: at === null ? undefined : { at, by: by ?? '', reason: reason ?? undefined },
  };
}

interface CoordinatorRow {
  readonly epoch: string;
  readonly name: string;
  readonly host: string;
  readonly pid: number;
  readonly version: string;
  readonly role_name: string;
  readonly started_at: Date;
  readonly heartbeat_at: Date;
  readonly retired_at: Date | null;
  readonly retired_by: DecidedBy | null;
}

interface HeuristicRow {
  readonly gid: string;
  readonly kind: HeuristicKind;
  readonly transaction_id: string;
  readonly participant: string;
  readonly decision: Decision;
  readonly evidence: string;
  readonly found_by: string;
  readonly found_at: Date;
  readonly acknowledged_at: Date | null;
  readonly acknowledged_by: string | null;
  readonly acknowledged_reason: string | null;
}

interface ServerRow {
  readonly name: string;
  readonly system_identifier: string;
  readonly database_oid: string;
  readonly database_name: string;
  readonly timeline: string;
  readonly listed_at: Date | null;
  readonly retired: boolean;
}

interface HistoryRow extends DecisionRow {
  readonly epoch: string;
  readonly coordinator: string | null;
}

interface AuditRow {
  readonly id: string;
  readonly at: Date;
  readonly role_name: string;
  readonly actor: string;
  readonly action: string;
  readonly transaction_id: string | null;
  readonly epoch: string | null;
  readonly reason: string | null;
  readonly before: unknown;
  readonly after: unknown;
}
