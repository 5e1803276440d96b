/**
 * The configuration file of the command line and the daemon: YAML, or JSON, which is YAML too.
 *
 *   find → read → references to the environment → secrets, services, PG* → the library's own schema
 *
 * Every step goes on after a problem, so that one run tells all of them.
 */
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { LineCounter, parseDocument, type Document } from 'yaml';

import type { RecoveryDaemonConfig } from '../src/index.ts';
import { resolveConnection } from './config/connection.ts';
import { exposureOf } from './config/exposure.ts';
import { findConfigFile } from './config/find.ts';
import { problemsOf } from './config/issues.ts';
import { ConfigFileError, type Path, type Problem } from './config/problem.ts';
import { Redactor } from './config/redact.ts';
import { substituteReferences } from './config/references.ts';
import { fileSchema, type FileSettings, type Needs } from './config/schema.ts';
import { secretReader, type SecretSource } from './config/secrets.ts';
import type { Terminal } from './terminal.ts';

export interface ConfigFile {
  readonly file: string;
  readonly settings: FileSettings;
  /** Knows the secrets of this file. */
  readonly redactor: Redactor;
  /** What is not as it should be, and can be worked with. */
  readonly warnings: readonly string[];
}

/**
 * Reads the file, afresh each time.
 *
 * @throws ConfigFileError with everything that is wrong with it.
 */
export function loadConfigFile(
  named: string | undefined,
  terminal: Pick<Terminal, 'env' | 'cwd'>,
  needs: Needs = 'daemon',
): ConfigFile {
  const file = findConfigFile(named, terminal);
  const { document, lines } = readDocument(file);
  const problems: Problem[] = [];
  const redactor = new Redactor();
  const written: unknown = document.toJS({ maxAliasCount: 100 });
  const references = substituteReferences(written, terminal.env);
  problems.push(...references.problems);
  const source: SecretSource = { env: terminal.env, folder: dirname(file), problems };
  const resolved = resolveSecrets(references.value, source, redactor);
  const parsed = fileSchema.safeParse(resolved);
  if (!parsed.success) problems.push(...problemsOf(parsed.error, fileSchema));
  else if (needs === 'daemon' && Object.keys(parsed.data.participants).length === 0) {
    const hint = 'for example { orders: { connectionString: postgresql://pgxa@db1/orders } }';
    problems.push({ path: ['participants'], message: 'expected at least one', hint });
  }
  const distinct = withoutFollowUps(problems);
  if (distinct.length > 0 || !parsed.success) {
    throw new ConfigFileError(
      file,
      distinct.map((problem) => ({ ...problem, line: lineOf(document, lines, problem.path) })),
    );
  }
  return { file, settings: parsed.data, redactor, warnings: exposureOf(file, written) };
}

/** Tells people at a terminal; the daemon has a log for it. */
export function tellWarnings(
  { warnings }: Pick<ConfigFile, 'warnings'>,
  { stderr }: Pick<Terminal, 'stderr'>,
): void {
  for (const warning of warnings) stderr.write(`pgxa: warning: ${warning}\n`);
}

/** The configuration as the library takes it. */
export function daemonConfigOf({ settings }: ConfigFile): RecoveryDaemonConfig {
  const { decisionLog, participants, heartbeatLimitMs, connectTimeoutMs, daemon } = settings;
  const { name, intervalMs, leaseMs, retentionDays } = daemon;
  const timing = { heartbeatLimitMs, connectTimeoutMs, intervalMs, leaseMs, retentionDays };
  // The library's schema has made both; only its idea of "optional" is a stricter one.
  return { name, decisionLog, participants, ...timing } as RecoveryDaemonConfig;
}

function readDocument(file: string): { document: Document; lines: LineCounter } {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? 'unknown';
    throw new ConfigFileError(file, [{ path: [], message: `cannot be read: ${reason}` }]);
  }
  const lines = new LineCounter();
  // Its pretty messages quote the line, and there may be a password in it.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const problems = document.errors.map(({ message, pos }) => ({
    path: [],
    message,
    line: lines.linePos(pos[0]).line,
  }));
  if (problems.length === 0) return { document, lines };
  throw new ConfigFileError(file, problems);
}

function resolveSecrets(value: unknown, source: SecretSource, redactor: Redactor): unknown {
  if (!isObject(value)) return value;
  const { decisionLog, participants, daemon } = value;
  const resolve = (given: unknown, path: Path): unknown =>
    resolveConnection(given, path, source, redactor);
  return {
    ...value,
    ...(decisionLog === undefined ? {} : { decisionLog: resolve(decisionLog, ['decisionLog']) }),
    ...(isObject(participants)
      ? {
          participants: Object.fromEntries(
            Object.entries(participants).map(([name, given]) => [
              name,
              resolve(given, ['participants', name]),
            ]),
          ),
        }
      : {}),
    ...(isObject(daemon) ? { daemon: resolveToken(daemon, source, redactor) } : {}),
  };
}

function resolveToken(
  daemon: Record<string, unknown>,
  source: SecretSource,
  redactor: Redactor,
): Record<string, unknown> {
  if (!isObject(daemon['http'])) return daemon;
  const { tokenFile, ...http } = daemon['http'];
  const path = ['daemon', 'http', tokenFile === undefined ? 'token' : 'tokenFile'];
  const given = tokenFile === undefined ? http['token'] : { file: tokenFile };
  if (tokenFile !== undefined && http['token'] !== undefined) {
    source.problems.push({ path, message: 'give tokenFile or token, not both' });
  }
  const token = secretReader(given, path, source)?.() ?? given;
  if (typeof token === 'string') redactor.add(token);
  // A token that cannot be read is a problem already; that it is missing would be a second one.
  const known = typeof token === 'object' ? 'unreadable-------' : token;
  return { ...daemon, http: { ...http, ...(known === undefined ? {} : { token: known }) } };
}

/** One problem per key: the first is the cause of the others. */
function withoutFollowUps(problems: readonly Problem[]): Problem[] {
  const seen = new Set<string>();
  return problems.filter(({ path }) => {
    const key = path.join('\0');
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}

/** Of the key, or of the nearest one above it that is there. */
function lineOf(document: Document, lines: LineCounter, path: Path): number | undefined {
  for (let length = path.length; length > 0; length -= 1) {
    const node = document.getIn(path.slice(0, length), true) as
      { readonly range?: readonly number[] | null } | undefined;
    const start = node?.range?.[0];
    if (start !== undefined) return lines.linePos(start).line;
  }
  return undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
