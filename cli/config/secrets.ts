import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

import type { Path, Problem } from './problem.ts';

/** Where secrets are looked for, and what was found to be wrong meanwhile. */
export interface SecretSource {
  readonly env: NodeJS.ProcessEnv;
  /** Folder of the configuration file: relative paths begin there. */
  readonly folder: string;
  readonly problems: Problem[];
}

/** Reads the secret now. Called again for every new connection, so that a rotated one is found. */
export type ReadSecret = () => string;

const FORMS = 'write a text, { file: path } or { credential: name }';

/**
 * What stands in the configuration for a secret: `{ file: path }`, or `{ credential: name }` of systemd
 * (a file in $CREDENTIALS_DIRECTORY). Undefined for anything else, which is left to the schema.
 */
export function secretReader(
  value: unknown,
  path: Path,
  source: SecretSource,
): ReadSecret | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const entries = Object.entries(value as Record<string, unknown>);
  const [kind, place] = entries[0] ?? ['', undefined];
  if (entries.length !== 1 || typeof place !== 'string' || !['file', 'credential'].includes(kind)) {
    source.problems.push({ path, message: 'not a secret', hint: FORMS });
    return undefined;
  }
  const file =
    kind === 'file' ? resolve(source.folder, place) : credentialFile(place, path, source);
  if (file === undefined) return undefined;
  const read = (): string => readFileSync(file, 'utf8').replace(/\r?\n$/, '');
  try {
    if (read() !== '') return read;
    source.problems.push({ path, message: `${file} is empty` });
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? 'unknown';
    const hint =
      kind === 'credential' ? 'is there a LoadCredential= for it in the unit?' : undefined;
    source.problems.push({ path, message: `cannot read ${file}: ${reason}`, hint });
  }
  return undefined;
}

function credentialFile(name: string, path: Path, source: SecretSource): string | undefined {
  const directory = source.env['CREDENTIALS_DIRECTORY'] ?? '';
  if (directory === '') {
    const hint = 'systemd sets it for a unit with LoadCredential=; elsewhere use { file: path }';
    source.problems.push({ path, message: 'there is no $CREDENTIALS_DIRECTORY', hint });
    return undefined;
  }
  if (!/^[A-Za-z0-9_.@:-]+$/.test(name) || name === '..' || name === '.') {
    source.problems.push({ path, message: `"${name}" is not the name of a credential` });
    return undefined;
  }
  return join(directory, name);
}
