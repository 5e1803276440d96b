/**
 * The finite set of statements that pgxa sends. Each is recognised by its text, and where a guard is a clause of
 * it, by whether the clause is there. An unknown statement is an error of the simulation, and a loud one.
 */
import type { WireStatement, WireUnit } from '../wire.ts';
import type { Answer } from './replies.ts';
import type { Session } from './session.ts';
import type { EndOfXact } from './session-xact.ts';
import { LOG_STATEMENTS } from './log-statements.ts';
import { PARTICIPANT_STATEMENTS } from './participant-statements.ts';
import { XACT_STATEMENTS } from './xact-statements.ts';

export interface Statement {
  readonly kind: string;
  /** Runs also in a failed transaction. */
  readonly endsFailed: boolean;
  readonly run: (session: Session, wire: WireStatement) => Answer | EndOfXact;
}

export interface StatementPattern {
  readonly kind: string;
  readonly matches: (text: string) => boolean;
  readonly endsFailed?: boolean;
  /** Called once for each text. */
  readonly make: (text: string) => Statement['run'];
  /** The text differs every time: it is not remembered. */
  readonly oneOff?: boolean;
}

const PATTERNS: readonly StatementPattern[] = [
  ...XACT_STATEMENTS,
  ...PARTICIPANT_STATEMENTS,
  ...LOG_STATEMENTS,
];

const ONE_OFF = PATTERNS.filter(({ oneOff }) => oneOff === true);
const LASTING = PATTERNS.filter(({ oneOff }) => oneOff !== true);

const known = new Map<string, Statement>();
let misunderstood: Error | undefined;

/** Whoever sent it may take the error for one of the server, and try again for ever: this one is not to be caught. */
export function assertAllUnderstood(): void {
  if (misunderstood !== undefined) throw misunderstood;
}

export function meaningOf(wire: WireStatement): Statement {
  return (wire.meaning ??= statementOf(wire.text));
}

export function statementOf(text: string): Statement {
  const found = known.get(text);
  if (found !== undefined) return found;
  const oneOff = ONE_OFF.find(({ matches }) => matches(text));
  if (oneOff !== undefined) return statement(oneOff, text);
  const matching = LASTING.filter(({ matches }) => matches(text));
  const [pattern] = matching;
  if (pattern === undefined || matching.length > 1) {
    misunderstood ??= new Error(
      `the simulated server knows ${matching.length} meanings of: ${text}`,
    );
    throw misunderstood;
  }
  const made = statement(pattern, text);
  known.set(text, made);
  return made;
}

function statement({ kind, endsFailed = false, make }: StatementPattern, text: string): Statement {
  return { kind, endsFailed, run: make(text) };
}

/** Texts of a kind that were seen so far: what pgxa really sends, also where src does not export it. */
export function textsOf(kind: string): string[] {
  return [...known].flatMap(([text, statement]) => (statement.kind === kind ? [text] : []));
}

/** What accompanies other statements, and does not tell what a unit is for. */
const ACCOMPANY = new Set([
  'nothing',
  'unlock',
  'look',
  'before-prepare',
  'before-commit',
  'constraints',
  'probe',
  'pooled-probe',
  'limits',
  'begin',
]);

/** The kind of the statement for whose sake a unit is sent. */
export function kindOfUnit({ statements }: WireUnit): string {
  let kind = 'nothing';
  for (const wire of statements) {
    const { kind: one } = meaningOf(wire);
    if (ACCOMPANY.has(kind)) kind = one;
  }
  return kind;
}
