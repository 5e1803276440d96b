import { chown, mkdtemp, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { removeSharedMemory } from './process-tree.mjs';
import { directoryMarker, directoryRemoved, reapDirectory } from './reaper-client.ts';
import { canReach, type ServerUser } from '../../cli/sandbox/server-user.ts';

const memory = '/dev/shm';
const roomNeeded = 4 * 2 ** 30;

/**
 * A new folder for one server. In memory where there is room, because a server then starts in a
 * tenth of a second, and ten times faster than on a disk: a killed process loses nothing there
 * either, only a power cut would. Benchmarks want a disk (`onDisk`), whose fsync takes its time.
 */
export async function makeServerDirectory(
  user: ServerUser | undefined,
  onDisk: boolean,
): Promise<string> {
  const parent = !onDisk && (await hasRoomInMemory(user)) ? memory : tmpdir();
  const directory = await mkdtemp(join(parent, 'pgxa-server-'));
  reapDirectory(directory);
  await writeFile(join(directory, directoryMarker), '');
  if (user) await chown(directory, user.uid, user.gid);
  return directory;
}

/** Containers often have no more than 64 MB there, other systems have no such folder. */
async function hasRoomInMemory(user: ServerUser | undefined): Promise<boolean> {
  if (process.env['PGXA_TEST_ON_DISK'] === '1') return false;
  try {
    const { bavail, bsize } = await statfs(memory);
    return bavail * bsize > roomNeeded && (await canReach(memory, user));
  } catch {
    return false;
  }
}

export async function removeServerDirectory(directory: string): Promise<void> {
  removeSharedMemory(join(directory, 'data'));
  await rm(directory, { recursive: true, force: true, maxRetries: 5 });
  directoryRemoved(directory);
}
