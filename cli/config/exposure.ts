/** Secrets that stand in a configuration file which everybody on the machine may read. */
import { statSync } from 'node:fs';

import { substituteReferences } from './references.ts';

const READABLE_BY_OTHERS = 0o004;

/**
 * What to tell whoever wrote the file, if anything. A warning and no refusal: the secret is out already, and recovery that
 * does not start would not bring it back. Files that a secret refers to are not looked at: containers mount them
 * readable for everybody, where there is nobody else.
 *
 * @param written what stands in the file, before anything is put in.
 */
export function exposureOf(file: string, written: unknown): readonly string[] {
  // Windows has no such modes.
  if (process.platform === 'win32') return [];
  const stats = statSync(file, { throwIfNoEntry: false });
  if (stats?.isFile() !== true || (stats.mode & READABLE_BY_OTHERS) === 0) return [];
  const secrets = secretsIn(substituteReferences(written, {}).value);
  if (secrets.length === 0) return [];
  const mode = (stats.mode & 0o777).toString(8);
  return [
    `everybody on this machine may read ${file} (mode ${mode}), and there are secrets in it: ${secrets.join(', ')} ` +
      '(chmod 600, or write { file: path }, { credential: name } or ${NAME} in their place)',
  ];
}

/** The keys that have one; a reference to the environment has become empty. */
function secretsIn(settings: unknown): string[] {
  const { decisionLog, participants, daemon } = fieldsOf(settings);
  const { token } = fieldsOf(fieldsOf(daemon)['http']);
  return [
    ...secretsOfConnection('decisionLog', decisionLog),
    ...Object.entries(fieldsOf(participants)).flatMap(([name, connection]) =>
      secretsOfConnection(`participants.${name}`, connection),
    ),
    ...(isText(token) ? ['daemon.http.token'] : []),
  ];
}

function secretsOfConnection(path: string, connection: unknown): string[] {
  const { connectionString, password, ssl } = fieldsOf(connection);
  const { key, passphrase } = fieldsOf(ssl);
  const found = {
    connectionString: isText(connectionString) && hasPassword(connectionString),
    password: isText(password),
    'ssl.key': isText(key),
    'ssl.passphrase': isText(passphrase),
  };
  return Object.entries(found).flatMap(([name, isThere]) => (isThere ? `${path}.${name}` : []));
}

function hasPassword(uri: string): boolean {
  return /^[a-z]+:\/\/[^:@/]*:.+@/i.test(uri) || /[?&](ssl)?password=[^&]/i.test(uri);
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

function fieldsOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
