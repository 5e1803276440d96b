import { fstatSync } from 'node:fs';
import { pino, stdTimeFunctions, type Logger } from 'pino';

import type { LogLevel } from '../config/schema.ts';
import { paint, type Style, type Terminal } from '../terminal.ts';

export type { Logger } from 'pino';

/** What journald knows levels by, in front of the line: sd-daemon(3). */
const SYSLOG: Readonly<Record<string, number>> = {
  fatal: 2,
  error: 3,
  warn: 4,
  info: 6,
  debug: 7,
  trace: 7,
};
const STYLES: Readonly<Record<string, Style>> = { fatal: 'red', error: 'red', warn: 'yellow' };

export interface LogOptions {
  readonly terminal: Terminal;
  readonly level: LogLevel;
  /** Applied to every text in every line. */
  readonly redact: (text: string) => string;
}

/** One JSON object per line; for people where a person looks, with priorities where journald listens. */
export function createLog({ terminal, level, redact }: LogOptions): Logger {
  const { stdout, env } = terminal;
  const isTerminal = (stdout as Partial<NodeJS.WriteStream>).isTTY === true;
  const isJournal = !isTerminal && writesToJournal(stdout, env);
  const style = paint(stdout, env);
  return pino(
    {
      level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: {
        level: (label) => ({ level: label }),
        log: (fields) => redactAll(fields, redact) as Record<string, unknown>,
      },
      // It is a plain object by then.
      serializers: { err: (error: unknown) => error },
      hooks: {
        logMethod(args, method) {
          const [first, ...rest] = args.map((arg: unknown) =>
            typeof arg === 'string' ? redact(arg) : arg,
          );
          method.apply(this, [first as string, ...(rest as [])]);
        },
      },
    },
    {
      write: (line: string) => {
        if (isTerminal) stdout.write(forPeople(line, style));
        else stdout.write(isJournal ? `<${syslogLevel(line)}>${line}` : line);
      },
    },
  );
}

/** systemd names the stream's device and inode, since the variable is inherited by everything below. */
function writesToJournal(stdout: NodeJS.WritableStream, env: NodeJS.ProcessEnv): boolean {
  const { fd } = stdout as { fd?: number };
  if (fd === undefined || env['JOURNAL_STREAM'] === undefined) return false;
  const { dev, ino } = fstatSync(fd);
  return env['JOURNAL_STREAM'] === `${dev}:${ino}`;
}

function syslogLevel(line: string): number {
  const level = /^\{"level":"([a-z]+)"/.exec(line)?.[1];
  return SYSLOG[level ?? 'info'] ?? 6;
}

function forPeople(line: string, style: (style: Style, text: string) => string): string {
  const { level, time, msg, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const details = Object.entries(fields)
    .map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join(' ');
  const name = String(level);
  const shown = STYLES[name] === undefined ? name : style(STYLES[name], name);
  return `${String(time).slice(11, 23)} ${shown} ${String(msg)} ${style('dim', details)}\n`;
}

const DEEPEST = 6;

/** Errors become plain objects here: their stacks, causes and codes, and nothing else that hangs on them. */
function redactAll(value: unknown, redact: (text: string) => string, depth = 0): unknown {
  if (typeof value === 'string') return redact(value);
  if (typeof value !== 'object' || value === null || value instanceof Date) return value;
  if (depth >= DEEPEST) return undefined;
  const inner = (item: unknown): unknown => redactAll(item, redact, depth + 1);
  if (value instanceof Error) {
    const { name, message, cause } = value;
    const { code } = value as { code?: unknown };
    return { type: name, message: redact(message), code, cause: inner(cause) };
  }
  if (Array.isArray(value)) return value.map(inner);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, inner(item)]));
}
