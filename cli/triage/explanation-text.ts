import type { BlockedSession, BranchDetail, Explanation, ForeignView } from '../../src/index.ts';
import { decodedWords, VERDICTS } from './list-text.ts';
import { table } from './output.ts';
import { age, name, oneLine, xidAge } from './text.ts';

/** The words alone: what it is, why, what follows, what to do. */
export function explanationText(explanation: Explanation): string {
  const { transaction, foreign, reason, consequence, recovery, command } = explanation;
  const title =
    transaction === undefined
      ? `Prepared transaction ${name(foreign?.gid ?? '')} on ${foreign?.participant ?? ''}`
      : `Transaction ${transaction.transactionId}${labelOf(transaction.label)}`;
  const verdict = transaction === undefined ? 'foreign' : VERDICTS[transaction.verdict];
  const lines = [
    title,
    '',
    `Verdict:      ${verdict}`,
    `Reason:       ${oneLine(reason, 2_000)}`,
    `Consequence:  ${oneLine(consequence, 2_000)}`,
    `Recovery:     ${oneLine(recovery, 2_000)}`,
    `Safe command: ${command === undefined ? 'none' : command}`,
  ];
  return `${lines.join('\n')}\n`;
}

function labelOf(label: string | undefined): string {
  return label === undefined ? '' : ` (${name(label)})`;
}

/** Everything: the words, and the facts behind them. */
export async function showText(explanation: Explanation): Promise<string> {
  const { transaction, foreign } = explanation;
  const parts = [explanationText(explanation)];
  if (transaction !== undefined) {
    parts.push(await branchesText(explanation));
    parts.push(await attemptsText(explanation));
    parts.push(coordinatorText(explanation));
    parts.push(await heuristicsText(explanation));
    for (const branch of transaction.branches) {
      parts.push(await blockedText(branch.participant, branch.blocked));
    }
  }
  if (foreign !== undefined) parts.push(foreignText(foreign));
  if (foreign !== undefined) parts.push(await blockedText(foreign.participant, foreign.blocked));
  for (const detail of explanation.details) parts.push(await detailText(detail));
  return parts.filter((part) => part !== '').join('\n');
}

async function branchesText({ transaction }: Explanation): Promise<string> {
  const rows = (transaction?.branches ?? []).map((branch) => [
    branch.participant,
    String(branch.branch),
    branch.state,
    branch.row === undefined ? '' : `${branch.row}: ${branch.why ?? ''}`,
    age(branch.ageMs),
    branch.xid ?? '',
    xidAge(branch),
    branch.owner ?? '',
    branch.server === undefined
      ? ''
      : `${branch.server.systemIdentifier}/${branch.server.timeline}`,
    branch.gid,
  ]);
  const head = [
    'PARTICIPANT',
    'NO',
    'STATE',
    'RECOVERY SEES',
    'AGE',
    'XID',
    'XID AGE',
    'OWNER',
    'SYSTEM/TIMELINE',
    'GID',
  ];
  return rows.length === 0 ? '' : `Branches:\n${await table(head, rows)}`;
}

/** What recovery has met when it tried last, and when it tries again. */
async function attemptsText({ transaction }: Explanation): Promise<string> {
  const rows = (transaction?.branches ?? []).flatMap(({ participant, attempt }) =>
    attempt === undefined
      ? []
      : [
          [
            participant,
            attempt.daemon,
            String(attempt.attempts),
            `${age(Math.max(0, attempt.failedAgoMs))} ago`,
            attempt.nextInMs > 0 ? `in ${age(attempt.nextInMs)}` : 'due',
            attempt.error,
          ],
        ],
  );
  const head = ['PARTICIPANT', 'DAEMON', 'FAILED', 'LAST', 'NEXT', 'ERROR'];
  return rows.length === 0 ? '' : `Attempts of recovery:\n${await table(head, rows)}`;
}

function coordinatorText({ transaction }: Explanation): string {
  const lines: string[] = [];
  const coordinator = transaction?.coordinator;
  if (coordinator !== undefined) {
    const { name: who, host, pid, state, epoch, heartbeatAgeMs } = coordinator;
    const where = host === undefined ? '' : ` on ${name(host)} pid ${pid ?? '?'}`;
    const beat = heartbeatAgeMs === undefined ? '' : `, last heartbeat ${age(heartbeatAgeMs)} ago`;
    lines.push(`Coordinator: ${name(who ?? '(unknown)')}${where}, epoch ${epoch}: ${state}${beat}`);
  }
  if (transaction !== undefined) lines.push(`Began:       ${transaction.beganAt.toISOString()}`);
  const decision = transaction?.decision;
  if (decision !== undefined) {
    const at = decision.decidedAt.toISOString();
    lines.push(`Decision:    ${decision.decision}, by ${decision.decidedBy}, at ${at}`);
  }
  return `${lines.join('\n')}\n`;
}

async function heuristicsText({ transaction }: Explanation): Promise<string> {
  const rows = (transaction?.heuristics ?? []).map((one) => [
    one.participant,
    one.kind,
    one.decision,
    one.foundBy,
    one.foundAt.toISOString(),
    one.acknowledged === undefined ? 'no' : `by ${one.acknowledged.by}`,
    one.evidence,
  ]);
  const head = ['PARTICIPANT', 'KIND', 'DECISION', 'FOUND BY', 'AT', 'ACKNOWLEDGED', 'EVIDENCE'];
  return rows.length === 0 ? '' : `Heuristic outcomes:\n${await table(head, rows)}`;
}

async function blockedText(
  participant: string,
  blocked: readonly BlockedSession[],
): Promise<string> {
  if (blocked.length === 0) return '';
  const rows = blocked.map((session) => [
    `${'  '.repeat(session.depth - 1)}${session.pid}`,
    age(session.waitMs),
    [session.user, session.application, session.client].filter(Boolean).join(' '),
    session.waitsFor,
    session.blockedBy.map((pid) => (pid === 0 ? 'a prepared transaction' : String(pid))).join(', '),
    session.query === undefined ? '(not to be seen by this role)' : oneLine(session.query, 120),
  ]);
  const head = ['PID', 'WAITS', 'WHO', 'FOR', 'BEHIND', 'QUERY'];
  return `Sessions blocked on ${participant}:\n${await table(head, rows)}`;
}

async function detailText({ participant, locks, rows, error }: BranchDetail): Promise<string> {
  if (error !== undefined) return `Locks on ${participant} are not known: ${oneLine(error)}\n`;
  const parts: string[] = [];
  if (locks.length > 0) {
    const drawn = await table(
      ['KIND', 'OBJECT', 'MODE', 'COUNT'],
      locks.map(({ kind, object, mode, count }) => [kind, object, mode, String(count)]),
    );
    parts.push(`Locks held on ${participant}:\n${drawn}`);
  }
  for (const touched of rows) {
    const more = touched.hasMore ? ', …' : '';
    const what =
      touched.error ??
      (touched.rows.length === 0
        ? 'none that can be seen (inserted rows cannot)'
        : `${touched.rows.map((row) => oneLine(row)).join(', ')}${more}`);
    parts.push(`Rows updated, deleted or locked in ${oneLine(touched.relation)}: ${what}\n`);
  }
  return parts.join('');
}

function foreignText(foreign: ForeignView): string {
  const decoded = decodedWords(foreign);
  const lines = [
    `Origin:      ${foreign.origin.origin}`,
    ...(decoded === '' ? [] : [`Name says:   ${decoded}`]),
    `Prepared:    ${age(foreign.ageMs)} ago by ${name(foreign.owner ?? '(dropped role)')}, xid ${foreign.xid}`,
  ];
  return `${lines.join('\n')}\n`;
}
