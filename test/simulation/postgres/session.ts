/** One backend: takes units from its client, runs their statements in order, and keeps the transaction. */
import type { WireMessage, WireStatement, WireUnit } from '../wire.ts';
import type { Data, WalRecord, Xact } from './data.ts';
import type { LockMode } from './locks.ts';
import { errorMessage, noticeMessage, ServerError, type Answer } from './replies.ts';
import type { SimulatedServer } from './server.ts';
import { endXact, type EndOfXact } from './session-xact.ts';
import { Wait } from './wait.ts';
import { kindOfUnit, meaningOf, type Statement } from './statement.ts';

/** The way back to the client. */
export interface SessionLink {
  readonly process: string;
  answer(messages: readonly WireMessage[]): void;
  /** The server closes the connection; `noticed` false: its machine is gone without a word. */
  shut(noticed: boolean): void;
}

export interface SessionSettings {
  lockTimeoutMs: number;
  statementTimeoutMs: number;
  idleTimeoutMs: number;
  hidesWarnings: boolean;
}

export class Session {
  readonly server: SimulatedServer;
  readonly link: SessionLink;
  readonly pid: number;
  readonly startedAt: number;
  /** The same as the server writes it, once somebody has asked. */
  startTime: string | undefined;
  readonly onStandby: boolean;
  /** 'I' idle, 'T' in a transaction, 'E' in a failed one. */
  status: 'I' | 'T' | 'E' = 'I';
  xact: Xact;
  gone = false;
  /** SIGSTOP of this backend. */
  paused = false;
  settings: SessionSettings;
  /** What SET LOCAL has overlaid. */
  sessionSettings: SessionSettings;
  /** Set while a statement runs again because its time is out. */
  timedOut = false;
  readonly #changes: ((data: Data) => void)[] = [];
  #needsXid = false;
  /** Transactions that it has begun. */
  #xacts = 0;
  #units: WireUnit[] = [];
  #unit: WireUnit | undefined;
  #index = 0;
  #out: WireMessage[] = [];
  #doomed = false;
  #clientGone = false;
  #stopWaiting: (() => void) | undefined;
  /** Busy where nothing can interrupt it: in a flush, or waiting for a standby. */
  #committing = false;
  #waitsSince = 0;
  #idleTimer: { run: (() => void) | undefined } | undefined;
  #held: (() => void)[] = [];

  constructor(server: SimulatedServer, link: SessionLink, pid: number, onStandby: boolean) {
    this.server = server;
    this.link = link;
    this.pid = pid;
    this.startedAt = server.now;
    this.onStandby = onStandby;
    this.sessionSettings = {
      lockTimeoutMs: 0,
      statementTimeoutMs: 0,
      idleTimeoutMs: 0,
      hidesWarnings: server.options.hidesWarnings,
    };
    this.settings = { ...this.sessionSettings };
    this.xact = this.#newXact();
  }

  /** Working, or waiting: not waiting for its client. */
  get active(): boolean {
    return this.#unit !== undefined;
  }

  /** Several statements in one simple query are one transaction, which nobody has begun. */
  get isImplicit(): boolean {
    const unit = this.#unit;
    return this.status === 'I' && unit?.simple === true && unit.statements.length > 1;
  }

  receive(unit: WireUnit): void {
    if (this.gone) return;
    this.#units.push(unit);
    if (this.#unit === undefined) this.#next();
  }

  /** The client's side is closed: noticed when the session next waits for it. */
  clientGone(): void {
    this.#clientGone = true;
    if (this.#unit === undefined) this.end(true);
  }

  /** pg_terminate_backend: at once, except in the middle of a commit. */
  terminate(): void {
    if (this.gone || this.#doomed) return;
    this.#doomed = true;
    if (this.paused) return;
    if (this.server.cutSyncWait(this)) return;
    if (!this.#committing) this.#die();
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    const held = this.#held;
    this.#held = [];
    if (this.#doomed && !this.#committing && !this.gone) {
      this.#die();
      return;
    }
    for (const run of held) this.server.later(0, run);
  }

  /** The server dies of this commit, or of another one: it says so, and says nothing about the commit. */
  panic(): void {
    if (this.#committing) {
      this.link.answer([errorMessage(new ServerError('XX000', 'could not write'), 'PANIC')]);
    }
  }

  /** The server is gone, and this session with it. */
  vanish(noticed: boolean): void {
    this.gone = true;
    this.#cancelWaits();
    this.link.shut(noticed);
  }

  end(noticed: boolean): void {
    if (this.gone) return;
    this.gone = true;
    this.#cancelWaits();
    this.abort();
    this.server.forget(this);
    this.link.shut(noticed);
  }

  /** Statements change data through here; nothing is done if the statement has to be run again. */
  change(change: (data: Data) => void): void {
    this.#changes.push(change);
  }

  /** The statement writes, and gets a transaction id. */
  assignXid(): number {
    this.refuseOnStandby();
    this.#needsXid = true;
    if (this.xact.xid === undefined) {
      this.xact.xid = this.server.newXid();
      this.server.running.add(this.xact);
    }
    return this.xact.xid;
  }

  refuseOnStandby(): void {
    if (this.onStandby) throw new ServerError('25006', 'cannot execute in a read-only transaction');
  }

  lock(key: string, mode: LockMode): void {
    if (!this.server.locks.take(this.xact, key, mode)) {
      if (this.timedOut) throw this.#timeoutError();
      throw new Wait(key, this.#patience());
    }
    this.xact.locks.set(key, mode);
  }

  warn(code: string): void {
    if (!this.settings.hidesWarnings) this.#out.push(noticeMessage(code));
  }

  /** Begins or ends the settings of one transaction. */
  resetLocal(): void {
    this.settings = { ...this.sessionSettings };
  }

  abort(): void {
    const { xact, server } = this;
    server.running.delete(xact);
    server.locks.release(xact);
    this.leaveXact();
  }

  /** A new, empty transaction takes the place of the one that has ended or was prepared. */
  leaveXact(): void {
    this.xact = this.#newXact();
    this.status = 'I';
    this.resetLocal();
  }

  #newXact(): Xact {
    this.#xacts += 1;
    return { ordinal: this.#xacts, xid: undefined, changes: [], locks: new Map() };
  }

  #timeoutError(): ServerError {
    const { lockTimeoutMs, statementTimeoutMs } = this.settings;
    const byLock =
      lockTimeoutMs > 0 && (statementTimeoutMs === 0 || lockTimeoutMs <= statementTimeoutMs);
    return byLock
      ? new ServerError('55P03', 'canceling statement due to lock timeout')
      : new ServerError('57014', 'canceling statement due to statement timeout');
  }

  #patience(): number {
    const { lockTimeoutMs, statementTimeoutMs } = this.settings;
    return Math.min(lockTimeoutMs || Infinity, statementTimeoutMs || Infinity);
  }

  #next(): void {
    const unit = this.#units.shift();
    if (unit === undefined) {
      if (this.#clientGone) this.end(true);
      else this.#watchIdle();
      return;
    }
    if (this.#idleTimer !== undefined) this.#idleTimer.run = undefined;
    this.#unit = unit;
    this.#index = 0;
    this.#go();
  }

  #go(): void {
    if (this.paused) {
      this.#held.push(() => {
        this.#go();
      });
      return;
    }
    while (!this.gone && this.#unit !== undefined) {
      const wire = this.#unit.statements[this.#index];
      if (wire === undefined) {
        this.#finishUnit();
        return;
      }
      if (this.#runStatement(wire) === 'waits') return;
    }
  }

  #runStatement(wire: WireStatement): 'done' | 'waits' {
    const statement = meaningOf(wire);
    if (!this.timedOut && this.#stopWaiting === undefined) {
      this.server.observer.at(statement.kind, 'arrived', this);
      if (this.gone || this.paused) {
        if (!this.gone)
          this.#held.push(() => {
            this.#go();
          });
        return 'waits';
      }
    }
    this.#stopWaiting = undefined;
    this.#changes.length = 0;
    this.#needsXid = false;
    try {
      if (this.status === 'E' && !statement.endsFailed) {
        throw new ServerError('25P02', 'current transaction is aborted');
      }
      const answer = statement.run(this, wire);
      this.timedOut = false;
      for (const change of this.#changes) this.xact.changes.push(change);
      return this.#complete(answer, statement);
    } catch (thrown) {
      this.timedOut = false;
      if (thrown instanceof Wait) return this.#wait(thrown);
      if (thrown instanceof ServerError) return this.#fail(thrown);
      throw thrown;
    }
  }

  #complete(answer: Answer | EndOfXact, statement: Statement): 'done' | 'waits' {
    if ('end' in answer) {
      const { tag, end } = answer;
      return this.#commit(statement, end, ['answer', { tag }], false);
    }
    const message: WireMessage = ['answer', answer];
    if (
      this.status === 'I' &&
      !this.isImplicit &&
      (this.#needsXid || this.xact.changes.length > 0)
    ) {
      const record: WalRecord = { kind: 'commit', xact: this.xact };
      return this.#commit(
        statement,
        { record, xact: this.xact },
        message,
        this.#unit?.simple === false,
      );
    }
    if (this.status === 'I' && !this.isImplicit) {
      this.server.locks.release(this.xact);
      // The next BEGIN goes on with the same object, and a PREPARE would keep them over a crash.
      this.xact.locks.clear();
    }
    this.#out.push(message);
    this.#index += 1;
    return 'done';
  }

  /** Makes an end durable, carries it out, and goes on. */
  #commit(
    statement: Statement,
    end: EndOfXact['end'],
    message: WireMessage,
    tagFirst: boolean,
  ): 'done' | 'waits' {
    if (end === undefined) {
      this.#out.push(message);
      this.#index += 1;
      return 'done';
    }
    if (tagFirst) this.#out.push(message);
    this.#committing = true;
    this.server.write(end.record, this, statement.kind, (replicated) => {
      this.#committing = false;
      // Before the end takes SET LOCAL back.
      if (!replicated && !this.gone) this.warn(this.#doomed ? '57P01' : '01000');
      endXact(this, end);
      if (this.gone) return;
      if (this.#doomed && !replicated) {
        // Its output ends with the warning: the tag does not follow, nor a farewell.
        this.link.answer(this.#notices());
        this.end(true);
        return;
      }
      if (!tagFirst) this.#out.push(message);
      this.#index += 1;
      if (this.#doomed) this.#die();
      else this.#go();
    });
    return 'waits';
  }

  #wait({ key, timeoutMs }: Wait): 'waits' {
    const again = (): void => {
      this.#cancelWaits();
      this.server.later(0, () => {
        if (!this.gone) this.#go();
      });
    };
    const forget = this.server.locks.wait(key, again);
    if (this.#waitsSince === 0) this.#waitsSince = this.server.now;
    const left = timeoutMs - (this.server.now - this.#waitsSince);
    const timer = Number.isFinite(left)
      ? this.server.scheduler.after(Math.max(0, left), () => {
          this.timedOut = true;
          again();
        })
      : undefined;
    this.#stopWaiting = () => {
      forget();
      if (timer !== undefined) timer.run = undefined;
    };
    return 'waits';
  }

  #cancelWaits(): void {
    this.#stopWaiting?.();
    if (this.#idleTimer !== undefined) this.#idleTimer.run = undefined;
  }

  #fail(error: ServerError): 'done' {
    this.#waitsSince = 0;
    this.#out.push(errorMessage(error));
    const fails = this.status !== 'I';
    // An error ends the transaction and frees its locks at once; the block is left by a ROLLBACK.
    if (this.status !== 'E') this.abort();
    if (fails) this.status = 'E';
    // Everything up to the Sync is skipped.
    this.#index = this.#unit?.statements.length ?? 0;
    return 'done';
  }

  #finishUnit(): void {
    const unit = this.#unit;
    if (unit === undefined) return;
    if (this.isImplicit && this.xact.xid !== undefined) {
      throw new Error(
        'a simple query that leaves its transaction to be committed is not simulated',
      );
    }
    this.#waitsSince = 0;
    this.#out.push(['readyForQuery', { status: this.status }]);
    const out = this.#out;
    this.#out = [];
    this.#unit = undefined;
    this.server.observer.at((unit.kind ??= kindOfUnit(unit)), 'answered', this);
    if (this.gone) return;
    this.link.answer(out);
    this.#next();
  }

  #watchIdle(): void {
    const { idleTimeoutMs } = this.settings;
    if (this.status === 'I' || idleTimeoutMs === 0) return;
    this.#idleTimer = this.server.scheduler.after(idleTimeoutMs, () => {
      if (this.gone || this.#unit !== undefined || this.paused) return;
      this.#sayFarewell('25P03');
    });
  }

  #die(): void {
    this.#sayFarewell('57P01');
  }

  #sayFarewell(sqlstate: string): void {
    const error = new ServerError(sqlstate, 'terminating connection');
    this.link.answer([...this.#out, errorMessage(error, 'FATAL')]);
    this.end(true);
  }

  /** A warning is flushed when it is given, with what was gathered before it. */
  #notices(): WireMessage[] {
    const last = this.#out.findLastIndex(([event]) => event === 'notice');
    return this.#out.slice(0, last + 1);
  }
}
