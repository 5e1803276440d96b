/**
 * A simulated PostgreSQL server: what its sessions see and change, what its WAL keeps, and what a crash or a
 * failover leaves of it. Held against real servers of five versions by `npm run simulate:truth`.
 */
import type { Random } from '../random.ts';
import type { Scheduler } from '../scheduler.ts';
import { applyRecord, Data, type Prepared, type WalRecord, type Xact } from './data.ts';
import { LockTable } from './locks.ts';
import { Session, type SessionLink } from './session.ts';

export type Replication = 'none' | 'async' | 'sync';

export interface ServerOptions {
  readonly name: string;
  readonly databaseName: string;
  readonly systemIdentifier: string;
  readonly replication: Replication;
  readonly maxPrepared: number;
  /** The role's client_min_messages is `error`. */
  readonly hidesWarnings: boolean;
  /** The schema of the decision log, with this installation id. */
  readonly installation: string | undefined;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly observer: ServerObserver;
}

/** Where a statement stands. */
export type Phase = 'arrived' | 'written' | 'flushed' | 'answered';

/** Who watches: the checks, and the faults that wait for their moment. */
export interface ServerObserver {
  /** A statement of this kind has come this far. */
  at(kind: string, phase: Phase, session: Session): void;
  /** Called in the moment in which the effect of COMMIT or ROLLBACK PREPARED is written. */
  finishing(
    server: SimulatedServer,
    session: Session,
    gid: string,
    decision: 'commit' | 'abort',
  ): void;
  /** A coordinator is registered. */
  registering(epoch: string): void;
  /** A program has registered the server that it found behind a participant's name. */
  meeting(session: Session, participant: string): void;
  /** A commit decision of a coordinator has come behind its retirement. */
  decidedLate(epoch: string): void;
  /** A decision is written (not durable yet). */
  deciding(
    session: Session,
    transactionId: string,
    outcome: 'commit' | 'abort',
    branches: string,
  ): void;
}

const FLUSH_MS = 0.4;
const STANDBY_MS = 0.8;
const OID = '16384';

export class SimulatedServer {
  readonly name: string;
  readonly databaseName: string;
  readonly systemIdentifier: string;
  readonly databaseOid = OID;
  readonly options: ServerOptions;
  readonly scheduler: Scheduler;
  readonly observer: ServerObserver;
  readonly sessions = new Map<number, Session>();
  readonly running = new Set<Xact>();
  readonly wal: WalRecord[] = [];
  locks = new LockTable();
  data = new Data();
  /** Session-level advisory locks. */
  readonly advisory = new Map<string, Session>();
  up = true;
  /** Sessions go on, but nobody hears them: a stopped machine. */
  paused = false;
  /** Raised by every crash: what was under way then never comes. */
  incarnation = 1;
  timeline = 1;
  startedAt = 0;
  /** Up to where the last recovery has replayed. */
  replayedTo = 0;
  nextXid = 700;
  flushed = 0;
  /** Records that the standby has. */
  replicated = 0;
  standbyAttached = true;
  maxPrepared: number;
  /** WAL records that failovers have lost. */
  readonly lost: WalRecord[] = [];
  /** Transaction ids known to this server at each failover: later ones are reused. */
  failovers = 0;
  #nextPid = 100;
  readonly #held: (() => void)[] = [];
  readonly #syncWaits = new Set<SyncWait>();
  readonly #random: Random;

  constructor(options: ServerOptions) {
    this.options = options;
    this.name = options.name;
    this.databaseName = options.databaseName;
    this.systemIdentifier = options.systemIdentifier;
    this.scheduler = options.scheduler;
    this.observer = options.observer;
    this.maxPrepared = options.maxPrepared;
    this.#random = options.random;
  }

  get now(): number {
    return this.scheduler.now;
  }

  get hasStandby(): boolean {
    return this.options.replication !== 'none';
  }

  /** Records that no crash and no failover can take away any more. */
  get durable(): number {
    return this.options.replication === 'sync'
      ? Math.min(this.flushed, this.replicated)
      : this.flushed;
  }

  /** Runs when the machine runs, and never after a crash. */
  later(ms: number, run: () => void): void {
    const { incarnation } = this;
    this.scheduler.after(ms, () => {
      this.#deliver(incarnation, run);
    });
  }

  #deliver(incarnation: number, run: () => void): void {
    if (this.incarnation !== incarnation || !this.up) return;
    if (this.paused)
      this.#held.push(() => {
        this.#deliver(incarnation, run);
      });
    else run();
  }

  /** Something comes from outside: seen when the machine runs, lost when it does not. */
  accept(run: () => void): void {
    if (this.paused) this.later(0, run);
    else run();
  }

  connect(link: SessionLink, onStandby: boolean): Session {
    // Few numbers, so that they come again: a pid alone names nobody.
    do this.#nextPid = 100 + ((this.#nextPid - 99) % 60);
    while (this.sessions.has(this.#nextPid));
    const session = new Session(this, link, this.#nextPid, onStandby);
    this.sessions.set(session.pid, session);
    return session;
  }

  /** What somebody reads who has landed on the standby. */
  dataOf(session: Session): Data {
    return session.onStandby ? this.#replay(this.replicated) : this.data;
  }

  newXid(): number {
    const xid = this.nextXid;
    this.nextXid += 1;
    return xid;
  }

  /**
   * Writes a record, flushes it, waits for the standby if it is a synchronous one, and then calls `done`:
   * with `replicated` false if that wait was cut off.
   */
  write(
    record: WalRecord,
    session: Session,
    kind: string,
    done: (replicated: boolean) => void,
  ): void {
    const lsn = this.wal.push(record) - 1;
    const { incarnation } = this;
    this.observer.at(kind, 'written', session);
    if (this.incarnation !== incarnation) return;
    this.later(FLUSH_MS * (0.5 + this.#random.next()), () => {
      this.flushed = Math.max(this.flushed, lsn + 1);
      this.#ship(lsn);
      // Listed from here on, and busy until its wait for the standby is over.
      if (record.kind === 'prepare') this.#list(record, lsn);
      this.observer.at(kind, 'flushed', session);
      if (this.incarnation !== incarnation) return;
      if (this.options.replication !== 'sync' || this.replicated > lsn) {
        done(true);
        return;
      }
      this.#syncWaits.add({ lsn, session, done });
    });
  }

  #list(record: WalRecord, lsn: number): void {
    applyRecord(this.data, record, lsn);
    const prepared = record.kind === 'prepare' ? this.data.prepared.get(record.gid) : undefined;
    if (prepared !== undefined) prepared.busy = true;
    this.running.delete(record.xact);
  }

  #ship(lsn: number): void {
    if (!this.hasStandby || !this.standbyAttached) return;
    this.later(STANDBY_MS * (0.2 + 3 * this.#random.next()), () => {
      if (!this.standbyAttached) return;
      this.replicated = Math.max(this.replicated, lsn + 1);
      for (const wait of [...this.#syncWaits]) {
        if (wait.lsn < this.replicated && this.#syncWaits.delete(wait)) wait.done(true);
      }
    });
  }

  attachStandby(): void {
    if (this.standbyAttached) return;
    this.standbyAttached = true;
    if (this.flushed > 0) this.#ship(this.flushed - 1);
  }

  /** Somebody is tired of waiting for the standby, and cancels: the commits count here, and maybe nowhere else. */
  cancelSyncWaits(): number {
    const waits = [...this.#syncWaits];
    this.#syncWaits.clear();
    for (const wait of waits) wait.done(false);
    return waits.length;
  }

  /** Terminated while it waits for the standby: a warning, and the session is gone. */
  cutSyncWait(session: Session): boolean {
    for (const wait of this.#syncWaits) {
      if (wait.session !== session) continue;
      this.#syncWaits.delete(wait);
      wait.done(false);
      return true;
    }
    return false;
  }

  carryOut(record: WalRecord): void {
    const lsn = this.wal.indexOf(record);
    applyRecord(this.data, record, lsn);
  }

  /**
   * kill -9 of the server. What was flushed stays; of what was written and not flushed, a part may have reached
   * the disk. `noticed`: the machine lives, and closes the connections.
   */
  crash(noticed: boolean, panics = false): void {
    if (!this.up) return;
    if (panics) for (const session of this.sessions.values()) session.panic();
    const kept = this.flushed + this.#random.int(this.wal.length - this.flushed + 1);
    this.#stop(noticed);
    this.wal.length = kept;
    this.flushed = kept;
  }

  restart(): void {
    if (this.up) return;
    this.#recover();
    this.replicated = Math.min(this.replicated, this.wal.length);
    if (this.standbyAttached && this.flushed > 0) this.#ship(this.flushed - 1);
  }

  /** The standby takes over, with what it has. */
  failOver(noticed: boolean): void {
    if (!this.hasStandby) return;
    if (this.up) this.#stop(noticed);
    this.lost.push(...this.wal.slice(this.replicated));
    this.wal.length = Math.min(this.wal.length, this.replicated);
    this.flushed = this.wal.length;
    this.replicated = this.wal.length;
    this.standbyAttached = true;
    this.timeline += 1;
    this.failovers += 1;
    this.#recover();
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    const held = this.#held.splice(0);
    for (const run of held) this.scheduler.after(0, run);
  }

  forget(session: Session): void {
    this.sessions.delete(session.pid);
    for (const [key, holder] of this.advisory) {
      if (holder === session) this.advisory.delete(key);
    }
    this.locks.wake(`gone:${session.pid}:${session.startedAt}`);
  }

  #stop(noticed: boolean): void {
    this.up = false;
    this.incarnation += 1;
    this.paused = false;
    this.#held.length = 0;
    this.#syncWaits.clear();
    for (const session of this.sessions.values()) session.vanish(noticed);
    this.sessions.clear();
    this.advisory.clear();
    this.running.clear();
    this.locks = new LockTable();
  }

  #recover(): void {
    this.data = this.#replay(this.wal.length);
    // An id that no flushed record carries was never issued, as far as anybody can tell.
    this.nextXid = this.wal.reduce((next, { xact }) => Math.max(next, (xact.xid ?? 0) + 1), 700);
    for (const { xact } of this.data.prepared.values()) {
      for (const [key, mode] of xact.locks) this.locks.take(xact, key, mode);
    }
    this.up = true;
    this.startedAt = this.now;
    this.replayedTo = this.wal.length;
  }

  #replay(count: number): Data {
    const data = new Data();
    for (let lsn = 0; lsn < count; lsn += 1) {
      const record = this.wal[lsn];
      if (record !== undefined) applyRecord(data, record, lsn);
    }
    return data;
  }

  /** Puts a prepared transaction of somebody else there, as if it had always been. */
  plant(gid: string): void {
    const xact: Xact = { ordinal: 0, xid: this.newXid(), changes: [], locks: new Map() };
    const record: WalRecord = { kind: 'prepare', gid, xact, at: this.now };
    this.wal.push(record);
    this.flushed = this.wal.length;
    this.replicated = this.wal.length;
    this.carryOut(record);
  }

  /** Takes a planted one away again. */
  uproot(gid: string): void {
    const prepared = this.data.prepared.get(gid);
    if (prepared === undefined || !this.up) return;
    const record: WalRecord = { kind: 'rollback-prepared', gid, xact: prepared.xact };
    this.wal.push(record);
    this.flushed = this.wal.length;
    this.replicated = this.wal.length;
    this.carryOut(record);
  }

  prepared(): IterableIterator<Prepared> {
    return this.data.prepared.values();
  }
}

interface SyncWait {
  readonly lsn: number;
  readonly session: Session;
  readonly done: (replicated: boolean) => void;
}
