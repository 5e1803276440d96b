import { spawn, type ChildProcess } from 'node:child_process';
import { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { lookAt } from './process-tree.mjs';

let reaper: ChildProcess | undefined;

/** The marker without which the reaper removes no directory. */
export const directoryMarker = '.pgxa-test-server';

function tell(message: Record<string, unknown>): void {
  reaper ??= startReaper();
  reaper.stdin?.write(`${JSON.stringify(message)}\n`);
}

function startReaper(): ChildProcess {
  const script = fileURLToPath(new URL('./reaper.mjs', import.meta.url));
  // No inherited NODE_OPTIONS: a test runner's loaders have no business in there.
  const child = spawn(process.execPath, [script], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    cwd: '/',
    env: { PATH: process.env['PATH'] },
  });
  child.on('error', (error) => {
    console.warn(`pgxa tests: no reaper, servers may be left over: ${error.message}`);
  });
  child.stdin.on('error', () => undefined);
  child.unref();
  // The pipe must not keep its owner alive.
  if (child.stdin instanceof Socket) child.stdin.unref();
  return child;
}

/** To be called before anything is put into the directory. */
export function reapDirectory(directory: string): void {
  tell({ directory });
}

export function reapServer(pid: number): void {
  tell({ server: { pid, startTime: lookAt(pid)?.startTime } });
}

export function serverStopped(pid: number): void {
  tell({ stopped: pid });
}

export function directoryRemoved(directory: string): void {
  tell({ removed: directory });
}
