/** Whether an operator may force an outcome, and what stands against it. Pure: from what was surveyed. */
import type { Decision } from '../states.ts';
import type { Found } from './find.ts';

export interface Assessment {
  /**
   * `decide`: through the register, for all branches. `branches`: branch by branch, because the register holds
   * another decision, or is shut. `as-decided`: it is what the log decided anyway. `refused`: never.
   */
  readonly way: 'decide' | 'branches' | 'as-decided' | 'refused';
  /** Why it is refused without `--override`; for `refused`, in any case. */
  readonly objections: readonly string[];
  /** What to know, and no reason to refuse. */
  readonly notes: readonly string[];
}

export function assess({ survey, transaction, foreign }: Found, wanted: Decision): Assessment {
  const refused = (why: string): Assessment => ({ way: 'refused', objections: [why], notes: [] });
  if (survey.log.status !== 'reachable') {
    return refused(
      'the decision log does not answer: what it decided is not known, and nothing could be recorded',
    );
  }
  if (transaction === undefined || foreign !== undefined) {
    return refused('it was not prepared through this decision log: pgxa never touches it');
  }
  const { branches, decision, coordinator } = transaction;
  const prepared = branches.filter(({ state }) => state === 'prepared');
  const objections = survey.participants
    .filter(({ status }) => status !== 'listed')
    .map(
      ({ name, status }) =>
        `participant ${name} is ${status}: it may hold a branch that is not shown here`,
    );
  if (prepared.length === 0) {
    const missing =
      objections.length === 0 ? '' : ` on those that were listed (${objections.join('; ')})`;
    return refused(`nothing of it is prepared any more${missing}: there is nothing to force`);
  }
  if (decision?.decision === wanted) return { way: 'as-decided', objections: [], notes: [] };
  if (decision !== undefined) {
    objections.push(
      `the log decided ${decision.decision} at ${decision.decidedAt.toISOString()}: branches that have ` +
        'ended so already stay so, and the transaction breaks apart',
    );
    return { way: 'branches', objections, notes: [] };
  }
  if (coordinator?.state === 'live') {
    objections.push(
      `its coordinator (${coordinator.name ?? coordinator.epoch}) is alive and may be about to decide` +
        (wanted === 'commit' ? ': it will be retired, and everything it has in flight aborts' : ''),
    );
  }
  const rows = prepared.map(({ row }) => row);
  if (rows.includes('I')) {
    objections.push(
      'the log does not know its epoch: was the log restored from a backup? It may be decided elsewhere',
    );
  }
  if (rows.includes('J')) {
    objections.push(
      'it is older than the memory of the log: it may have been decided, and the register is shut for it',
    );
    return { way: 'branches', objections, notes: [] };
  }
  if (rows.includes('K')) {
    objections.push(
      `by its id it begins at ${transaction.beganAt.toISOString()}: the log can hold no decision about it, so its ` +
        'branches are ended one by one. Was the clock of the machine that began it wrong? Its program was told ' +
        'that it is rolled back, unless it has died',
    );
    return { way: 'branches', objections, notes: [] };
  }
  return { way: 'decide', objections, notes: notesOn(prepared, wanted) };
}

/** The coordinator writes it with its own decision, and nowhere before. */
const KEY_IS_LOST =
  'its idempotency key, if it had one, is known to its program alone, and is not kept if you commit unless that ' +
  'program lives to see it: whoever runs it again under that key does it twice';

/** Branches are numbered from 1: a hole may be a branch that only read, or one that never voted. */
function notesOn(prepared: readonly { readonly branch: number }[], wanted: Decision): string[] {
  const ordinals = new Set(prepared.map(({ branch }) => branch));
  const highest = Math.max(...ordinals);
  const holes = Array.from({ length: highest }, (_, at) => at + 1).filter(
    (no) => !ordinals.has(no),
  );
  if (wanted === 'abort') return [];
  const more = 'a branch that never voted cannot be seen, and is lost if you commit';
  const hole = `no branch numbered ${holes.join(', ')} is prepared: it only read, or it has not voted; `;
  return [`${holes.length === 0 ? '' : hole}${more}`, KEY_IS_LOST];
}
