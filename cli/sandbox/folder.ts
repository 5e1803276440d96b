/** Where a sandbox keeps its data, and what it must remember of itself. */
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, rmdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { z } from 'zod';

import { EXIT } from '../exit-codes.ts';
import { exists } from './embedded-package.ts';
import { SandboxProblem } from './problem.ts';
import { canReach, type ServerUser } from './server-user.ts';

/** The servers, in the order of their ports. */
export const SERVERS = ['log', 'orders', 'billing'] as const;
export type ServerName = (typeof SERVERS)[number];

const MARKER = 'sandbox.json';
const stateSchema = z.object({
  major: z.number(),
  ports: z.array(z.number()).length(SERVERS.length),
  password: z.string(),
});

export interface SandboxState {
  readonly major: number;
  readonly ports: readonly number[];
  readonly password: string;
}

export interface SandboxFolder {
  readonly path: string;
  /** What was kept in it by `--keep`; undefined in a new one. */
  readonly kept: SandboxState | undefined;
  remember(state: SandboxState): Promise<void>;
  /** Removes what the sandbox made, and nothing else. */
  remove(): Promise<void>;
}

/**
 * @param named `--dir`; without it a new folder among the temporary ones.
 * @throws SandboxProblem when it is taken, or the servers could not enter it.
 */
export async function openFolder(
  named: string | undefined,
  cwd: string,
  user: ServerUser | undefined,
): Promise<SandboxFolder> {
  const path =
    named === undefined ? await mkdtemp(join(tmpdir(), 'pgxa-sandbox-')) : resolve(cwd, named);
  const isNew = named === undefined || !(await exists(path));
  if (isNew) await mkdir(path, { recursive: true });
  const folder = { path, kept: await keptIn(path), ...changes(path, isNew) };
  // The passwords and the data in it have modes of their own.
  if (isNew) await chmod(path, user === undefined ? 0o700 : 0o755);
  if (await canReach(path, user)) return folder;
  if (isNew) await rmdir(path);
  throw new SandboxProblem(
    `PostgreSQL refuses to run as root, so the servers run as uid ${user?.uid ?? '?'}, who cannot enter ` +
      `${path}: name another place with --dir, which everybody may enter`,
  );
}

async function keptIn(path: string): Promise<SandboxState | undefined> {
  const names = await readdir(path).catch((error: unknown) => {
    throw new SandboxProblem(`${path} cannot be used: ${String(error)}`);
  });
  if (names.length === 0) return undefined;
  if (!names.includes(MARKER)) {
    throw new SandboxProblem(
      `${path} is taken: it is not empty, and no sandbox was kept in it. Name another folder with --dir`,
      EXIT.refused,
    );
  }
  for (const name of SERVERS) {
    const pidFile = join(path, name, 'data', 'postmaster.pid');
    const pid = Number((await readFile(pidFile, 'utf8').catch(() => '')).split('\n')[0]);
    if (!isRunning(pid)) continue;
    throw new SandboxProblem(
      `${path} is taken: its server ${name} is running (pid ${pid}). Another sandbox is at work there`,
      EXIT.refused,
    );
  }
  const text = await readFile(join(path, MARKER), 'utf8');
  const parsed = stateSchema.safeParse(JSON.parse(text));
  if (parsed.success) return parsed.data;
  throw new SandboxProblem(`${join(path, MARKER)} is damaged: remove ${path} and begin anew`);
}

function isRunning(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function changes(path: string, isNew: boolean): Pick<SandboxFolder, 'remember' | 'remove'> {
  return {
    remember: (state) => writeFile(join(path, MARKER), JSON.stringify(state), { mode: 0o600 }),
    async remove() {
      for (const name of [...SERVERS, 'native', MARKER]) {
        await rm(join(path, name), { recursive: true, force: true, maxRetries: 5 });
      }
      // Somebody may have put something into it.
      if (isNew) await rmdir(path).catch(() => undefined);
    },
  };
}

export function newPassword(): string {
  return randomBytes(18).toString('base64url');
}
