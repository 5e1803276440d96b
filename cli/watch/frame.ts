/** What the live view shows, as lines that fit. */
import truncate from 'fast-string-truncated-width';

import type { Survey, Verdict } from '../../src/index.ts';
import type { Style } from '../terminal.ts';
import { surveyText, VERDICTS } from '../triage/list-text.ts';
import { age, oneLine } from '../triage/text.ts';

export interface View {
  /** Undefined until the first one is there. */
  readonly survey: Survey | undefined;
  /** For how long the servers have been asked; negative until they are. */
  readonly askingMs: number;
  readonly intervalMs: number;
  readonly wide: boolean;
}

type Paint = (style: Style, text: string) => string;

const STYLES: Readonly<Record<Verdict, Style>> = {
  commit: 'green',
  abort: 'cyan',
  'undecided-live': 'dim',
  'undecided-dead': 'yellow',
  contradictory: ['bold', 'red'],
  hazard: ['bold', 'magenta'],
  unknown: 'magenta',
};

export async function frameOf(
  view: View,
  { columns, rows }: { readonly columns: number; readonly rows: number },
  paint: Paint,
): Promise<string[]> {
  const { survey, wide } = view;
  const head = [fit(titleOf(view), columns), ...missing(survey).map((line) => fit(line, columns))];
  const painted = head.map((line, at) => paint(at === 0 ? 'bold' : 'red', line));
  const body = survey === undefined ? [] : await bodyOf(survey, wide);
  const room = Math.max(0, rows - head.length - 1);
  const shown = body.length > room ? body.slice(0, Math.max(0, room - 1)) : body;
  const left = body.length - shown.length;
  const lines = shown.map((line) => colourVerdict(fit(line, columns), survey, paint));
  const more = left === 0 ? [] : [paint('dim', fit(`… ${left} more lines`, columns))];
  // A small terminal loses the hint before it loses what is in doubt.
  return [...painted, '', ...lines, ...more].slice(0, rows);
}

/** How much there is, in one line that is worth more than all the others. */
function titleOf({ survey, askingMs, intervalMs }: View): string {
  const asking = askingMs < 1_000 ? '' : `, asking for ${age(askingMs)}`;
  const keys = 'q quits, w wide, space looks now';
  if (survey === undefined) return `pgxa: looking${asking}   ${keys}`;
  const count = survey.transactions.length;
  const blocked = survey.transactions.reduce((sum, one) => sum + one.blocked, 0);
  const parts = [
    `${count} in doubt`,
    ...(blocked === 0 ? [] : [`${blocked} blocked`]),
    ...(survey.foreign.length === 0 ? [] : [`${survey.foreign.length} foreign`]),
    ...(survey.complete ? [] : ['PARTIAL']),
  ];
  const at = `${survey.takenAt.toISOString().slice(11, 19)}Z`;
  return `pgxa: ${parts.join(', ')}   ${at} every ${age(intervalMs)}${asking}   ${keys}`;
}

function missing(survey: Survey | undefined): string[] {
  if (survey === undefined) return [];
  const { log, participants } = survey;
  return [
    ...(log.status === 'reachable'
      ? []
      : [`the decision log does not answer: ${oneLine(log.error ?? '')}`]),
    ...participants
      .filter(({ status }) => status !== 'listed')
      .map(({ name, status, error }) => `${name} is ${status}: ${oneLine(error ?? '')}`),
  ];
}

async function bodyOf(survey: Survey, wide: boolean): Promise<string[]> {
  const text = await surveyText(survey, wide);
  if (text !== '') return text.trimEnd().split('\n');
  const names = survey.participants.filter(({ status }) => status === 'listed');
  return [`nothing is in doubt on ${names.map(({ name }) => name).join(', ') || '(nobody)'}`];
}

/** By columns of the terminal, not by letters: some letters take two. */
function fit(line: string, columns: number): string {
  const { index, ellipsed } = truncate(line, { limit: columns, ellipsis: '…' });
  return ellipsed ? `${line.slice(0, index)}…` : line.slice(0, index);
}

/** The verdict behind the id, which is of one length always. */
function colourVerdict(line: string, survey: Survey | undefined, paint: Paint): string {
  const of = survey?.transactions.find(({ transactionId }) => line.startsWith(transactionId));
  if (of === undefined) return line;
  const words = VERDICTS[of.verdict];
  const at = of.transactionId.length + 2;
  if (!line.startsWith(words, at)) return line;
  const end = at + words.length;
  return line.slice(0, at) + paint(STYLES[of.verdict], line.slice(at, end)) + line.slice(end);
}
