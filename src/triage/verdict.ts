/**
 * The verdict on a transaction: what the rows of recovery's decision table say about its branches, in one
 * word. Pure; it decides nothing that the table does not.
 */
import { DECISION_TABLE } from '../recovery/decision-table.ts';
import type { Decision } from '../states.ts';
import type { BranchState, BranchView, Verdict } from './model.ts';

export interface VerdictFacts {
  readonly decision: Decision | undefined;
  readonly branches: readonly Pick<BranchView, 'state' | 'row' | 'participant'>[];
  /** Those that nobody has acknowledged. */
  readonly open: readonly { readonly kind: string; readonly participant: string }[];
  readonly isLogReachable: boolean;
}

export interface Judgement {
  readonly verdict: Verdict;
  readonly reason: string;
}

export function judge(facts: VerdictFacts): Judgement {
  const reason = facts.isLogReachable ? NO_TRACE : LOG_AWAY;
  return contradiction(facts) ?? hazard(facts) ?? ofTheLog(facts) ?? { verdict: 'unknown', reason };
}

const NO_TRACE = 'no decision is known, and no branch of it is left';
const LOG_AWAY = 'the decision log does not answer: what it decided is not known';

function contradiction({ decision, branches, open }: VerdictFacts): Judgement | undefined {
  const recorded = open.find(({ kind }) => kind !== 'hazard');
  if (recorded !== undefined) {
    const reason = `the branch on ${recorded.participant} has ended otherwise than the others (${recorded.kind})`;
    return { verdict: 'contradictory', reason };
  }
  if (decision === undefined) return undefined;
  const against: BranchState = decision === 'commit' ? 'rolled-back' : 'committed';
  const branch = branches.find(({ state }) => state === against);
  if (branch === undefined) return undefined;
  const ended = against === 'committed' ? 'committed' : 'rolled back';
  return {
    verdict: 'contradictory',
    reason: `the decision is ${decision}, and the branch on ${branch.participant} is ${ended}`,
  };
}

function hazard({ branches, open }: VerdictFacts): Judgement | undefined {
  const recorded = open.find(({ kind }) => kind === 'hazard');
  if (recorded !== undefined) {
    const reason = `nobody can tell how the branch on ${recorded.participant} has ended`;
    return { verdict: 'hazard', reason };
  }
  const rows = branches.map(({ row }) => row);
  if (rows.includes('I')) return { verdict: 'hazard', reason: whyOf('I') };
  if (rows.includes('J')) return { verdict: 'hazard', reason: whyOf('J') };
  if (rows.includes('K')) return { verdict: 'hazard', reason: whyOf('K') };
  return undefined;
}

function ofTheLog({ decision, branches, isLogReachable }: VerdictFacts): Judgement | undefined {
  if (!isLogReachable) return undefined;
  if (decision === 'commit') return { verdict: 'commit', reason: whyOf('D') };
  if (decision === 'abort') return { verdict: 'abort', reason: whyOf('E') };
  const row = branches.find((branch) => branch.row !== undefined)?.row;
  if (row === undefined) return undefined;
  return { verdict: row === 'F' ? 'undecided-live' : 'undecided-dead', reason: whyOf(row) };
}

function whyOf(letter: string): string {
  return DECISION_TABLE.find(({ row }) => row === letter)?.why ?? '';
}
