/** Connection services, as libpq has them: https://www.postgresql.org/docs/current/libpq-pgservice.html */
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

import type { Path } from './problem.ts';
import type { SecretSource } from './secrets.ts';

type NoteProblem = (message: string, hint?: string) => undefined;
export type ServiceSettings = Readonly<Record<string, unknown>>;

/** Keys of libpq under the names of node-postgres. */
const RENAMED: Readonly<Record<string, string>> = {
  host: 'host',
  port: 'port',
  user: 'user',
  password: 'password',
  dbname: 'database',
};
/** They change nothing that pgxa would do. */
const HARMLESS = new Set([
  'application_name',
  'fallback_application_name',
  'client_encoding',
  'connect_timeout',
  'keepalives',
]);

/** The settings of one service, or undefined with a problem noted. */
export function readService(
  name: string,
  path: Path,
  source: SecretSource,
): ServiceSettings | undefined {
  const places = serviceFiles(source.env);
  const problem: NoteProblem = (message, hint) => {
    source.problems.push({ path, message, hint });
    return undefined;
  };
  for (const file of places) {
    if (!existsSync(file)) continue;
    let lines: readonly [string, string][] | undefined;
    try {
      lines = sectionOf(readFileSync(file, 'utf8'), name);
    } catch (error) {
      problem(`cannot read ${file}: ${(error as NodeJS.ErrnoException).code ?? 'unknown'}`);
      return;
    }
    if (lines !== undefined) return translate(lines, file, problem);
  }
  problem(`there is no service "${name}"`, `looked in ${places.join(', ')}`);
}

/** The user's file, then the one of the system: the first that has the service wins. */
function serviceFiles(env: NodeJS.ProcessEnv): string[] {
  const own = env['PGSERVICEFILE'] ?? join(env['HOME'] ?? homedir(), '.pg_service.conf');
  const system = join(env['PGSYSCONFDIR'] ?? '/etc/postgresql-common', 'pg_service.conf');
  return [own, system];
}

function sectionOf(text: string, name: string): [string, string][] | undefined {
  let found: [string, string][] | undefined;
  let isInside = false;
  for (const raw of text.split(/\r?\n/)) {
    const line = raw.trim();
    const section = /^\[(.*)\]$/.exec(line)?.[1];
    if (section !== undefined) {
      isInside = section === name;
      if (isInside) found ??= [];
    } else if (isInside && line !== '' && !line.startsWith('#')) {
      const equals = line.indexOf('=');
      found?.push([line.slice(0, equals).trim(), line.slice(equals + 1).trim()]);
    }
  }
  return found;
}

function translate(
  lines: readonly [string, string][],
  file: string,
  problem: NoteProblem,
): ServiceSettings | undefined {
  const settings: Record<string, unknown> = {};
  const ssl: Record<string, unknown> = {};
  for (const [key, value] of lines) {
    const renamed = RENAMED[key];
    if (renamed !== undefined) settings[renamed] = key === 'port' ? Number(value) : value;
    else if (key === 'sslmode') settings['ssl'] = value !== 'disable';
    else if (key === 'sslrootcert') ssl['ca'] = { file: value };
    else if (key === 'sslcert') ssl['cert'] = { file: value };
    else if (key === 'sslkey') ssl['key'] = { file: value };
    else if (!HARMLESS.has(key)) {
      problem(`${file}: "${key}" is not supported in a service`, 'write the settings here');
      return;
    }
  }
  if (Object.keys(ssl).length > 0 && settings['ssl'] !== false) settings['ssl'] = ssl;
  return settings;
}
