import pgpass from 'pgpass';

import type { Redactor } from './redact.ts';
import type { Path } from './problem.ts';
import { secretReader, type SecretSource } from './secrets.ts';
import { readService } from './service-file.ts';

const FROM_ENVIRONMENT = {
  host: 'PGHOST',
  port: 'PGPORT',
  user: 'PGUSER',
  database: 'PGDATABASE',
} as const;

type Settings = Record<string, unknown>;

/**
 * A connection as it stands in the file, into the one that the library takes: services, PG* variables
 * and secrets are put in. What is wrong in it otherwise is left for the library's schema to say.
 */
export function resolveConnection(
  given: unknown,
  path: Path,
  source: SecretSource,
  redactor: Redactor,
): unknown {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) return given;
  const settings: Settings = { ...given };
  if (settings['connectionString'] !== undefined) {
    resolveConnectionString(settings, path, source, redactor);
  } else {
    fillFromService(settings, path, source);
    fillFromEnvironment(settings, source.env);
  }
  resolvePassword(settings, path, source, redactor);
  resolveTls(settings, path, source);
  return settings;
}

function resolveConnectionString(
  settings: Settings,
  path: Path,
  source: SecretSource,
  redactor: Redactor,
): void {
  const key = [...path, 'connectionString'];
  const read = secretReader(settings['connectionString'], key, source);
  if (read !== undefined) settings['connectionString'] = read();
  const text = settings['connectionString'];
  if (typeof text !== 'string') {
    // The problem with it is noted; the schema has nothing to add.
    if (typeof text === 'object') settings['connectionString'] = 'postgresql://unreadable/';
    return;
  }
  redactor.addConnectionString(text);
  if (/[?&]service=/.test(text)) {
    const hint = 'write service: name in place of connectionString';
    source.problems.push({ path: key, message: 'a URI cannot name a service here', hint });
  }
}

/** As in libpq: what is written out wins, then the service, then the environment. */
function fillFromService(settings: Settings, path: Path, source: SecretSource): void {
  const written = settings['service'];
  const service = written ?? source.env['PGSERVICE'];
  delete settings['service'];
  if (service === undefined || service === '') return;
  const key = written === undefined ? path : [...path, 'service'];
  if (typeof service !== 'string') {
    source.problems.push({ path: key, message: 'expected the name of a service' });
    return;
  }
  const found = readService(service, key, source);
  // Whoever named a place has one: a second complaint about it would mislead.
  for (const [name, value] of Object.entries(found ?? { host: 'unknown' }))
    settings[name] ??= value;
}

function fillFromEnvironment(settings: Settings, env: NodeJS.ProcessEnv): void {
  for (const [name, variable] of Object.entries(FROM_ENVIRONMENT)) {
    const value = env[variable] ?? '';
    if (value === '' || settings[name] !== undefined) continue;
    settings[name] = name === 'port' ? Number(value) : value;
  }
}

function resolvePassword(
  settings: Settings,
  path: Path,
  source: SecretSource,
  redactor: Redactor,
): void {
  const { password } = settings;
  if (typeof password === 'string') redactor.add(password);
  const read = secretReader(password, [...path, 'password'], source);
  if (read !== undefined) {
    redactor.add(read());
    settings['password'] = (): string => {
      const current = read();
      redactor.add(current);
      return current;
    };
  } else if (typeof password === 'object' && password !== null) {
    settings['password'] = undefined;
  } else if (password === undefined) {
    const given = source.env['PGPASSWORD'] ?? '';
    redactor.add(given);
    if (given === '') usePasswordFile(settings, redactor);
  }
}

/** pg would look there by itself, warns of it, and will not in its next major version. */
function usePasswordFile(settings: Settings, redactor: Redactor): void {
  if (settings['connectionString'] !== undefined) return;
  const { host = 'localhost', port = 5432, user, database } = settings;
  const who = { host, port, user, database: database ?? user };
  settings['password'] = () =>
    new Promise<string | undefined>((resolve) => {
      pgpass(who, (found) => {
        if (found !== undefined) redactor.add(found);
        resolve(found);
      });
    });
}

const TLS_FILES = ['ca', 'cert', 'key', 'passphrase'];

function resolveTls(settings: Settings, path: Path, source: SecretSource): void {
  const { ssl } = settings;
  if (typeof ssl !== 'object' || ssl === null) return;
  const options: Settings = { ...ssl };
  for (const name of TLS_FILES) {
    const read = secretReader(options[name], [...path, 'ssl', name], source);
    if (read !== undefined) options[name] = read();
  }
  settings['ssl'] = options;
}
