/**
 * Reads just enough of an SQL text to know whether it tries to control the transaction, and what it
 * may leave behind in the session. ORMs send their own BEGIN/COMMIT on the client that they are
 * handed; unseen, those would commit a branch behind the coordinator's back.
 *
 * Lexical rules: https://www.postgresql.org/docs/current/sql-syntax-lexical.html. What a lexer
 * cannot see (functions, standard_conforming_strings = off) is caught by the status byte after
 * every statement and by the command tag of the vote.
 */
export type StatementControl =
  | { readonly kind: 'none' }
  | {
      readonly kind: 'begin';
      readonly isolation: string | undefined;
      readonly access: string | undefined;
    }
  | { readonly kind: 'commit' }
  | { readonly kind: 'rollback' }
  /** PREPARE TRANSACTION and its kin, AND CHAIN, or transaction control amid several statements. */
  | { readonly kind: 'refused'; readonly command: string };

export interface StatementScan {
  readonly control: StatementControl;
  /** How many statements the text holds. */
  readonly statements: number;
  /** Something outlives the transaction in the session (SET, PREPARE, temporary objects …). */
  readonly leavesSessionState: boolean;
  /**
   * Effects that assign no transaction id and are still not "read only": LISTEN, NOTIFY, and changes
   * that the command tag does not tell (they may be those of a foreign table).
   */
  readonly notifies: boolean;
}

const SCANS_MAX = 2_000;
const scans = new Map<string, StatementScan>();

/** Scans `text`; remembers the answer, since programs repeat few texts often. */
export function scanStatement(text: string): StatementScan {
  const known = scans.get(text);
  if (known !== undefined) return known;
  const scan = scanAfresh(text);
  if (text.length <= 4_096) {
    if (scans.size >= SCANS_MAX) scans.clear();
    scans.set(text, scan);
  }
  return scan;
}

/** Anywhere in the text, also where it means nothing: at worst a connection is replaced in vain. */
const SESSION_STATE =
  /\bset_config\b|\btemp(orary)?\b|\bpg_temp(_\d+)?\b|\bupdate\s+(pg_catalog\.)?pg_settings\b/i;
/** The same: at worst a branch that only read is prepared. */
const NOTIFICATION = /\b(notify|pg_notify|listen|unlisten)\b/i;

function scanAfresh(text: string): StatementScan {
  const statements = splitStatements(text);
  const controls = statements.map(controlOf);
  const only = statements.length === 1 ? controls[0] : undefined;
  const offender = controls.find((control) => control.kind !== 'none');
  return {
    control: only ?? refusedAmong(offender, statements.length),
    statements: statements.length,
    leavesSessionState: SESSION_STATE.test(text) || statements.some(leavesSessionState),
    notifies:
      NOTIFICATION.test(text) || statements.some(([first = '']) => mayHideChanges(first, text)),
  };
}

function refusedAmong(offender: StatementControl | undefined, count: number): StatementControl {
  if (offender === undefined || offender.kind === 'none') return { kind: 'none' };
  const command = offender.kind === 'refused' ? offender.command : offender.kind.toUpperCase();
  return { kind: 'refused', command: `${command} in a text of ${count} statements` };
}

function controlOf(words: readonly string[]): StatementControl {
  const [first, second] = words;
  switch (first) {
    case 'BEGIN':
      return beginOf(words);
    case 'START':
      return second === 'TRANSACTION' ? beginOf(words) : { kind: 'none' };
    case 'COMMIT':
    case 'END':
    case 'ROLLBACK':
    case 'ABORT':
      return endOf(first, words);
    case 'PREPARE':
      return second === 'TRANSACTION'
        ? { kind: 'refused', command: 'PREPARE TRANSACTION' }
        : { kind: 'none' };
    default:
      return { kind: 'none' };
  }
}

function beginOf(words: readonly string[]): StatementControl {
  const rest = words.join(' ');
  const isolation = /ISOLATION LEVEL (SERIALIZABLE|REPEATABLE READ|READ (?:UN)?COMMITTED)/.exec(
    rest,
  );
  const access = /\bREAD (ONLY|WRITE)\b/.exec(rest);
  return { kind: 'begin', isolation: isolation?.[1], access: access?.[0] };
}

function endOf(first: string, words: readonly string[]): StatementControl {
  if (words[1] === 'PREPARED') return { kind: 'refused', command: `${first} PREPARED` };
  if (first === 'ROLLBACK' && words.includes('TO')) return { kind: 'none' };
  if (words.includes('CHAIN') && !words.includes('NO')) {
    return { kind: 'refused', command: `${first} AND CHAIN` };
  }
  return { kind: first === 'COMMIT' || first === 'END' ? 'commit' : 'rollback' };
}

/** DEALLOCATE takes something away, and perhaps what pgxa has left there. */
const STATE_COMMANDS = ['RESET', 'LISTEN', 'UNLISTEN', 'LOAD', 'PREPARE', 'DEALLOCATE', 'DISCARD'];

function leavesSessionState(words: readonly string[]): boolean {
  const [first = '', second = ''] = words;
  if (first === 'SET') return !['LOCAL', 'TRANSACTION', 'CONSTRAINTS'].includes(second);
  if (first === 'DECLARE') return words.includes('HOLD');
  return STATE_COMMANDS.includes(first);
}

/** Statements that can change rows and answer with another tag than INSERT, UPDATE, DELETE or MERGE. */
function mayHideChanges(first: string, text: string): boolean {
  if (first === 'WITH' || first === 'EXPLAIN')
    return /\b(insert|update|delete|merge)\b/i.test(text);
  return first === 'DO' || first === 'CALL' || first === 'EXECUTE';
}

/** As many words as the longest BEGIN has, with room for comments' sake. */
const WORDS_MAX = 16;

/** The leading words, upper case, of every non-empty statement in `text`. */
function splitStatements(text: string): string[][] {
  const statements: string[][] = [];
  let words: string[] = [];
  let empty = true;
  // CREATE FUNCTION … BEGIN ATOMIC … END (PostgreSQL 14) holds semicolons of its own.
  let atomicDepth = 0;
  let previousWord = '';
  const end = (): void => {
    if (!empty) statements.push(words);
    words = [];
    empty = true;
    atomicDepth = 0;
    previousWord = '';
  };
  for (const token of tokens(text)) {
    if (token === ';') {
      if (atomicDepth === 0) end();
      continue;
    }
    empty = false;
    if (token === '') continue;
    if (words.length < WORDS_MAX) words.push(token);
    if (words[0] === 'CREATE') {
      if (token === 'ATOMIC' && previousWord === 'BEGIN') atomicDepth += 1;
      else if (atomicDepth > 0 && token === 'CASE') atomicDepth += 1;
      else if (atomicDepth > 0 && token === 'END') atomicDepth -= 1;
    }
    previousWord = token;
  }
  end();
  return statements;
}

/** Words in upper case, `;`, and '' for any other token; comments and white space are left out. */
function* tokens(text: string): Generator<string> {
  let at = 0;
  while (at < text.length) {
    const skipped = skipBlank(text, at);
    if (skipped > at) {
      at = skipped;
      continue;
    }
    const word = /[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*/y;
    word.lastIndex = at;
    const match = word.exec(text);
    if (match !== null) {
      const escapes = /^e$/i.test(match[0]) && text[word.lastIndex] === "'";
      at = escapes ? endOfString(text, word.lastIndex, true) : word.lastIndex;
      yield escapes ? '' : match[0].toUpperCase();
      continue;
    }
    const character = text.charAt(at);
    at = endOfToken(text, at, character);
    yield character === ';' ? ';' : '';
  }
}

function skipBlank(text: string, at: number): number {
  // Not \s: what is blank beyond ASCII for JavaScript is a letter of an identifier for PostgreSQL.
  if (/[ \t\n\r\f\v]/.test(text.charAt(at))) return at + 1;
  if (text.startsWith('--', at)) {
    const newline = text.slice(at).search(/[\r\n]/);
    return newline === -1 ? text.length : at + newline + 1;
  }
  if (!text.startsWith('/*', at)) return at;
  let depth = 0;
  for (let cursor = at; cursor < text.length;) {
    if (text.startsWith('/*', cursor)) {
      depth += 1;
      cursor += 2;
    } else if (text.startsWith('*/', cursor)) {
      depth -= 1;
      cursor += 2;
      if (depth === 0) return cursor;
    } else {
      cursor += 1;
    }
  }
  return text.length;
}

function endOfToken(text: string, at: number, character: string): number {
  if (character === "'") return endOfString(text, at, false);
  if (character === '"') {
    const closing = text.indexOf('"', at + 1);
    return closing === -1 ? text.length : closing + 1;
  }
  if (character === '$') {
    const tag = /\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/y;
    tag.lastIndex = at;
    const opening = tag.exec(text);
    if (opening !== null) {
      const closing = text.indexOf(opening[0], tag.lastIndex);
      return closing === -1 ? text.length : closing + opening[0].length;
    }
  }
  return at + 1;
}

/** The position behind the string that opens at `at`; a doubled quote is read as two strings. */
function endOfString(text: string, at: number, escapes: boolean): number {
  for (let cursor = at + 1; cursor < text.length; cursor += 1) {
    if (escapes && text[cursor] === '\\') cursor += 1;
    else if (text[cursor] === "'") {
      // In an E'' string a doubled quote must not end the escape rules.
      if (escapes && text[cursor + 1] === "'") cursor += 1;
      else if (!escapes) return cursor + 1;
      else {
        // A string that goes on in a later line keeps the escape rules of its beginning.
        CONTINUATION.lastIndex = cursor + 1;
        if (!CONTINUATION.test(text)) return cursor + 1;
        cursor = CONTINUATION.lastIndex - 1;
      }
    }
  }
  return text.length;
}

/** White space with at least one line break, and line comments, up to the quote that goes on. */
const CONTINUATION =
  /(?:[ \t\f\v]|--[^\r\n]*(?=[\r\n]))*[\r\n](?:[ \t\f\v\r\n]|--[^\r\n]*[\r\n])*'/y;
