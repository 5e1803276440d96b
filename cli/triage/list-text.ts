import type { BranchView, ForeignView, Survey, TransactionView, Verdict } from '../../src/index.ts';
import { table } from './output.ts';
import { age, name, xidAge } from './text.ts';

export const VERDICTS: Readonly<Record<Verdict, string>> = {
  commit: 'commit',
  abort: 'abort',
  'undecided-live': 'undecided, live coordinator',
  'undecided-dead': 'undecided, dead coordinator',
  contradictory: 'contradictory',
  hazard: 'hazard',
  unknown: 'unknown: no log',
};

export async function surveyText(survey: Survey, wide: boolean): Promise<string> {
  const { transactions, foreign } = survey;
  const parts = [
    wide ? await branchTable(transactions) : await transactionTable(transactions),
    foreign.length === 0 ? '' : `Not of this log, hands off:\n${await foreignTable(foreign)}`,
  ];
  return parts.filter((part) => part !== '').join('\n');
}

function transactionTable(transactions: readonly TransactionView[]): Promise<string> {
  return table(
    [
      'TRANSACTION',
      'VERDICT',
      'AGE',
      'XID AGE',
      'BLOCKED',
      'BRANCHES',
      'OWNER',
      'COORDINATOR',
      'LABEL',
    ],
    transactions.map((one) => [
      one.transactionId,
      VERDICTS[one.verdict],
      one.branches.some(({ state }) => state === 'prepared') ? age(one.ageMs) : '',
      xidAge(oldest(one.branches)),
      String(one.blocked),
      one.branches.map(branchWord).join(' '),
      unique(one.branches.map(({ owner }) => owner)),
      one.coordinator?.name ?? one.coordinator?.epoch ?? '',
      one.label ?? '',
    ]),
  );
}

function branchTable(transactions: readonly TransactionView[]): Promise<string> {
  return table(
    [
      'TRANSACTION',
      'VERDICT',
      'PARTICIPANT',
      'STATE',
      'ROW',
      'AGE',
      'XID',
      'XID AGE',
      'BLOCKED',
      'OWNER',
      'COORDINATOR',
      'LABEL',
      'GID',
    ],
    transactions.flatMap((one) =>
      one.branches.map((branch) => [
        one.transactionId,
        VERDICTS[one.verdict],
        branch.participant,
        branch.state,
        branch.row ?? '',
        age(branch.ageMs),
        branch.xid ?? '',
        xidAge(branch),
        String(branch.blocked.length),
        branch.owner ?? '',
        one.coordinator?.name ?? one.coordinator?.epoch ?? '',
        one.label ?? '',
        branch.gid,
      ]),
    ),
  );
}

function foreignTable(foreign: readonly ForeignView[]): Promise<string> {
  return table(
    ['PARTICIPANT', 'ORIGIN', 'AGE', 'XID AGE', 'BLOCKED', 'OWNER', 'GID'],
    foreign.map((one) => [
      one.participant,
      one.origin.origin,
      age(one.ageMs),
      xidAge(one),
      String(one.blocked.length),
      one.owner ?? '(dropped)',
      [name(one.gid), decodedWords(one)].filter((word) => word !== '').join('  '),
    ]),
  );
}

export function decodedWords({ origin }: Pick<ForeignView, 'origin'>): string {
  return Object.entries(origin.decoded)
    .map(([key, value]) => `${key}=${name(value)}`)
    .join(' ');
}

/** The participant alone is a branch that is prepared there. */
function branchWord({ participant, state }: BranchView): string {
  return state === 'prepared' ? participant : `${participant}(${state})`;
}

function oldest(branches: readonly BranchView[]): Pick<BranchView, 'xidAge' | 'freezeLimit'> {
  return (
    [...branches].sort((a, b) => (b.xidAge ?? -1) - (a.xidAge ?? -1))[0] ?? {
      xidAge: undefined,
      freezeLimit: undefined,
    }
  );
}

function unique(values: readonly (string | undefined)[]): string {
  return [...new Set(values.filter((value) => value !== undefined))].join(',');
}
