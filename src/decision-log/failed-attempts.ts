import type { FailedAttempt } from './operator-log.ts';

export interface FailedAttemptRow {
  readonly participant: string;
  readonly gid: string;
  readonly transaction_id: string | null;
  readonly daemon: string;
  readonly attempts: number;
  readonly error: string;
  readonly failed_ago_ms: string;
  readonly next_in_ms: string;
}

export function failedAttemptOf(row: FailedAttemptRow): FailedAttempt {
  return {
    participant: row.participant,
    gid: row.gid === '' ? undefined : row.gid,
    transactionId: row.transaction_id ?? undefined,
    daemon: row.daemon,
    attempts: row.attempts,
    error: row.error,
    failedAgoMs: Math.round(Number(row.failed_ago_ms)),
    nextInMs: Math.round(Number(row.next_in_ms)),
  };
}
