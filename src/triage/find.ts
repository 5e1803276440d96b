import { MisuseError } from '../errors.ts';
import { parseGid } from '../participant/gid.ts';
import type { ForeignView, Survey, TransactionView } from './model.ts';

export interface Found {
  readonly survey: Survey;
  readonly transaction: TransactionView | undefined;
  readonly foreign: ForeignView | undefined;
}

/**
 * What an operator means by an id: a transaction id with or without hyphens, a gid, or the beginning of one
 * of them that fits one transaction only.
 *
 * @throws MisuseError with code `PGXA_INVALID_ARGUMENT` when nothing fits, or more than one.
 */
export async function find(
  id: string,
  take: (about: string | undefined) => Promise<Survey>,
): Promise<Found> {
  if (id.trim() === '') {
    throw new MisuseError(
      'PGXA_INVALID_ARGUMENT',
      'expected a transaction id, a gid, or the beginning of one; got an empty text ("pgxa list" shows them)',
    );
  }
  const survey = await take(hexPrefixOf(id));
  const transactions = survey.transactions.filter((one) => fits(one, id));
  const exact = survey.foreign.filter(({ gid }) => gid === id);
  const foreign =
    exact.length > 0 ? exact : survey.foreign.filter(({ gid }) => id !== '' && gid.startsWith(id));
  const names = [
    ...transactions.map(({ transactionId }) => transactionId),
    ...foreign.map(({ gid, participant }) => `${quoted(gid)} on ${participant}`),
  ];
  if (names.length === 1) return { survey, transaction: transactions[0], foreign: foreign[0] };
  const shown = quoted(id);
  if (names.length === 0) {
    const missing = survey.complete ? '' : ` on what could be looked at (${missingOf(survey)})`;
    throw new MisuseError(
      'PGXA_INVALID_ARGUMENT',
      `nothing is called ${shown}${missing}: it is neither in doubt nor decided in this log. ${hintOn(id)}`,
    );
  }
  throw new MisuseError(
    'PGXA_INVALID_ARGUMENT',
    `${shown} fits ${names.length}: ${names.slice(0, 10).join(', ')}${names.length > 10 ? ' …' : ''}`,
  );
}

function hintOn(id: string): string {
  if (/^[0-9a-f]{1,3}$/i.test(id)) {
    return `Of a transaction id at least ${DIGITS_MIN} digits are needed`;
  }
  return '"pgxa list" shows what is in doubt, "pgxa history" what was decided';
}

/** Fewer digits than these fit transactions of many minutes. */
const DIGITS_MIN = 4;

/** The beginning of a transaction id as hexadecimal digits; undefined if it can be none. */
function hexPrefixOf(id: string): string | undefined {
  const whole = parseGid(id)?.transactionId ?? id;
  const hex = whole.replaceAll('-', '').toLowerCase();
  return /^[0-9a-f]+$/.test(hex) && hex.length >= DIGITS_MIN && hex.length <= 32 ? hex : undefined;
}

function fits({ transactionId, branches }: TransactionView, id: string): boolean {
  const hex = hexPrefixOf(id);
  if (hex !== undefined && transactionId.replaceAll('-', '').startsWith(hex)) return true;
  return id !== '' && branches.some(({ gid }) => gid !== '' && gid.startsWith(id));
}

const STATUS_WORDS: Readonly<Record<string, string>> = {
  standby: 'a standby, which lists nothing',
  'other-server': 'another server than the registered one',
};

function missingOf({ participants, log: { status } }: Survey): string {
  const silent = participants
    .filter((one) => one.status !== 'listed')
    .map((one) => `${one.name} is ${STATUS_WORDS[one.status] ?? one.status}`);
  const log = status === 'reachable' ? [] : ['the decision log does not answer'];
  return [...silent, ...log].join(', ');
}

/** A name may hold what a terminal acts on: such an error is printed. */
function quoted(text: string): string {
  return JSON.stringify(text).replace(
    /[^\x20-\x7e]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
