import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

import type { Terminal } from '../terminal.ts';
import { ConfigFileError } from './problem.ts';

export const SYSTEM_FILE = '/etc/pgxa/pgxa.yaml';

/**
 * The file to read: the one that was named, or the first that exists.
 *
 * @throws ConfigFileError with all places that were looked at.
 */
export function findConfigFile(
  named: string | undefined,
  { env, cwd }: Pick<Terminal, 'env' | 'cwd'>,
): string {
  const explicit = named ?? nonEmpty(env['PGXA_CONFIG']);
  // One that was named must be there: another in its place would be a surprise.
  if (explicit !== undefined) return resolve(cwd, explicit);
  const places = searchedPlaces(env, cwd);
  const found = places.find((place) => existsSync(place));
  if (found !== undefined) return found;
  throw new ConfigFileError(undefined, [
    {
      path: [],
      message: 'no configuration file',
      hint: `give --config or PGXA_CONFIG; looked for ${places.join(', ')}`,
    },
  ]);
}

function searchedPlaces(env: NodeJS.ProcessEnv, cwd: string): string[] {
  const home = nonEmpty(env['HOME']) ?? homedir();
  const xdg = nonEmpty(env['XDG_CONFIG_HOME']) ?? join(home, '.config');
  return [join(cwd, 'pgxa.yaml'), join(xdg, 'pgxa', 'pgxa.yaml'), SYSTEM_FILE];
}

function nonEmpty(value: string | undefined): string | undefined {
  return value === '' ? undefined : value;
}
