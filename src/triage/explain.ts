/** Everything about one transaction, in plain words: the verdict, why, what follows, and the one safe command. */
import { attemptInWords } from './attempts.ts';
import type { Found } from './find.ts';
import type { HeldLock, Inspector, TouchedRows } from './inspector.ts';
import type { BranchView, ForeignView, Survey, TransactionView } from './model.ts';

export interface BranchDetail {
  readonly participant: string;
  readonly gid: string;
  readonly locks: readonly HeldLock[];
  readonly rows: readonly TouchedRows[];
  /** Why locks and rows are not known. */
  readonly error: string | undefined;
}

export interface Advice {
  /** Why the verdict is as it is. */
  readonly reason: string;
  /** What it means now, later, and if one acts wrongly. */
  readonly consequence: string;
  /** Who acts next if nobody does anything. */
  readonly recovery: string;
  /** The exact command that is safe; undefined when to wait, or to leave it alone, is right. */
  readonly command: string | undefined;
}

export interface Explanation extends Advice {
  readonly transaction: TransactionView | undefined;
  readonly foreign: ForeignView | undefined;
  readonly details: readonly BranchDetail[];
  readonly complete: boolean;
}

export async function explain(
  { survey, transaction, foreign }: Found,
  inspectors: ReadonlyMap<string, Inspector>,
  { rows }: { readonly rows: boolean },
): Promise<Explanation> {
  const branches =
    transaction?.branches.filter(({ state }) => state === 'prepared') ??
    (foreign === undefined ? [] : [foreign]);
  const details = await Promise.all(
    branches.map(({ participant, gid }) =>
      detailOf(participant, gid, inspectors.get(participant), rows),
    ),
  );
  const advice = transaction === undefined ? adviseForeign(foreign) : adviseOn(transaction, survey);
  return { transaction, foreign, details, complete: survey.complete, ...advice };
}

async function detailOf(
  participant: string,
  gid: string,
  inspector: Inspector | undefined,
  withRows: boolean,
): Promise<BranchDetail> {
  try {
    const [locks, rows] = await Promise.all([
      inspector?.locks(gid) ?? [],
      withRows ? (inspector?.touchedRows(gid) ?? []) : [],
    ]);
    return { participant, gid, locks, rows, error: undefined };
  } catch (thrown) {
    const error = thrown instanceof Error ? thrown.message : String(thrown);
    return { participant, gid, locks: [], rows: [], error };
  }
}

/** Pure: from what was seen to what is said. */
export function adviseOn(transaction: TransactionView, survey: Survey): Advice {
  const { transactionId: id, reason, branches, heuristics } = transaction;
  const prepared = branches.filter(({ state }) => state === 'prepared');
  const open = heuristics.filter(({ acknowledged }) => acknowledged === undefined);
  const recovery = recoveryOf(transaction, prepared, survey);
  const unseen = branches.filter(({ state }) => state === 'unknown');
  const locks =
    (prepared.length === 0 ? '' : ' Until then its locks stay, and vacuum is kept back.') +
    (unseen.length === 0 ? '' : ` ${branchesInWords(unseen)} cannot be seen now.`);
  switch (transaction.verdict) {
    case 'commit':
    case 'abort': {
      const { decision, decidedBy, decidedAt } = transaction.decision ?? NO_DECISION;
      const why = `${sentence(reason)}: made by ${BY[decidedBy]} at ${decidedAt.toISOString()}.`;
      if (prepared.length === 0) {
        const consequence = 'Nothing of it is prepared on the participants that were listed.';
        return { reason: why, consequence, recovery, command: undefined };
      }
      const done = decision === 'commit' ? 'committed' : 'rolled back';
      const wrong = decision === 'commit' ? 'Rolling it back' : 'Committing it';
      return {
        reason: why,
        consequence:
          `${branchesInWords(prepared)} will be ${done}; nothing can change that any more.${locks} ` +
          `${wrong} by hand would break the transaction apart.`,
        recovery,
        command: `pgxa resolve ${id}`,
      };
    }
    case 'undecided-live':
      return {
        reason: `${sentence(reason)} (${coordinatorInWords(transaction)})`,
        consequence:
          `It decides within its deadline, or dies, and then recovery aborts.${locks} ` +
          'A commit by hand now could contradict it.',
        recovery,
        command: undefined,
      };
    case 'undecided-dead':
      return {
        reason: `${sentence(reason)} (${coordinatorInWords(transaction)})`,
        consequence:
          'Without a decision a transaction is aborted: abort is written to the log first, and if the ' +
          `coordinator was quicker its commit stands and is carried out.${locks}`,
        recovery,
        command: `pgxa resolve ${id}`,
      };
    case 'contradictory':
      return {
        reason: [reason, ...open.map(({ evidence }) => evidence)].map(stopped).join(' '),
        consequence:
          'The branches have ended differently, and nothing here can undo that: compare the rows of all ' +
          'participants, mend them, then acknowledge it.' +
          (prepared.length === 0
            ? ''
            : ` ${branchesInWords(prepared)} will still end as the log decided.`),
        recovery,
        command: prepared.length > 0 ? `pgxa resolve ${id}` : `pgxa forget ${id} --reason '…'`,
      };
    case 'hazard':
      return {
        reason: [reason, ...open.map(({ evidence }) => evidence)].map(stopped).join(' '),
        consequence: hazardInWords(prepared, locks),
        recovery,
        command:
          open.length > 0 && prepared.length === 0 ? `pgxa forget ${id} --reason '…'` : undefined,
      };
    case 'unknown':
      return {
        reason: sentence(reason),
        consequence: `Whatever is done now could be wrong: first get the log to answer.${locks}`,
        recovery: 'Nobody can finish it while the log does not answer.',
        command: undefined,
      };
  }
}

const NO_DECISION = { decision: 'abort', decidedBy: 'recovery', decidedAt: new Date(0) } as const;
const BY = {
  coordinator: 'its coordinator',
  recovery: 'recovery',
  operator: 'an operator',
} as const;

function hazardInWords(prepared: readonly BranchView[], locks: string): string {
  if (prepared.length === 0) {
    return 'Compare the rows of all participants to see how the branch has ended, then acknowledge it.';
  }
  if (prepared.some(({ row }) => row === 'K')) {
    return (
      'The log can hold no decision about it, so it was never committed anywhere: "pgxa force rollback" ends it ' +
      `(it asks for --override here). Look at the clock of the machine that began it.${locks}`
    );
  }
  return (
    'The log cannot tell whether it was committed elsewhere. Was the log restored from a backup, or this ' +
    'server? Look at the other participants for its rows; if it was committed there, ' +
    `"pgxa force commit", else "pgxa force rollback" (both ask for --override here).${locks}`
  );
}

function recoveryOf(
  { verdict, branches }: TransactionView,
  prepared: readonly BranchView[],
  { participants }: Survey,
): string {
  const unseen = branches.filter(({ state }) => state === 'unknown');
  const away = awayInWords(unseen, participants);
  if (prepared.length === 0 && away.length > 0) return sentences(away);
  if (prepared.length === 0) return 'There is nothing left for recovery to do.';
  if (verdict === 'hazard') return 'Recovery leaves it alone, and reports it.';
  const names = [...new Set(prepared.map(({ participant }) => participant))];
  const words = names.map((name) => {
    const daemon = participants.find((one) => one.name === name)?.daemon;
    const failed = prepared.find(({ participant, attempt }) => participant === name && attempt);
    const what = failed?.attempt && attemptInWords(failed.attempt);
    if (what !== undefined) {
      const who = daemon ?? `${failed?.attempt?.daemon ?? '?'}, which is gone,`;
      return `the daemon of ${who} cannot finish it on ${name}: ${what}`;
    }
    return daemon === undefined
      ? `no daemon works on ${name}: it stays in doubt until one does, or you act`
      : `the daemon of ${daemon} looks at ${name} every few seconds and finishes it by itself`;
  });
  return sentences([...words, ...away]);
}

/** Branches on participants that cannot be seen now, and what the daemon has met there. */
function awayInWords(
  unseen: readonly BranchView[],
  participants: Survey['participants'],
): string[] {
  const names = [...new Set(unseen.map(({ participant }) => participant))];
  return names.flatMap((name) => {
    const attempt = participants.find((one) => one.name === name)?.attempt;
    if (attempt === undefined) return [];
    return [`the daemon of ${attempt.daemon} cannot work on ${name}: ${attemptInWords(attempt)}`];
  });
}

function sentences(parts: readonly string[]): string {
  return `${sentence(parts.join('; '))}.`;
}

function adviseForeign(foreign: ForeignView | undefined): Advice {
  const origin = foreign?.origin;
  return {
    reason: `It was not prepared through this decision log. ${sentence(origin?.origin ?? 'unknown')}.`,
    consequence: `Hands off: ${origin?.advice ?? 'find out whose it is'}.`,
    recovery: 'Recovery never touches it.',
    command: undefined,
  };
}

function coordinatorInWords({ coordinator }: TransactionView): string {
  if (coordinator === undefined) return 'coordinator not known';
  const { name, host, pid, state, heartbeatAgeMs, epoch } = coordinator;
  const where = host === undefined ? '' : ` on ${host}, pid ${pid ?? '?'}`;
  const beat =
    heartbeatAgeMs === undefined
      ? ''
      : `, last heartbeat ${Math.max(0, Math.round(heartbeatAgeMs / 1_000))} s ago`;
  return `${name ?? `epoch ${epoch}`}${where}: ${state}${beat}`;
}

function branchesInWords(branches: readonly BranchView[]): string {
  const names = branches.map(({ participant }) => participant).join(', ');
  return branches.length === 1 ? `The branch on ${names}` : `The branches on ${names}`;
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** With a full stop, unless it ends like a sentence already. */
function stopped(text: string): string {
  return /[.?!]$/.test(text) ? sentence(text) : `${sentence(text)}.`;
}
