import { open, readFile, rename, rm } from 'node:fs/promises';

import { EXIT } from '../exit-codes.ts';
import { SandboxProblem } from './problem.ts';

export interface SandboxPlaces {
  readonly log: string;
  readonly participants: Readonly<Record<string, string>>;
}

const HEAD = `# Written by pgxa sandbox. Its servers run until that command ends.
# There are passwords in here: nobody else may read this file.
`;

export async function configText({ log, participants }: SandboxPlaces): Promise<string> {
  const { stringify } = await import('yaml');
  const settings = {
    decisionLog: { connectionString: log },
    participants: Object.fromEntries(
      Object.entries(participants).map(([name, connectionString]) => [name, { connectionString }]),
    ),
  };
  return `${HEAD}${stringify(settings, { lineWidth: 0 })}`;
}

/**
 * Writes the configuration for its owner's eyes alone, and never over another one.
 *
 * @throws SandboxProblem when there is one, and `force` is not given.
 */
export async function writeConfig(
  file: string,
  text: string,
  { force }: { readonly force: boolean },
): Promise<void> {
  try {
    // Made anew under another name, so that neither the mode of an old file nor a link survives.
    const target = force ? `${file}.${process.pid}.new` : file;
    const handle = await open(target, 'wx', 0o600);
    try {
      await handle.writeFile(text);
    } finally {
      await handle.close();
    }
    if (force) await rename(target, file);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') throw existsAlready(file);
    throw new SandboxProblem(`${file} cannot be written: ${code ?? String(error)}`);
  }
}

export function existsAlready(file: string): SandboxProblem {
  return new SandboxProblem(
    `${file} exists already and is left as it is: name another file with --config, or overwrite it with --force`,
    EXIT.refused,
  );
}

/** It leads to servers that are gone; one that was changed meanwhile is somebody's work, and stays. */
export async function removeConfig(file: string, text: string): Promise<void> {
  if ((await readFile(file, 'utf8').catch(() => undefined)) === text) await rm(file);
}
