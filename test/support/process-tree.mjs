// Plain JavaScript because reaper.mjs runs it without any loader; types in process-tree.d.mts.
// Every PostgreSQL process is a direct child of the postmaster but leads a session of its own, so
// process groups are of no use: children are found by their parent's pid.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';

const linux = process.platform === 'linux';

/** State, parent and start time of a process; undefined when it is gone or only a zombie. */
export function lookAt(pid) {
  try {
    if (!linux) {
      const line = execFileSync('ps', ['-o', 'stat=,ppid=,lstart=', '-p', String(pid)]).toString();
      const [state, parent, ...started] = line.trim().split(/\s+/);
      if (state === undefined || state.startsWith('Z')) return undefined;
      return { state: state[0], parent: Number(parent), startTime: started.join(' ') };
    }
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The second field is the name in parentheses and may itself contain blanks and parentheses.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
    return { state: fields[0], parent: Number(fields[1]), startTime: fields[19] };
  } catch {
    return undefined;
  }
}

export function childrenOf(parent) {
  if (!linux) {
    const table = execFileSync('ps', ['-A', '-o', 'pid=,ppid=']).toString();
    const rows = table.split('\n').map((line) => line.trim().split(/\s+/).map(Number));
    return rows.filter((row) => row[1] === parent).map((row) => row[0]);
  }
  const pids = readdirSync('/proc').filter((entry) => /^\d+$/.test(entry));
  return pids.map(Number).filter((pid) => lookAt(pid)?.parent === parent);
}

/** True when the process got the signal, false when it is gone. */
export function signal(pid, name) {
  try {
    process.kill(pid, name);
    return true;
  } catch (error) {
    if (error.code === 'ESRCH') return false;
    throw error;
  }
}

/** Stops the root first, so that it starts no child that the list would miss. */
export function stopTree(root) {
  signal(root, 'SIGSTOP');
  for (let tries = 0; tries < 10_000; tries += 1) {
    const state = lookAt(root)?.state;
    if (state === undefined || state === 'T') break;
  }
  const children = childrenOf(root);
  for (const pid of children) signal(pid, 'SIGSTOP');
  return [root, ...children];
}

export function continueTree(root) {
  for (const pid of [...childrenOf(root), root]) signal(pid, 'SIGCONT');
}

/** Kills root and children and returns their pids; the caller waits until they are gone. */
export function killTree(root) {
  const pids = stopTree(root);
  for (const pid of pids) signal(pid, 'SIGKILL');
  return pids;
}

/**
 * A killed postmaster leaves its small System V segment behind, and the machine has room for about
 * 4,000. It is named in line 7 of postmaster.pid. The kernel keeps a segment that is still attached.
 */
export function removeSharedMemory(dataDirectory) {
  try {
    const line = readFileSync(join(dataDirectory, 'postmaster.pid'), 'utf8').split('\n')[6];
    const id = line?.trim().split(/\s+/)[1];
    if (id !== undefined) execFileSync('ipcrm', ['-m', id], { stdio: 'ignore' });
  } catch {
    // No such file after a clean stop; no such segment, or no ipcrm: nothing more can be done.
  }
}
