/** What an operator can ask and do. One object for one look: it holds connections until it is closed. */
import type {
  AuditRecord,
  DecisionRecord,
  HistoryFilter,
  OpenHeuristic,
} from '../decision-log/operator-log.ts';
import type { RecoveryReport } from '../recovery/report.ts';
import { assess } from './assess.ts';
import { coordinatorsOf, type CoordinatorState } from './coordinators.ts';
import { examine } from './doctor.ts';
import type { Diagnosis } from './doctor-model.ts';
import type { DoctorOptions } from './doctor-reading.ts';
import { explain, type Explanation } from './explain.ts';
import { force, type ForceRequest, type ForceResult } from './force.ts';
import { find, type Found } from './find.ts';
import type { Survey, TransactionView } from './model.ts';
import {
  isActive,
  planOf,
  recordContradictions,
  recoverAll,
  resolve,
  type Resolution,
  type ResolveOptions,
} from './resolve.ts';
import { takeSurvey } from './survey.ts';

export interface TriageOptions extends ResolveOptions, DoctorOptions {
  readonly close: () => Promise<void>;
}

export class Triage implements AsyncDisposable {
  readonly #options: TriageOptions;
  /** What recovery would do about the prepared branches of these. Pure. */
  readonly planOf = planOf;
  readonly isActive = isActive;

  constructor(options: TriageOptions) {
    this.#options = options;
  }

  /** Everything in doubt, on all participants at once. Never rejects: what does not answer is in it. */
  survey(): Promise<Survey> {
    return takeSurvey(this.#options);
  }

  /** Whether everything really works: the log, participants, daemons, coordinators. Never rejects. */
  examine(): Promise<Diagnosis> {
    return examine(this.#options);
  }

  /** The transaction or foreign branch that is meant by an id, a gid, or a prefix of one. */
  async find(id: string): Promise<Found> {
    return find(id, (about) => takeSurvey(this.#options, about));
  }

  /** Everything about one, in plain words; asks the servers for locks, and for rows if it is told to. */
  explain(found: Found, wanted: { readonly rows: boolean }): Promise<Explanation> {
    return explain(found, this.#options.inspectors, wanted);
  }

  /**
   * What recovery would do about these transactions, now and in the operator's name: commit what is decided
   * so, win the abort where nobody can decide any more. Rejects when the log does not answer.
   */
  resolve(transactions: readonly TransactionView[]): Promise<Resolution> {
    return resolve(this.#options, transactions);
  }

  /**
   * Keeps what was seen to have ended against a commit decision until somebody acknowledges it. Returns what is
   * new. `resolve` does it too.
   */
  recordContradictions(
    transactions: readonly TransactionView[],
  ): Promise<Resolution['heuristics']> {
    return recordContradictions(this.#options, transactions);
  }

  /** One pass over all participants, as the daemon makes it. Rejects when the log does not answer. */
  recover(): Promise<RecoveryReport> {
    return recoverAll(this.#options);
  }

  /** Who has registered in the log, and whether recovery takes them for alive. */
  coordinators(filter: { readonly includeRetired: boolean }): Promise<readonly CoordinatorState[]> {
    return coordinatorsOf(this.#options, filter);
  }

  /** Decisions, newest first, as far as the log remembers. */
  async history(filter: HistoryFilter): Promise<readonly DecisionRecord[]> {
    return (await this.#options.openLog()).operatorLog.history(filter);
  }

  /** What was done by hand, newest first. */
  async audit(filter: HistoryFilter): Promise<readonly AuditRecord[]> {
    return (await this.#options.openLog()).operatorLog.audit(filter);
  }

  /** Whether an outcome may be forced on what was found, and what stands against it. Pure. */
  readonly assess = assess;

  /**
   * Forces an outcome, through the register wherever it still can. The caller has shown the assessment to
   * somebody who takes responsibility for its objections. Audited before and after.
   */
  force(request: ForceRequest): Promise<ForceResult> {
    return force(this.#options, request);
  }

  /**
   * Acknowledges the heuristic outcomes of a transaction that were shown: somebody has looked, and they are no
   * alarm any more. Returns those that were open until now; what was recorded since it was shown stays open.
   */
  async forget(shown: TransactionView, reason: string): Promise<readonly OpenHeuristic[]> {
    const { operatorLog } = await this.#options.openLog();
    const { transactionId, heuristics } = shown;
    return operatorLog.acknowledge(transactionId, heuristics, this.#options.actor, reason);
  }

  /** Ends all connections. Never rejects. */
  close(): Promise<void> {
    return this.#options.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
