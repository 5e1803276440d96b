/** Between the rows of the log and what the protocol says: pure. */
import type { Command } from '../postgres/dedicated-connection.ts';
import type { DecidedBy, Decision } from '../states.ts';
import type {
  CommitRequest,
  DecideReply,
  RecordedBranch,
  StandingDecision,
} from './decision-log.ts';
import { DECIDE_SQL, DECIDE_UNKEYED_SQL } from './statements.ts';

/** One epoch per statement; a key that comes twice goes into a later one, which it then fails. */
export function statementGroups(batch: readonly CommitRequest[]): CommitRequest[][] {
  const groups: { epoch: string; keys: Set<string>; requests: CommitRequest[] }[] = [];
  for (const request of batch) {
    const { epoch, idempotencyKey: key } = request;
    let group = groups.find(
      (one) => one.epoch === epoch && (key === undefined || !one.keys.has(key)),
    );
    if (group === undefined) {
      group = { epoch, keys: new Set(), requests: [] };
      groups.push(group);
    }
    if (key !== undefined) group.keys.add(key);
    group.requests.push(request);
  }
  return groups.map(({ requests }) => requests);
}

/** Of one epoch, and no key twice. */
export function decideCommand(group: readonly CommitRequest[]): Command {
  const values = [
    group[0]?.epoch,
    group.map(({ transactionId }) => transactionId),
    group.map(({ label }) => label ?? null),
    group.map(({ branches }) => branchesText(branches)),
  ];
  if (group.every(({ idempotencyKey }) => idempotencyKey === undefined)) {
    return { name: 'pgxa_decide_unkeyed', text: DECIDE_UNKEYED_SQL, values };
  }
  const keys = group.map(({ idempotencyKey }) => idempotencyKey ?? null);
  return { name: 'pgxa_decide', text: DECIDE_SQL, values: [...values, keys] };
}

function branchesText(branches: CommitRequest['branches']): string {
  const kept = branches.map(({ participant, branch, xid, server }) => ({
    participant,
    branch,
    xid,
    system: server.systemIdentifier,
    timeline: server.timeline,
  }));
  return JSON.stringify(kept);
}

export function answerAll(
  group: readonly CommitRequest[],
  reply: DecideReply,
): Map<CommitRequest, DecideReply> {
  return new Map(group.map((request) => [request, reply]));
}

export function unanswered(): DecideReply {
  return { kind: 'unknown', error: new Error('the decision was not answered') };
}

export interface DecisionRow {
  readonly transaction_id: string;
  readonly outcome: Decision;
  readonly decided_by: DecidedBy;
  readonly decided_at: Date;
  readonly label: string | null;
  readonly branches: readonly {
    readonly participant: string;
    readonly branch: number;
    readonly xid?: string;
    readonly system: string;
    readonly timeline: string;
  }[];
}

export interface EpochRow {
  readonly epoch: string;
  readonly name: string;
  readonly retired: boolean;
  readonly heartbeat_age_ms: string;
  readonly heartbeat_limit_ms: number;
  readonly heartbeat: string;
  readonly session_gone: boolean;
}

export function standingOf(row: DecisionRow): StandingDecision {
  return {
    decision: row.outcome,
    decidedBy: row.decided_by,
    decidedAt: row.decided_at,
    label: row.label ?? undefined,
    branches: row.branches.map(
      ({ participant, branch, xid, system, timeline }): RecordedBranch => ({
        participant,
        branch,
        xid,
        systemIdentifier: system,
        timeline,
      }),
    ),
  };
}

export function sqlstateOf(error: unknown): string | undefined {
  const { code } = error as { code?: unknown };
  return typeof code === 'string' ? code : undefined;
}

/** 23514 is also a broken check, which has a name. */
export function isWithoutPartition(error: unknown): boolean {
  return (
    sqlstateOf(error) === '23514' && (error as { constraint?: unknown }).constraint === undefined
  );
}
