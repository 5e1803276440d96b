/**
 * pgxa: atomic commit over several PostgreSQL databases.
 *
 * @packageDocumentation
 */
export {
  migrateDecisionLog,
  pendingMigrations,
  type MigrationOptions,
} from './migrate-decision-log.ts';
export { createTransactionManager } from './transaction-manager.ts';
export { createRecoveryDaemon } from './recovery-daemon.ts';
export type {
  ConnectionOptions,
  ParticipantOptions,
  PendingMigration,
  RecoveryDaemon,
  RecoveryDaemonConfig,
  RunOptions,
  Transaction,
  TransactionManager,
  TransactionManagerConfig,
  TransactionScope,
} from './public-surface.ts';
export type { BranchClient, QueryCallback, QueryConfigLike } from './coordinator/branch-client.ts';
export type { CommitReport, Hook } from './coordinator/transaction.ts';
export {
  ConfigError,
  HeuristicOutcomeError,
  MisuseError,
  OutcomeUnknownError,
  PgxaError,
  RolledBackError,
  type PgxaErrorCode,
} from './errors.ts';
export { subscribe, type PgxaEventName, type PgxaEvents } from './events.ts';
export type { IsolationLevel } from './participant/participant.ts';
export type { PoolClientLike, PoolLike, QueryResult } from './postgres/client.ts';
export type {
  DaemonStatus,
  HousekeepingStatus,
  ParticipantStatus,
  SetAsideBranch,
} from './recovery/daemon-status.ts';
export type {
  BranchLeft,
  HeuristicFound,
  ParticipantReport,
  RecoveryReport,
} from './recovery/report.ts';
export type { DecidedBy, Decision, HeuristicKind, Outcome } from './states.ts';
export { openTriage, type TriageConfig } from './open-triage.ts';
export type { Triage } from './triage/triage.ts';
export type { BlockedSession } from './triage/blocking.ts';
export type { BranchDetail, Explanation } from './triage/explain.ts';
export type { Found } from './triage/find.ts';
export type { ForeignOrigin } from './triage/foreign.ts';
export type { HeldLock, TouchedRows } from './triage/inspector.ts';
export type {
  BranchView,
  CoordinatorView,
  DecisionView,
  ForeignView,
  ParticipantView,
  Survey,
  TransactionView,
  Verdict,
} from './triage/model.ts';
export type { PlannedStep, Resolution } from './triage/resolve.ts';
export type { Assessment } from './triage/assess.ts';
export type { ForcedBranch, ForceRequest, ForceResult } from './triage/force.ts';
export { check as checkSurvey, type CheckLimits, type CheckResult } from './triage/check.ts';
export { observationsOf, type ObservationView } from './triage/observations.ts';
export type { Diagnosis, Finding, Severity } from './triage/doctor-model.ts';
export type { CoordinatorState } from './triage/coordinators.ts';
export type {
  AuditRecord,
  DecisionRecord,
  FailedAttempt,
  HistoryFilter,
} from './decision-log/operator-log.ts';
