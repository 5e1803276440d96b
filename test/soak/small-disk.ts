/** A disk of its own, and a small one, for the WAL of one server: a tmpfs, which only root can mount. */
import { execFile } from 'node:child_process';
import { chown, cp, mkdtemp, rm, stat, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { EmbeddedServer } from '../support/embedded-server.ts';
import type { TestServer } from '../support/servers.ts';

const run = promisify(execFile);

export interface SmallDisk {
  readonly directory: string;
  readonly bytes: number;
  /** What the server says of it. */
  readonly serverLog: string;
  remove(): Promise<void>;
}

const BYTES = 160 * 2 ** 20;

/** Undefined where nobody may mount: the soak says then that it has no such fault. */
export async function giveSmallDisk(server: TestServer): Promise<SmallDisk | undefined> {
  if (!(server instanceof EmbeddedServer) || process.getuid?.() !== 0) return undefined;
  const directory = await mkdtemp(join(tmpdir(), 'pgxa-wal-'));
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${BYTES}`, 'tmpfs', directory]);
  } catch {
    await rm(directory, { recursive: true });
    return undefined;
  }
  const wal = join(server.directory, 'data', 'pg_wal');
  const { uid, gid } = await stat(wal);
  await chown(directory, uid, gid);
  await server.stop('fast');
  const disk = join(directory, 'pg_wal');
  await cp(wal, disk, { recursive: true, preserveTimestamps: true });
  await run('chown', ['-R', `${uid}:${gid}`, disk]);
  await run('chmod', ['-R', 'u=rwX,go=', disk]);
  await rm(wal, { recursive: true });
  await symlink(disk, wal);
  await server.start();
  return {
    directory,
    bytes: BYTES,
    serverLog: join(server.directory, 'server.log'),
    remove: async () => {
      await run('umount', ['--lazy', directory]);
      await rm(directory, { recursive: true });
    },
  };
}
