/** What a server has on disk, as its WAL describes it. */
import type { LockMode } from './locks.ts';

/** A transaction of the server, from BEGIN to its end; prepared, it has no session. */
export interface Xact {
  /** Of all transactions of its session. */
  readonly ordinal: number;
  xid: number | undefined;
  readonly changes: Change[];
  /** What a prepared transaction takes again after a restart. */
  readonly locks: Map<string, LockMode>;
  /** The global transaction whose marker it has inserted. */
  transactionId?: string;
}

export type Change = (data: Data) => void;

export interface Prepared {
  readonly gid: string;
  readonly xact: Xact;
  readonly preparedAt: number;
  /** Position of its PREPARE in the WAL. */
  readonly lsn: number;
  /** A session is at work on it: its PREPARE waits for a standby, or somebody finishes it. */
  busy: boolean;
}

export interface DecisionData {
  readonly transactionId: string;
  readonly epoch: string;
  readonly outcome: 'commit' | 'abort';
  readonly decidedBy: string;
  readonly label: string | null;
  /** JSON. */
  readonly branches: string;
}

export interface CoordinatorData {
  readonly name: string;
  readonly heartbeatAt: number;
  readonly heartbeatLimitMs: number;
  readonly guarded: boolean;
  readonly retired: boolean;
}

export class Data {
  /** Rows of the application, per transaction id: how often its marker was inserted. */
  readonly markers = new Map<string, number>();
  readonly prepared = new Map<string, Prepared>();
  /** Fate of the transaction ids that have ended. */
  readonly fates = new Map<number, 'committed' | 'aborted'>();
  readonly decisions = new Map<string, DecisionData>();
  readonly keys = new Map<string, string>();
  readonly coordinators = new Map<string, CoordinatorData>();
  readonly servers = new Map<string, { readonly server: string; readonly seenAt: number }>();
  readonly heuristics = new Map<string, { readonly gid: string; readonly kind: string }>();
}

export type WalRecord =
  | { readonly kind: 'commit'; readonly xact: Xact }
  | { readonly kind: 'abort'; readonly xact: Xact }
  | { readonly kind: 'prepare'; readonly gid: string; readonly xact: Xact; readonly at: number }
  | {
      readonly kind: 'commit-prepared' | 'rollback-prepared';
      readonly gid: string;
      readonly xact: Xact;
    };

/** Carries a record out: at its end when the server runs, one after the other in crash recovery. */
export function applyRecord(data: Data, record: WalRecord, lsn: number): void {
  const { xact } = record;
  switch (record.kind) {
    case 'prepare':
      data.prepared.set(record.gid, {
        gid: record.gid,
        xact,
        preparedAt: record.at,
        lsn,
        busy: false,
      });
      return;
    case 'commit-prepared':
    case 'rollback-prepared':
      data.prepared.delete(record.gid);
      break;
    case 'commit':
    case 'abort':
      break;
  }
  const commits = record.kind === 'commit' || record.kind === 'commit-prepared';
  if (xact.xid !== undefined) data.fates.set(xact.xid, commits ? 'committed' : 'aborted');
  if (commits) for (const change of xact.changes) change(data);
}
