import { readFile, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

/** Who runs the servers; undefined means: the one who runs this process. */
export interface ServerUser {
  readonly uid: number;
  readonly gid: number;
}

/** PostgreSQL refuses to run as root, so root's servers run as somebody else. */
export async function serverUser(): Promise<ServerUser | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const users = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  for (const wanted of ['postgres', 'nobody']) {
    const fields = users.find(([name]) => name === wanted);
    if (fields) return { uid: Number(fields[2]), gid: Number(fields[3]) };
  }
  throw new Error(`PostgreSQL refuses to run as root, and /etc/passwd has neither user "postgres"
nor "nobody" to run it as. Do this as an ordinary user, or create one of the two.`);
}

/** Whether the user may pass through every folder above `path` and read (and enter) it. */
export async function canReach(path: string, user: ServerUser | undefined): Promise<boolean> {
  if (user === undefined) return true;
  const allows = async (file: string, wanted: number): Promise<boolean> => {
    const { mode, uid, gid } = await stat(file);
    const shift = uid === user.uid ? 6 : gid === user.gid ? 3 : 0;
    return ((mode >> shift) & wanted) === wanted;
  };
  const target = resolve(path);
  if (!(await allows(target, 5))) return false;
  for (let folder = dirname(target); ; folder = dirname(folder)) {
    if (!(await allows(folder, 1))) return false;
    if (folder === dirname(folder)) return true;
  }
}
