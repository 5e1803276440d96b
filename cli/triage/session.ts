import { hostname, userInfo } from 'node:os';

import { openTriage, type Survey, type Triage } from '../../src/index.ts';
import { daemonConfigOf, loadConfigFile, tellWarnings } from '../config-file.ts';
import { ConfigFileError } from '../config/problem.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { VerbContext } from '../program.ts';
import { millisecondsOf } from '../seconds.ts';
import type { Terminal } from '../terminal.ts';
import type { Format } from './output.ts';
import { oneLine } from './text.ts';

/** Options that every verb of triage has. */
export interface CommonOptions {
  readonly output: Format;
  /** Seconds. */
  readonly timeout?: number;
}

export interface Session {
  readonly triage: Triage;
  readonly terminal: Terminal;
  readonly output: Format;
  /** For everything that a server has said. */
  readonly redact: (text: string) => string;
  /** Of the configuration file. */
  readonly warnings: readonly string[];
}

/** Opens what the configuration describes for one verb, and closes it whatever happens. */
export async function withTriage(
  context: VerbContext,
  options: CommonOptions,
  purpose: 'monitor' | 'operator',
  work: (session: Session) => Promise<ExitCode>,
): Promise<ExitCode> {
  const session = openSession(context, options, purpose);
  tellWarnings(session, session.terminal);
  try {
    return await work(session);
  } finally {
    await session.triage.close();
  }
}

/**
 * Opens what the configuration describes; whoever opens it closes its triage.
 *
 * @param chosen names of the participants to look at; default all of them.
 */
export function openSession(
  { terminal, configPath }: VerbContext,
  { output, timeout }: CommonOptions,
  purpose: 'monitor' | 'operator',
  chosen?: readonly string[],
): Session {
  const file = loadConfigFile(configPath, terminal);
  const config = daemonConfigOf(file);
  const limitMs = timeout === undefined ? undefined : millisecondsOf(timeout);
  const triage = openTriage({
    ...config,
    participants: onlyThese(config.participants, chosen),
    name: 'cli',
    actor: actor(),
    purpose,
    ...(limitMs === undefined
      ? {}
      : {
          answerTimeoutMs: limitMs,
          connectTimeoutMs: Math.min(limitMs, config.connectTimeoutMs ?? limitMs),
        }),
  });
  const redact = (text: string): string => file.redactor.redact(text);
  return { triage, terminal, output, redact, warnings: file.warnings };
}

function onlyThese<T>(
  all: Readonly<Record<string, T>>,
  chosen: readonly string[] | undefined,
): Readonly<Record<string, T>> {
  if (chosen === undefined) return all;
  return Object.fromEntries(
    chosen.map((name) => {
      const place = Object.hasOwn(all, name) ? all[name] : undefined;
      if (place !== undefined) return [name, place];
      const known = Object.keys(all).join(', ');
      throw new ConfigFileError(undefined, [
        { path: [], message: `no participant is called ${JSON.stringify(name)} (known: ${known})` },
      ]);
    }),
  );
}

/** Who the audit will name. */
function actor(): string {
  try {
    return `${userInfo().username}@${hostname()}`;
  } catch {
    // A uid without a name, as containers have them.
    return `uid ${process.getuid?.() ?? '?'}@${hostname()}`;
  }
}

/** The same data with the secrets hidden, wherever a server may have repeated one. */
export function redactedData<T>(data: T, redact: (text: string) => string): T {
  const hide = (value: unknown): unknown => {
    if (typeof value === 'string') return redact(value);
    if (Array.isArray(value)) return value.map(hide);
    if (typeof value !== 'object' || value === null || value instanceof Date) return value;
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, hide(one)]));
  };
  return hide(data) as T;
}

/** The survey with the secrets hidden that a server may have repeated in an error. */
export function redacted(survey: Survey, redact: (text: string) => string): Survey {
  const hide = (text: string | undefined): string | undefined =>
    text === undefined ? undefined : redact(text);
  return {
    ...survey,
    log: { ...survey.log, error: hide(survey.log.error) },
    participants: survey.participants.map((one) => ({
      ...one,
      error: hide(one.error),
      inspectionError: hide(one.inspectionError),
    })),
  };
}

/** Says on stderr what is missing in an answer. */
export function warnPartial({ log, participants }: Survey, terminal: Terminal): void {
  const say = (text: string): void => {
    terminal.stderr.write(`pgxa: ${oneLine(text, 400)}\n`);
  };
  if (log.status !== 'reachable') say(`partial: the decision log: ${log.error ?? 'no answer'}`);
  for (const { name, status, error, inspectionError } of participants) {
    if (status !== 'listed') say(`partial: participant ${name} is ${status}: ${error ?? ''}`);
    else if (inspectionError !== undefined) {
      say(`who is blocked on ${name} is not known: ${inspectionError}`);
    }
  }
}

export function codeOf({ complete }: Pick<Survey, 'complete'>): ExitCode {
  return complete ? EXIT.fine : EXIT.partial;
}
