/** The composition root: wires participants, log, coordinator and recovery together. */
import { setMaxListeners } from 'node:events';

import { validate as isUuid } from 'uuid';

import { parseConfig, parseRunOptions, type Config, type RunConfig } from './config.ts';
import { Admission } from './coordinator/admission.ts';
import { Epoch } from './coordinator/epoch.ts';
import { askOnePhase } from './coordinator/one-phase.ts';
import type { FaultHook, ProtocolContext } from './coordinator/protocol-context.ts';
import { alreadyDone } from './coordinator/rolled-back.ts';
import { run } from './coordinator/run.ts';
import { GlobalTransaction } from './coordinator/transaction.ts';
import { TransactionIds } from './coordinator/transaction-ids.ts';
import type { DecisionLog } from './decision-log/decision-log.ts';
import { openDecisionLog } from './decision-log/open.ts';
import { ConfigError, MisuseError, RolledBackError, toError } from './errors.ts';
import { publish } from './events.ts';
import { openParticipants } from './open-participants.ts';
import { formatGid } from './participant/gid.ts';
import type { Participant } from './participant/participant.ts';
import type {
  RunOptions,
  Transaction,
  TransactionManager,
  TransactionManagerConfig,
  TransactionScope,
} from './public-surface.ts';
import { untilAborted, within } from './patience.ts';
import { Recent } from './recent.ts';
import { Recoverer } from './recovery/recoverer.ts';
import type { RecoveryReport } from './recovery/report.ts';
import { systemRuntime, type Runtime } from './runtime.ts';
import type { BranchEvidence, Outcome } from './states.ts';
import { VERSION } from './version.ts';

/** What a test may put in the place of clock, randomness, and nothing. */
export interface ManagerInternals {
  readonly runtime?: Runtime;
  readonly faultHook?: FaultHook;
}

const CLOSE_TIMEOUT_MS = 30_000;
/** How long close() lets decided branches go on; then they are left to recovery. */
const BACKGROUND_GRACE_MS = 2_000;
/** How long cancelled transactions may take to end. */
const CANCEL_TIMEOUT_MS = 5_000;
/** Outcomes that this process remembers, at least, beside what the log knows. */
const REMEMBERED = 10_000;

/**
 * Connects to the log and to all participants, and registers a new epoch in the log. A participant that
 * does not answer now is left out until it does (its transactions fail meanwhile, with a retryable
 * error); one that can never take part is refused.
 *
 * @throws ConfigError: see its code and message for what is wrong and how to mend it.
 */
export async function createTransactionManager(
  config: TransactionManagerConfig,
  internals: ManagerInternals = {},
): Promise<TransactionManager> {
  const parsed = parseConfig(config);
  const runtime = internals.runtime ?? systemRuntime;
  const log = await openDecisionLog({
    settings: parsed.decisionLog,
    coordinator: parsed.coordinator,
    connectTimeoutMs: parsed.connectTimeoutMs,
  });
  let participants: ReadonlyMap<string, Participant> = new Map();
  try {
    participants = await openParticipants(parsed, log, runtime, publish);
    const epoch = new Epoch({
      log,
      coordinator: parsed.coordinator,
      version: VERSION,
      heartbeatLimitMs: parsed.heartbeatLimitMs,
      runtime,
      publish,
    });
    await epoch.start();
    return new PostgresTransactionManager(parsed, log, participants, epoch, runtime, internals);
  } catch (error) {
    await Promise.allSettled([...participants.values()].map((one) => one.close()));
    await log.close();
    if (error instanceof ConfigError) throw error;
    throw new ConfigError('PGXA_LOG_UNREACHABLE', `cannot start: ${toError(error).message}`, {
      cause: error,
    });
  }
}

class PostgresTransactionManager implements TransactionManager {
  readonly #config: Config;
  readonly #log: DecisionLog;
  readonly #participants: ReadonlyMap<string, Participant>;
  readonly #epoch: Epoch;
  readonly #runtime: Runtime;
  readonly #admission: Admission;
  readonly #context: ProtocolContext;
  readonly #recoverer: Recoverer;
  readonly #ids = new TransactionIds();
  readonly #active = new Map<string, GlobalTransaction>();
  readonly #background = new Set<Promise<void>>();
  readonly #closing = new AbortController();
  /** What the log may not know: one-phase commits, and rollbacks that needed no row. */
  readonly #outcomes = new Recent<Exclude<Outcome, 'undecided'>>(REMEMBERED);
  readonly #unsettled = new Recent<BranchEvidence>(REMEMBERED);
  #closed: Promise<void> | undefined;
  #whenIdle: (() => void) | undefined;

  constructor(
    config: Config,
    log: DecisionLog,
    participants: ReadonlyMap<string, Participant>,
    epoch: Epoch,
    runtime: Runtime,
    internals: ManagerInternals,
  ) {
    this.#config = config;
    this.#log = log;
    this.#participants = participants;
    this.#epoch = epoch;
    this.#runtime = runtime;
    // Every transaction that is settled or retried in the background listens.
    setMaxListeners(0, this.#closing.signal);
    this.#admission = new Admission(Math.min(...[...participants.values()].map((p) => p.capacity)));
    this.#context = {
      log,
      participants,
      runtime,
      publish,
      gidOf: (ofEpoch, transactionId, branch) =>
        formatGid({ installation: log.installation, epoch: ofEpoch, transactionId, branch }),
      background: (work) => {
        this.#inBackground(work);
      },
      noteUnsettled: (transactionId, evidence) => {
        this.#unsettled.set(transactionId, evidence);
      },
      faultHook: internals.faultHook,
    };
    this.#recoverer = new Recoverer({
      log,
      participants,
      local: {
        isOwnEpoch: (ofEpoch) => ofEpoch === epoch.current,
        isAtWorkOn: (transactionId) => this.#active.has(transactionId),
      },
      heartbeatLimitMs: config.heartbeatLimitMs,
      runtime,
      publish,
      name: config.coordinator,
    });
  }

  async run<T>(
    first: RunOptions | ((tx: TransactionScope) => Promise<T> | T),
    second?: (tx: TransactionScope) => Promise<T> | T,
  ): Promise<T> {
    const fn = typeof first === 'function' ? first : second;
    const options = typeof first === 'function' ? {} : parseRunOptions(first);
    if (typeof fn !== 'function') {
      throw new MisuseError('PGXA_INVALID_ARGUMENT', 'run() expects a function as last argument');
    }
    return run({
      runtime: this.#runtime,
      attempts: options.retry?.attempts ?? 1,
      begin: () => this.#begin(options),
      fn: (transaction) => fn(scopeOf(transaction)),
    });
  }

  async begin(options: Omit<RunOptions, 'retry'> = {}): Promise<Transaction> {
    const parsed = parseRunOptions(options);
    if (parsed.retry !== undefined) {
      throw new MisuseError(
        'PGXA_INVALID_ARGUMENT',
        'retry belongs to run(): begin() has no function',
      );
    }
    const transaction = await this.#begin(parsed);
    return Object.assign(scopeOf(transaction), {
      commit: () => transaction.commit(),
      rollback: () => transaction.rollback(),
      [Symbol.asyncDispose]: async () => {
        if (!transaction.ending) await transaction.rollback();
      },
    });
  }

  async outcomeOf(transactionId: string): Promise<Outcome> {
    if (!isUuid(transactionId)) {
      throw new MisuseError(
        'PGXA_INVALID_ARGUMENT',
        'outcomeOf() expects a transaction id: a UUID, as run() errors and tx.id give it',
      );
    }
    const id = transactionId.toLowerCase();
    const standing = (await this.#log.decisionsOf([id])).get(id);
    if (standing !== undefined) return standing.decision === 'commit' ? 'committed' : 'aborted';
    const evidence = this.#unsettled.get(id);
    if (evidence !== undefined) {
      const answer = await askOnePhase(this.#context, evidence);
      if (answer !== undefined) {
        this.#unsettled.delete(id);
        this.#outcomes.set(id, answer === 'committed' ? 'committed' : 'aborted');
      }
    }
    return this.#outcomes.get(id) ?? 'undecided';
  }

  async recover(options: { readonly wait?: boolean } = {}): Promise<RecoveryReport> {
    this.#assertOpen();
    return this.#recoverer.recover({ wait: options.wait ?? true });
  }

  close(options: { readonly timeoutMs?: number } = {}): Promise<void> {
    this.#closed ??= this.#close(options.timeoutMs ?? CLOSE_TIMEOUT_MS);
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #begin(options: RunConfig): Promise<GlobalTransaction> {
    this.#assertOpen();
    const transaction = new GlobalTransaction({
      id: this.#ids.next(),
      epoch: this.#epoch.current,
      label: options.label,
      idempotencyKey: options.idempotencyKey,
      isolationLevel: options.isolationLevel,
      readOnly: options.readOnly ?? false,
      timeoutMs: options.timeoutMs ?? this.#config.timeoutMs,
      signal: options.signal,
      context: this.#context,
      admission: this.#admission,
      onEnded: (ended) => {
        this.#onEnded(ended);
      },
    });
    this.#active.set(transaction.id, transaction);
    publish('transaction:begun', { transactionId: transaction.id, label: transaction.label });
    try {
      await transaction.admit();
      await this.#assertNotDone(transaction);
    } catch (error) {
      await (transaction.ending ? transaction.whenEnded() : transaction.rollback());
      throw error;
    }
    return transaction;
  }

  /** Looked at before the work is done, for the error's sake; the register looks again at the end. */
  async #assertNotDone(transaction: GlobalTransaction): Promise<void> {
    const { idempotencyKey, id } = transaction;
    if (idempotencyKey === undefined) return;
    let existing: string | undefined;
    try {
      existing = await untilAborted(
        transaction.signal,
        this.#log.findByIdempotencyKey(idempotencyKey),
      );
    } catch (cause) {
      if (transaction.signal.aborted) throw transaction.signal.reason;
      throw new RolledBackError(
        'PGXA_LOG_UNAVAILABLE',
        'the decision log could not be asked for the idempotency key; nothing was begun',
        { transactionId: id, retryable: true, cause },
      );
    }
    if (existing !== undefined) throw alreadyDone(transaction, existing);
  }

  #onEnded(transaction: GlobalTransaction): void {
    const { id, endedAs } = transaction;
    if (endedAs === 'committed') this.#outcomes.set(id, 'committed');
    if (endedAs === 'rolled-back') this.#outcomes.set(id, 'aborted');
    // One that is settled in the background is at work until it is settled.
    if (transaction.state !== 'unknown' || this.#unsettled.has(transaction.id)) {
      this.#active.delete(transaction.id);
    }
    if (this.#whenIdle !== undefined && this.#running().length === 0) this.#whenIdle();
  }

  #inBackground(work: (signal: AbortSignal) => Promise<void>): void {
    const done = work(this.#closing.signal)
      // Whatever it was, it is in doubt and hence in recovery's hands; heuristics are recorded by now.
      .catch(() => undefined)
      .finally(() => {
        this.#background.delete(done);
        for (const { id, endedAs, state } of this.#active.values()) {
          if (endedAs === 'unknown' && state !== 'unknown') this.#active.delete(id);
        }
      });
    this.#background.add(done);
  }

  #assertOpen(): void {
    if (this.#closed === undefined) return;
    throw new MisuseError('PGXA_CLOSED', 'the transaction manager is closed');
  }

  async #close(timeoutMs: number): Promise<void> {
    await this.#drain(timeoutMs);
    const grace = this.#runtime.sleep(BACKGROUND_GRACE_MS, this.#closing.signal);
    await Promise.race([Promise.allSettled(this.#background), grace]);
    this.#closing.abort(new Error('the transaction manager is closed'));
    await grace.catch(() => undefined);
    await this.#epoch.stop({ endEpoch: true });
    await Promise.allSettled([...this.#participants.values()].map((one) => one.close()));
    await this.#log.close();
  }

  /** Transactions that are still running at the time limit are rolled back, if nothing is decided. */
  async #drain(timeoutMs: number): Promise<void> {
    if (this.#running().length === 0) return;
    const idle = new Promise<void>((resolve) => {
      this.#whenIdle = resolve;
    });
    const cancelTimer = this.#runtime.after(timeoutMs, () => {
      for (const transaction of this.#running()) {
        transaction.cancel('PGXA_CANCELLED', 'the transaction manager is being closed');
      }
    });
    // What hangs even then (a server that does not answer a commit) is left to recovery.
    await within(this.#runtime, timeoutMs + CANCEL_TIMEOUT_MS, () => idle);
    cancelTimer();
  }

  /** Transactions whose caller has no answer yet. */
  #running(): GlobalTransaction[] {
    return [...this.#active.values()].filter(({ endedAs }) => endedAs === undefined);
  }
}

/** What a program may do with a transaction that it does not end itself. */
function scopeOf(transaction: GlobalTransaction): TransactionScope {
  return {
    id: transaction.id,
    get signal() {
      return transaction.abortSignal;
    },
    on: (name) => transaction.on(name),
    onCommitted: (hook) => {
      transaction.onCommitted(hook);
    },
    onRolledBack: (hook) => {
      transaction.onRolledBack(hook);
    },
  };
}
