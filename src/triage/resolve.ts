/**
 * Doing what the log decided, or winning the abort: one pass of recovery over chosen transactions, in an
 * operator's name. Nothing here decides; it is safe beside daemons, coordinators and other operators.
 */
import type { DecisionLog } from '../decision-log/decision-log.ts';
import type { OperatorLog } from '../decision-log/operator-log.ts';
import type { Publish } from '../events.ts';
import { formatGid, parseGid } from '../participant/gid.ts';
import { DECISION_TABLE, type RecoveryAction } from '../recovery/decision-table.ts';
import { Recoverer } from '../recovery/recoverer.ts';
import type {
  BranchLeft,
  HeuristicFound,
  ParticipantReport,
  RecoveryReport,
} from '../recovery/report.ts';
import type { SiblingFound } from '../recovery/siblings.ts';
import type { TransactionView } from './model.ts';
import type { SurveyOptions } from './survey.ts';

/** What recovery would do about one branch that is prepared. */
export interface PlannedStep {
  readonly transactionId: string;
  readonly participant: string;
  readonly gid: string;
  /** Of the decision table; undefined while the log does not answer. */
  readonly row: string | undefined;
  readonly action: RecoveryAction;
  readonly why: string;
}

export function planOf(transactions: readonly TransactionView[]): PlannedStep[] {
  return transactions.flatMap(({ transactionId, branches }) =>
    branches
      .filter(({ state }) => state === 'prepared')
      .map(({ participant, gid, row, why }) => ({
        transactionId,
        participant,
        gid,
        row,
        action: DECISION_TABLE.find((one) => one.row === row)?.action ?? 'leave',
        why: why ?? 'the decision log does not answer',
      })),
  );
}

export function isActive({ action }: PlannedStep): boolean {
  return action !== 'leave' && action !== 'report';
}

export interface Resolution {
  readonly committed: number;
  readonly rolledBack: number;
  readonly left: readonly (BranchLeft & { readonly participant: string })[];
  readonly heuristics: readonly (HeuristicFound & { readonly participant: string })[];
  /** Participants that could not be worked on, and why. */
  readonly failed: readonly { readonly participant: string; readonly error: string }[];
}

export interface ResolveOptions extends SurveyOptions {
  readonly actor: string;
  readonly publish: Publish;
}

/** One pass over everything, as the daemon makes it, in the operator's name. */
export async function recoverAll(options: ResolveOptions): Promise<RecoveryReport> {
  const recoverer = await recovererOf(options);
  return recoverer.recover({ wait: false });
}

async function recovererOf(options: ResolveOptions): Promise<Recoverer> {
  const { participants, actor, heartbeatLimitMs, runtime, publish } = options;
  const { log } = await options.openLog();
  return new Recoverer({
    log,
    participants,
    local: { isOwnEpoch: () => false, isAtWorkOn: () => false },
    heartbeatLimitMs,
    runtime,
    publish,
    name: actor,
    decidedBy: 'operator',
  });
}

/** One pass over every participant, for these transactions alone. Rejects when the log does not answer. */
export async function resolve(
  options: ResolveOptions,
  transactions: readonly TransactionView[],
): Promise<Resolution> {
  const { participants, actor } = options;
  const { operatorLog } = await options.openLog();
  const recoverer = await recovererOf(options);
  const chosen = new Set(transactions.map(({ transactionId }) => transactionId));
  const isChosen = (gid: string): boolean => chosen.has(parseGid(gid)?.transactionId ?? '');
  const skip = (gid: string): BranchLeft | undefined =>
    isChosen(gid) ? undefined : { ...SKIPPED, gid };
  const known = await recordContradictions(options, transactions);
  const reports = await Promise.all(
    [...participants.keys()].map(
      async (name) => [name, await recoverer.recoverParticipant(name, { skip })] as const,
    ),
  );
  const found = [...known, ...(await recoverer.siblingsFound())];
  const resolution = summarize(reports, isChosen, found);
  const { committed, rolledBack, left } = resolution;
  await operatorLog.note({
    actor,
    action: 'resolve',
    transactionId: chosen.size === 1 ? [...chosen][0] : undefined,
    before: { transactionIds: [...chosen] },
    after: { committed, rolledBack, left: left.length },
  });
  return resolution;
}

/**
 * A branch that was seen to have ended against the decision would be seen by nobody any more once its siblings
 * are finished: it is kept until somebody acknowledges it.
 */
export async function recordContradictions(
  options: ResolveOptions,
  transactions: readonly TransactionView[],
): Promise<readonly SiblingFound[]> {
  const { log, operatorLog } = await options.openLog();
  const found: SiblingFound[] = [];
  for (const { transactionId, decision, branches } of transactions) {
    if (decision?.decision !== 'commit') continue;
    for (const { participant, branch, gid: shown, state, xid } of branches) {
      if (state !== 'rolled-back') continue;
      const gid = shown === '' ? await gidOf(log, operatorLog, transactionId, branch) : shown;
      if (gid === undefined) continue;
      const evidence = `the decision is commit, and transaction ${xid ?? '?'} of the branch is rolled back`;
      const one = { transactionId, gid, participant, kind: 'rollback', evidence } as const;
      const record = { ...one, decision: decision.decision };
      if (await log.recordHeuristic({ ...record, foundBy: options.actor })) found.push(record);
    }
  }
  return found;
}

/** While no branch of it is prepared, only the decision tells its epoch. */
async function gidOf(
  { installation }: DecisionLog,
  operatorLog: OperatorLog,
  transactionId: string,
  branch: number,
): Promise<string | undefined> {
  const [decided] = await operatorLog.history({ ...ANY, transactionId, limit: 1 });
  return decided && formatGid({ installation, epoch: decided.epoch, transactionId, branch });
}

const ANY = {
  since: undefined,
  until: undefined,
  decision: undefined,
  decidedBy: undefined,
  label: undefined,
};

const SKIPPED: BranchLeft = {
  gid: '',
  transactionId: '',
  row: '',
  reason: 'not chosen',
  error: undefined,
};

function summarize(
  reports: readonly (readonly [string, ParticipantReport])[],
  isChosen: (gid: string) => boolean,
  found: readonly SiblingFound[],
): Resolution {
  const sum = (count: (report: ParticipantReport) => number): number =>
    reports.reduce((total, [, report]) => total + count(report), 0);
  return {
    committed: sum(({ committed }) => committed),
    rolledBack: sum(({ rolledBack }) => rolledBack),
    left: reports.flatMap(([participant, { left }]) =>
      left.filter(({ gid }) => isChosen(gid)).map((one) => ({ ...one, participant })),
    ),
    heuristics: [
      ...reports.flatMap(([participant, { heuristics }]) =>
        heuristics.map((one) => ({ ...one, participant })),
      ),
      ...found,
    ],
    failed: reports.flatMap(([participant, { error }]) =>
      error === undefined ? [] : [{ participant, error: error.message }],
    ),
  };
}
