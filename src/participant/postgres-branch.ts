import { HeuristicOutcomeError, toError } from '../errors.ts';
import type { Notice, PoolClientLike, QueryConfig, QueryResult } from '../postgres/client.ts';
import { ConnectionLostError } from '../postgres/connection-lost.ts';
import { cutOff } from '../postgres/end.ts';
import { SyncUnit } from '../postgres/sync-unit.ts';
import { ownStep, queryStep, type OwnStep, type UnitStep } from '../postgres/unit-steps.ts';
import type { BranchEvidence, BranchWork, OnePhaseReply, Vote } from '../states.ts';
import type { BranchHost } from './branch-host.ts';
import {
  EXECUTE_BEFORE_PREPARE_SQL,
  EXECUTE_PROBE_SQL,
  EXECUTE_UNLOCK_SQL,
  type BranchSession,
} from './branch-session.ts';
import {
  beginSql,
  changesRows,
  CONSTRAINTS_SQL,
  limitsOf,
  POOLED_BEFORE_COMMIT_SQL,
  POOLED_BEFORE_PREPARE_SQL,
  POOLED_PROBE_SQL,
  prepareSql,
  SHOW_WARNINGS_SQL,
  UNLOCK_SQL,
} from './branch-statements.ts';
import type { Branch, BranchSpec, StatementTraits } from './participant.ts';
import type { ServerFacts } from './server-facts.ts';
import {
  onePhaseReplyOf,
  onePhaseReplyOfAnother,
  voteOf,
  voteOfAnother,
  type Circumstances,
} from './branch-replies.ts';
import { isConnectionLoss, SpoiledSessionError, sqlstateOf } from './sqlstate.ts';

/** Beyond the deadline of the transaction, how long the reply to a one-phase COMMIT may take. */
const COMMIT_REPLY_EXTRA_MS = 5_000;

/** How long the reply to the COMMIT of a branch that only read may take. */
const READER_REPLY_MS = 5_000;
/** How long the reply to ROLLBACK may take before the session is ended instead. */
const ROLLBACK_REPLY_MS = 3_000;

export class PostgresBranch implements Branch {
  readonly participant: string;
  readonly ordinal: number;
  readonly #host: BranchHost;
  readonly #spec: BranchSpec;
  #client: PoolClientLike | undefined;
  #facts: ServerFacts | undefined;
  /** See BranchSession. */
  #isSetUp = false;
  #unit: SyncUnit | undefined;
  #opened = false;
  #released = false;
  /** The session holds something that the next user of the connection must not see. */
  #dirty = false;
  #xid: string | undefined;
  #hasProbed = false;
  /** Of a client that is not ours alone: when its transaction began, as the server says it. */
  #began: string | undefined;
  /** Statements ran since the server was last asked for the xid. */
  #stale = false;
  /** A statement has surely changed rows: the branch is a writer whatever its xid is. */
  #changedRows = false;
  /** Statements in flight. */
  #busy = 0;
  /** Rolled back: a session that comes now comes too late. */
  #ended = false;
  /** LISTEN and NOTIFY have no xid and must still not be published before the decision. */
  #unlogged = false;
  #firstError: Error | undefined;
  /** The session was ended by the server or the network. */
  #sessionEnded = false;
  /** The branch can never commit: its session is lost, or was ended behind our back. */
  #lost: Error | undefined;

  constructor(host: BranchHost, spec: BranchSpec) {
    this.participant = host.name;
    this.ordinal = spec.branch;
    this.#host = host;
    this.#spec = spec;
  }

  get lost(): Error | undefined {
    return this.#lost;
  }

  get mayFailAtCommit(): boolean {
    return (this.#spec.isolationLevel ?? this.#facts?.defaultIsolation) === 'serializable';
  }

  get sessionEnded(): boolean {
    return this.#sessionEnded;
  }

  get connected(): boolean {
    return this.#facts !== undefined;
  }

  async execute(query: QueryConfig, traits: StatementTraits): Promise<QueryResult | QueryResult[]> {
    this.#dirty ||= traits.leavesSessionState;
    // It may have taken away what the session was given; nobody uses it after this branch.
    if (this.#dirty) this.#isSetUp = false;
    this.#unlogged ||= traits.notifies;
    this.#busy += 1;
    try {
      const result = this.#opened
        ? await this.#statement(query)
        : await this.#openWith(query, traits.statements === 1);
      this.#note(result);
      return result;
    } catch (thrown) {
      throw this.#fail(toError(thrown));
    } finally {
      this.#busy -= 1;
    }
  }

  async inspect(): Promise<BranchWork> {
    if (!this.#opened) return { kind: 'none' };
    if (this.#lost !== undefined) return { kind: 'failed', error: this.#lost };
    // Behind a pooler the session that began is known only by what it says itself: it may have to be ended.
    const isKnown = this.#isSetUp || this.#hasProbed;
    const sureWriter = this.#changedRows && this.#firstError === undefined && isKnown;
    if (!sureWriter && (this.#stale || !this.#hasProbed || this.#firstError !== undefined)) {
      try {
        await this.#probe();
      } catch (thrown) {
        // 25P02 in a failed block: what matters is the error that failed it.
        return { kind: 'failed', error: this.#firstError ?? this.#fail(toError(thrown)) };
      }
    }
    const writes = this.#xid !== undefined || this.#changedRows || this.#unlogged;
    return { kind: writes ? 'writer' : 'read-only' };
  }

  async prepare(gid: string): Promise<Vote> {
    if (this.#lost !== undefined) {
      this.#release(true);
      return { kind: 'no', error: this.#lost };
    }
    if (this.#client?.getTransactionStatus?.() === 'I') {
      // PREPARE would prepare another transaction, of nothing.
      const error = this.#endedBehind();
      this.#release(true);
      return { kind: 'no', error };
    }
    const constraints = ownStep(CONSTRAINTS_SQL);
    const before = ownStep(this.#isSetUp ? EXECUTE_BEFORE_PREPARE_SQL : POOLED_BEFORE_PREPARE_SQL);
    const prepare = ownStep(prepareSql(gid));
    let failure: Error | undefined;
    try {
      await this.#run([constraints, before, prepare], 'simple');
    } catch (thrown) {
      failure = toError(thrown);
    }
    const [xid, , , began] = before.row ?? [];
    // Who has a hand on the client may have begun another transaction on it.
    const isOther = differs(this.#began, began) || differs(this.#xid, xid);
    if (!isOther) this.#xid ??= xid ?? undefined;
    const circumstances = this.#circumstances(failure);
    const vote = isOther ? voteOfAnother(prepare, circumstances) : voteOf(prepare, circumstances);
    this.#release(failure !== undefined || vote.kind !== 'yes');
    return vote;
  }

  outliveDeadline(): void {
    this.#spec.signal.removeEventListener('abort', this.#onAbort);
  }

  async commitReadOnly(): Promise<Vote> {
    const commit = ownStep('commit');
    const cancelTimer = this.#host.runtime.after(READER_REPLY_MS, () => {
      this.#release(true);
    });
    try {
      await this.#end([commit]);
    } catch (thrown) {
      const error = this.#fail(toError(thrown));
      this.#release(true);
      return { kind: 'no', error };
    } finally {
      cancelTimer();
    }
    this.#release(false);
    if (commit.command === 'COMMIT') return { kind: 'read-only' };
    return {
      kind: 'no',
      error: this.#firstError ?? new Error('the server rolled the branch back'),
    };
  }

  async commitOnePhase(): Promise<OnePhaseReply> {
    if (this.#lost === undefined && this.#xid === undefined) await this.#learnXid();
    if (this.#lost !== undefined) {
      this.#release(true);
      return { kind: 'rolled-back', error: this.#lost };
    }
    const which = this.#isSetUp ? [] : [ownStep(POOLED_BEFORE_COMMIT_SQL)];
    const commit = ownStep('commit');
    // From here on the deadline must not end the session: its COMMIT is the decision.
    this.#spec.signal.removeEventListener('abort', this.#onAbort);
    // In whole seconds: Node keeps a list of its own for timers of each length.
    const remainingMs = Math.ceil(Math.max(0, this.#spec.remainingMs()) / 1_000) * 1_000;
    const replyMs = remainingMs + COMMIT_REPLY_EXTRA_MS;
    const cancelTimer = this.#host.runtime.after(replyMs, () => {
      this.#release(true);
    });
    let failure: Error | undefined;
    try {
      // A deferred trigger is the application's, too: behind it nothing hides what COMMIT has to say.
      await this.#end([ownStep(CONSTRAINTS_SQL), ...which, ownStep(SHOW_WARNINGS_SQL), commit]);
    } catch (thrown) {
      failure = toError(thrown);
    } finally {
      cancelTimer();
    }
    const circumstances = this.#circumstances(failure);
    const reply = differs(this.#began, which[0]?.row?.[0])
      ? onePhaseReplyOfAnother(commit, circumstances)
      : onePhaseReplyOf(commit, circumstances);
    this.#release(failure !== undefined || reply.kind !== 'committed');
    return reply;
  }

  async rollback(): Promise<void> {
    this.#ended = true;
    if (!this.#opened || this.#released) return;
    if (this.#lost !== undefined || this.#busy > 0) {
      const backend = this.#client === undefined ? undefined : this.#facts?.backend;
      this.#release(true);
      // A statement in flight would go on, with its locks, until the server misses its client.
      if (backend !== undefined) this.#host.fenceLater(backend);
      return;
    }
    // A connection gone silent must not hold its caller: ending the session rolls back too.
    const cancelTimer = this.#host.runtime.after(ROLLBACK_REPLY_MS, () => {
      const backend = this.#facts?.backend;
      this.#release(true);
      if (backend !== undefined) this.#host.fenceLater(backend);
    });
    try {
      await this.#end([ownStep('rollback')]);
      this.#release(false);
    } catch {
      // The session ends, and with it the transaction.
      this.#release(true);
    } finally {
      cancelTimer();
    }
  }

  /** Only an xid that is known before COMMIT is sent can settle a lost reply to it. */
  async #learnXid(): Promise<void> {
    try {
      await this.#probe();
    } catch (thrown) {
      this.#lost ??= this.#fail(toError(thrown));
    }
  }

  /** BEGIN, limits, the first statement and the probe in one round trip, under one Sync. */
  async #openWith(query: QueryConfig, together: boolean): Promise<QueryResult | QueryResult[]> {
    this.#opened = true;
    const session = await this.#host.acquire(this.#spec.signal);
    if (this.#ended) {
      session.client.release();
      throw new Error('the transaction was rolled back while its branch waited for a connection');
    }
    this.#take(session);
    const begin = ownStep(beginSql(this.#spec));
    const limits = limitsOf(this.#spec.remainingMs(), this.#host.lockTimeoutMs, session);
    const first = queryStep(query);
    const probe = this.#probeStep();
    const opening = limits === undefined ? [begin] : [begin, limits];
    try {
      const rest = together ? [first, probe] : this.#isSetUp ? [] : [probe];
      await this.#run([...opening, ...rest], 'extended');
    } catch (thrown) {
      // Without a transaction around it nothing may follow on this session.
      if (begin.command === undefined) this.#lost = toError(thrown);
      throw thrown;
    }
    await this.#noteProbe(probe);
    if (!together) return this.#statement(query);
    if (first.result === undefined) throw new Error('the first statement has no result');
    return first.result;
  }

  async #statement(query: QueryConfig): Promise<QueryResult | QueryResult[]> {
    if (this.#lost !== undefined) throw this.#lost;
    this.#stale ||= this.#xid === undefined;
    const client = this.#heldClient();
    // A configuration is copied by pg with all its descriptors; most are a text and its values.
    const isText = Object.keys(query).every((key) => key === 'text' || key === 'values');
    const asked = isText ? client.query(query.text, query.values) : client.query(query);
    const result = (await asked) as QueryResult | QueryResult[];
    if (client.getTransactionStatus?.() === 'I') {
      throw this.#endedBehind();
    }
    return result;
  }

  async #run(steps: readonly UnitStep[], manner: 'extended' | 'simple'): Promise<void> {
    const client = this.#heldClient();
    const types = 'getTypeParser' in client ? client : undefined;
    const unit = new SyncUnit(steps, { manner, types });
    this.#unit = unit;
    try {
      client.query(unit);
      await unit.done;
    } catch (thrown) {
      const isOwn = unit.currentStep !== undefined && !('query' in unit.currentStep);
      // Whatever deallocated them would do so again.
      if (!isOwn || sqlstateOf(thrown) !== NO_SUCH_STATEMENT) throw thrown;
      this.#host.leaveSessionsAlone();
      throw new SpoiledSessionError(thrown);
    } finally {
      this.#unit = undefined;
    }
  }

  /** The last steps of the branch in its session, which may then go to somebody else. */
  #end(steps: readonly OwnStep[]): Promise<void> {
    const unlock = ownStep(this.#isSetUp ? EXECUTE_UNLOCK_SQL : UNLOCK_SQL);
    return this.#run([...steps, unlock], 'simple');
  }

  #probeStep(): OwnStep {
    return ownStep(this.#isSetUp ? EXECUTE_PROBE_SQL : POOLED_PROBE_SQL);
  }

  async #probe(): Promise<void> {
    const probe = this.#probeStep();
    await this.#run([probe], 'simple');
    await this.#noteProbe(probe);
  }

  #endedBehind(): Error {
    this.#lost = new HeuristicOutcomeError(
      `a statement ended the transaction of the branch on "${this.participant}" behind the ` +
        'coordinator: what it did there may be committed although the transaction is not',
      {
        kind: 'hazard',
        participant: this.participant,
        transactionId: this.#spec.transactionId,
      },
    );
    return this.#lost;
  }

  #heldClient(): PoolClientLike {
    if (this.#lost !== undefined) throw this.#lost;
    if (this.#client === undefined) throw new Error('the branch has no session');
    return this.#client;
  }

  #take({ client, facts, given }: BranchSession): void {
    this.#client = client;
    this.#facts = facts;
    this.#isSetUp = given !== undefined && !this.#dirty;
    // A Sync for each query would let a statement run although its BEGIN failed: see SyncUnit.
    if (client.pipeline === true) {
      client.pipeline = false;
      this.#restorePipeline = true;
    }
    client.on('error', this.#onError);
    client.on('notice', this.#onNotice);
    this.#spec.signal.addEventListener('abort', this.#onAbort, { once: true });
    if (this.#spec.signal.aborted) this.#onAbort();
  }

  #restorePipeline = false;

  readonly #onError = (error: unknown): void => {
    this.#sessionEnded = true;
    this.#lost ??= toError(error);
  };

  readonly #onNotice = (notice: unknown): void => {
    this.#unit?.currentStep?.notices.push((notice as Notice).code ?? '');
  };

  readonly #onAbort = (): void => {
    const { backend } = this.#facts ?? {};
    this.#lost ??= toError(this.#spec.signal.reason);
    this.#release(true);
    // The server does not notice a dead client while it executes; its locks would stay.
    if (backend !== undefined) this.#host.fenceLater(backend);
  };

  #release(destroy: boolean): void {
    const client = this.#client;
    if (client === undefined || this.#released) return;
    this.#released = true;
    this.#client = undefined;
    this.#spec.signal.removeEventListener('abort', this.#onAbort);
    client.removeListener('notice', this.#onNotice);
    const ends = destroy || this.#dirty;
    if (!ends) {
      // A client that ends may still emit; nobody else listens, and unheard errors end the process.
      client.removeListener('error', this.#onError);
      // Not on one that ends either: pg would wait for its pipeline to drain before it ends.
      if (this.#restorePipeline) client.pipeline = true;
    }
    client.release(ends);
    if (!destroy) return;
    // pg asks an idle session to end in good order, which one that has gone silent never does.
    cutOff(client);
    this.#unit?.giveUp();
  }

  #note(result: QueryResult | QueryResult[]): void {
    const results = Array.isArray(result) ? result : [result];
    // Rows changed without an xid are those of a foreign table: PREPARE must refuse that branch.
    this.#changedRows ||= results.some(changesRows);
  }

  async #noteProbe({ row }: OwnStep): Promise<void> {
    if (row === undefined) return;
    const [xid, pid, incarnation, began] = row;
    if (differs(this.#began, began)) throw this.#endedBehind();
    this.#began ??= began ?? undefined;
    this.#xid ??= xid ?? undefined;
    this.#stale = false;
    this.#hasProbed = true;
    const { backend, incarnation: known } = this.#facts ?? {};
    if (Number(pid) === backend?.pid && (this.#isSetUp || incarnation === known)) return;
    // Another session answers than the one that the connection began with: there is a pooler between.
    this.#host.leaveSessionsAlone();
    const session = await this.#host.sessionOf(this.#heldClient());
    this.#facts = session.facts;
    this.#isSetUp = session.given !== undefined;
  }

  #fail(error: Error): Error {
    this.#firstError ??= error;
    if (isConnectionLoss(error)) {
      this.#lost ??= error;
      // Of an error without an SQLSTATE only the session itself tells whether it ended.
      this.#sessionEnded ||=
        sqlstateOf(error) !== undefined || error instanceof ConnectionLostError;
    }
    return error;
  }

  /** What is known beside the replies when a vote or a commit is judged. */
  #circumstances(failure: Error | undefined): Circumstances {
    return { failure, firstError: this.#firstError, lost: this.#lost, evidence: this.#evidence() };
  }

  #evidence(): BranchEvidence {
    const facts = this.#facts;
    if (facts === undefined) throw new Error('a branch without a session has no evidence');
    return {
      participant: this.participant,
      branch: this.ordinal,
      xid: this.#xid,
      incarnation: facts.incarnation,
      server: facts.server,
      backend: facts.backend,
    };
  }
}

/** Of two things that are known, not what one of them lacks. */
function differs(known: string | undefined, said: string | null | undefined): boolean {
  return typeof known === 'string' && typeof said === 'string' && known !== said;
}

/** invalid_sql_statement_name */
const NO_SUCH_STATEMENT = '26000';
