import { appendFile, chown, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from '../../cli/sandbox/command.ts';
import { exists } from '../../cli/sandbox/embedded-package.ts';
import { buildOnce, cacheDirectory, type Installation } from './embedded-binaries.ts';

/** To be raised when what buildTemplate() makes changes: an old cache is then left alone. */
const templateVersion = 1;

/**
 * Everybody is trusted, except members of the role pgxa_needs_password, who need the password that
 * their role has: for tests of wrong passwords. A superuser is not taken for a member here.
 */
const hostBasedAuthentication = `
local all         +pgxa_needs_password              scram-sha-256
host  all         +pgxa_needs_password 127.0.0.1/32 scram-sha-256
local all         all                               trust
host  all         all                  127.0.0.1/32 trust
host  replication all                  127.0.0.1/32 trust
`;

/** The part of the configuration that is the server's own; see writeSettings(). */
export const settingsFile = 'pgxa.conf';

/** initdb takes a second, a copy of its result a twentieth of that. */
export async function copyTemplate(installation: Installation, data: string): Promise<void> {
  const template = await templateDirectory(installation);
  await copyDirectory(template, data);
}

/** Keeps owners and modes, and shares blocks where the file system can. */
export async function copyDirectory(from: string, to: string): Promise<void> {
  const flags = process.platform === 'linux' ? ['-a', '--reflink=auto'] : ['-a'];
  await runCommand('cp', [...flags, from, to]);
}

async function templateDirectory(installation: Installation): Promise<string> {
  const { version, build, user } = installation;
  const name = `template${templateVersion}-${version}-${build}-${user?.uid ?? 'self'}`;
  const path = join(await cacheDirectory(user), name);
  if (!(await exists(path))) {
    await buildOnce(path, (target) => buildTemplate(installation, target));
  }
  return path;
}

async function buildTemplate({ bin, user }: Installation, data: string): Promise<void> {
  await mkdir(data, { mode: 0o700 });
  if (user) await chown(data, user.uid, user.gid);
  const run = { ...user, cwd: data };
  const options = ['--username=postgres', '--auth=trust', '--encoding=UTF8', '--locale=C'];
  await runCommand(join(bin, 'initdb'), ['-D', data, '--no-sync', ...options], run);
  await writeFile(join(data, 'pg_hba.conf'), hostBasedAuthentication);
  await runCommand(join(bin, 'postgres'), ['--single', '-D', data, '-j', 'postgres'], {
    ...run,
    input: 'create role pgxa_needs_password nologin\n',
  });
  await appendFile(join(data, 'postgresql.conf'), `\ninclude '${settingsFile}'\n`);
}

/** Settings go to a file and not to the command line, so that ALTER SYSTEM can still change them. */
export async function writeSettings(
  { user }: Installation,
  data: string,
  settings: Readonly<Record<string, string>>,
): Promise<void> {
  const quote = (value: string): string =>
    `'${value.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${quote(value)}\n`);
  const path = join(data, settingsFile);
  await writeFile(path, lines.join(''));
  if (user) await chown(path, user.uid, user.gid);
}
