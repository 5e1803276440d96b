import { Cancellation, type Cancelled } from '../cancellation.ts';
import {
  HeuristicOutcomeError,
  MisuseError,
  OutcomeUnknownError,
  PgxaError,
  RolledBackError,
  toError,
} from '../errors.ts';
import { BRANCHES_MAX } from '../participant/gid.ts';
import type { Branch, IsolationLevel } from '../participant/participant.ts';
import { isLegalEdge, type TransactionState } from '../states.ts';
import { QueueingBranchClient, type BranchClient } from './branch-client.ts';
import type { Admission } from './admission.ts';
import { commit } from './protocol.ts';
import { untilAborted } from '../patience.ts';
import type {
  CommitMode,
  Committed,
  ProtocolContext,
  ProtocolTransaction,
} from './protocol-context.ts';
import { rollback } from './rollback.ts';
import { rolledBackBy } from './rolled-back.ts';

export type Hook = () => void | Promise<void>;

/** How a committed transaction ended. */
export interface CommitReport {
  readonly transactionId: string;
  /**
   * Participants whose branch is decided but not finished yet (their server went away): a reader does
   * not see its rows yet. It is retried, then left to recovery.
   */
  readonly pending: readonly string[];
}

export interface TransactionOptions {
  readonly id: string;
  readonly epoch: string;
  readonly label: string | undefined;
  readonly idempotencyKey: string | undefined;
  readonly isolationLevel: IsolationLevel | undefined;
  readonly readOnly: boolean;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  readonly context: ProtocolContext;
  readonly admission: Admission;
  /** Called once, when the transaction has ended for its caller. */
  readonly onEnded: (transaction: GlobalTransaction) => void;
}

export type EndedAs = 'committed' | 'rolled-back' | 'unknown';

/** One transaction from begin to its answer. */
export class GlobalTransaction implements ProtocolTransaction {
  readonly id: string;
  readonly epoch: string;
  readonly label: string | undefined;
  readonly idempotencyKey: string | undefined;
  readonly #options: TransactionOptions;
  readonly #clients = new Map<string, { branch: Branch; client: QueueingBranchClient }>();
  readonly #abort = new Cancellation();
  readonly #beganAtMs: number;
  readonly #cancelDeadline: () => void;
  readonly #onCommitted: Hook[] = [];
  readonly #onRolledBack: Hook[] = [];
  #admitted = false;
  #ending: Promise<CommitReport> | undefined;
  #state: TransactionState = 'active';
  /** Ended by cancel(), not by its program. */
  #cancelled = false;
  #endedAs: EndedAs | undefined;

  constructor(options: TransactionOptions) {
    this.#options = options;
    this.id = options.id;
    this.epoch = options.epoch;
    this.label = options.label;
    this.idempotencyKey = options.idempotencyKey;
    const { runtime } = options.context;
    this.#beganAtMs = runtime.now();
    this.#cancelDeadline = runtime.after(options.timeoutMs, () => {
      this.cancel('PGXA_TIMEOUT', `its deadline of ${options.timeoutMs} ms has passed`);
    });
    const { signal } = options;
    signal?.addEventListener('abort', this.#onCallerAbort, { once: true });
    if (signal?.aborted === true) this.#onCallerAbort();
  }

  get branches(): readonly Branch[] {
    return [...this.#clients.values()].map(({ branch }) => branch);
  }

  /** Aborted at the deadline, by the caller's signal, or by close(); not heard after the decision. */
  get signal(): Cancelled {
    return this.#abort;
  }

  /** The same for its program. */
  get abortSignal(): AbortSignal {
    return this.#abort.signal;
  }

  get state(): TransactionState {
    return this.#state;
  }

  /** Undefined until the caller has its answer. */
  get endedAs(): EndedAs | undefined {
    return this.#endedAs;
  }

  get durationMs(): number {
    return this.#options.context.runtime.now() - this.#beganAtMs;
  }

  /** Waits for a place among the running transactions. */
  async admit(): Promise<void> {
    await this.#options.admission.enter(this.signal);
    this.#admitted = true;
    if (this.#endedAs === undefined) return;
    this.releaseAdmission();
    throw this.signal.reason;
  }

  on(name: string): BranchClient {
    const known = this.#clients.get(name);
    if (known !== undefined) return known.client;
    const { context, isolationLevel, readOnly } = this.#options;
    const participant = context.participants.get(name);
    if (participant === undefined) {
      const names = [...context.participants.keys()].map((one) => `"${one}"`).join(', ');
      throw new MisuseError(
        'PGXA_UNKNOWN_PARTICIPANT',
        `no participant is called "${name}"; configured are ${names}`,
        { transactionId: this.id },
      );
    }
    const refusal = this.#refuseLate() ?? this.#refusal();
    if (refusal !== undefined) throw refusal;
    const ordinal = this.#clients.size + 1;
    if (ordinal > BRANCHES_MAX) throw new RangeError(`more than ${BRANCHES_MAX} branches`);
    const branch = participant.branch({
      transactionId: this.id,
      branch: ordinal,
      isolationLevel,
      readOnly,
      remainingMs: () => this.#options.timeoutMs - this.durationMs,
      signal: this.signal,
    });
    const client = new QueueingBranchClient({
      branch,
      transactionId: this.id,
      isolationLevel,
      refusal: () => this.#refusal(),
      refusalOfNew: () => this.#refuseLate() ?? this.#refusal(),
    });
    this.#clients.set(name, { branch, client });
    return client;
  }

  onCommitted(hook: Hook): void {
    this.#onCommitted.push(hook);
  }

  onRolledBack(hook: Hook): void {
    this.#onRolledBack.push(hook);
  }

  async commit(): Promise<CommitReport> {
    if (this.#cancelled) throw this.signal.reason;
    this.#assertNotEnding();
    this.#ending = this.#commit();
    return this.#ending;
  }

  /** Rolls back; resolves when all sessions are released. */
  async rollback(): Promise<void> {
    if (this.#cancelled) return this.whenEnded();
    this.#assertNotEnding();
    const done = this.#rollBackActive();
    // commit() after rollback() must not start over.
    this.#ending = done.then(() => ({ transactionId: this.id, pending: [] }));
    await done;
  }

  /** True once commit() or rollback() was called. */
  get ending(): boolean {
    return this.#ending !== undefined;
  }

  /** Resolves when the transaction, which is being ended, has ended. Never rejects. */
  async whenEnded(): Promise<void> {
    await this.#ending?.catch(() => undefined);
  }

  /**
   * Ends an undecided transaction from outside: deadline, caller's signal, close(). One that its program
   * never ends would keep its sessions, and its place among the running ones.
   */
  cancel(code: 'PGXA_TIMEOUT' | 'PGXA_CANCELLED', why: string, cause?: unknown): void {
    if (this.#abort.aborted) return;
    this.#abort.abort(
      new RolledBackError(code, `the transaction is rolled back: ${why}`, {
        transactionId: this.id,
        retryable: false,
        cause,
      }),
    );
    if (this.ending) return;
    this.#cancelled = true;
    const done = this.#rollBackActive();
    this.#ending = done.then(() => ({ transactionId: this.id, pending: [] }));
  }

  setState(state: TransactionState): void {
    if (state === this.#state) return;
    if (!isLegalEdge(this.#state, state)) {
      throw new Error(`transaction ${this.id}: no edge from ${this.#state} to ${state}`);
    }
    this.#state = state;
  }

  releaseAdmission(): void {
    if (!this.#admitted) return;
    this.#admitted = false;
    this.#options.admission.leave();
  }

  async #commit(): Promise<CommitReport> {
    let committed: Committed;
    try {
      const busy = [...this.#clients.values()].filter(({ client }) => !client.isIdle);
      if (busy.length > 0) {
        await untilAborted(this.signal, Promise.all(busy.map(({ client }) => client.idle())));
      }
      this.#assertNoneNested();
      committed = await commit(this, this.#options.context);
    } catch (thrown) {
      throw await this.#failCommit(toError(thrown));
    }
    this.#end('committed', committed.mode);
    await this.#callHooks(this.#onCommitted);
    return { transactionId: this.id, pending: committed.pending };
  }

  /** Ends the transaction after a failed commit, and says what the caller now knows. */
  async #failCommit(cause: Error): Promise<Error> {
    if (this.#state === 'active' || this.#state === 'voting') await rollback(this);
    const error = this.#knowledgeAfter(cause);
    const known = !(error instanceof OutcomeUnknownError || error instanceof HeuristicOutcomeError);
    this.#end(known ? 'rolled-back' : 'unknown', 'two-phase');
    if (known) await this.#callHooks(this.#onRolledBack);
    return error;
  }

  /** "Rolled back" is said only in the states in which it is so, whatever went wrong. */
  #knowledgeAfter(error: Error): Error {
    if (error instanceof OutcomeUnknownError || error instanceof HeuristicOutcomeError)
      return error;
    if (this.#state === 'rolled-back' || this.#state === 'rolling-back') {
      return error instanceof PgxaError
        ? error
        : rolledBackBy('PGXA_ROLLED_BACK', this.id, undefined, error);
    }
    return new OutcomeUnknownError(
      `an unexpected error broke off the commit; ask outcomeOf() later: ${error.message}`,
      { transactionId: this.id, cause: error },
    );
  }

  /** The inner transaction of an ORM that is still open would be committed by half. */
  #assertNoneNested(): void {
    for (const [participant, { client }] of this.#clients) {
      if (!client.hasOpenSavepoint) continue;
      throw new MisuseError(
        'PGXA_TRANSACTION_CONTROL',
        `a BEGIN in the branch on "${participant}" has no COMMIT or ROLLBACK (is an await missing ` +
          'before an inner transaction?): rolled back',
        { transactionId: this.id, participant },
      );
    }
  }

  async #rollBackActive(): Promise<void> {
    await rollback(this);
    this.#end('rolled-back', 'none');
    await this.#callHooks(this.#onRolledBack);
  }

  #end(endedAs: EndedAs, mode: CommitMode): void {
    this.#cancelDeadline();
    this.#options.signal?.removeEventListener('abort', this.#onCallerAbort);
    this.releaseAdmission();
    this.#endedAs = endedAs;
    this.#options.context.publish('transaction:ended', {
      transactionId: this.id,
      outcome: endedAs,
      mode,
      durationMs: this.durationMs,
    });
    this.#options.onEnded(this);
  }

  async #callHooks(hooks: readonly Hook[]): Promise<void> {
    for (const hook of hooks) {
      try {
        await hook();
      } catch (thrown) {
        this.#options.context.publish('hook:failed', {
          transactionId: this.id,
          error: toError(thrown),
        });
      }
    }
  }

  /**
   * A query that comes while the transaction is being committed, before its decision, was meant to be part
   * of it: nothing is committed without it.
   */
  #refuseLate(): Error | undefined {
    const committing = this.ending && !this.signal.aborted;
    if (!committing || (this.#state !== 'active' && this.#state !== 'voting')) return undefined;
    const error = new MisuseError(
      'PGXA_TRANSACTION_ENDED',
      'a query was asked while the transaction was being committed, which is rolled back therefore ' +
        '(is an await missing before a query?)',
      { transactionId: this.id },
    );
    this.#abort.abort(error);
    return error;
  }

  #refusal(): Error | undefined {
    if (this.signal.aborted) return this.signal.reason as Error;
    if (this.#state === 'active' && this.#endedAs === undefined && !this.ending) return undefined;
    return new MisuseError(
      'PGXA_TRANSACTION_ENDED',
      'the transaction has ended, or is being ended: nothing can run in it any more ' +
        '(is an await missing before a query?)',
      { transactionId: this.id },
    );
  }

  #assertNotEnding(): void {
    if (this.#ending === undefined) return;
    throw new MisuseError('PGXA_TRANSACTION_ENDED', 'the transaction was ended before', {
      transactionId: this.id,
    });
  }

  readonly #onCallerAbort = (): void => {
    const cause: unknown = this.#options.signal?.reason;
    this.cancel('PGXA_CANCELLED', 'its caller aborted it', cause);
  };
}
