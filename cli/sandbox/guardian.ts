import { spawn } from 'node:child_process';

/**
 * Reads until whoever holds the other end of the pipe is gone, then stops the servers of these data folders
 * and, if it is told to, removes what was made. A data folder names the process that serves it.
 */
const SCRIPT = `
cat > /dev/null
for data in "$@"; do
  [ -f "$data/postmaster.pid" ] && kill -INT "$(head -n 1 "$data/postmaster.pid")" 2> /dev/null
done
tries=0
for data in "$@"; do
  while [ -f "$data/postmaster.pid" ] && [ $tries -lt 200 ]; do sleep 0.1; tries=$((tries + 1)); done
done
[ -z "$PGXA_REMOVE" ] || rm -rf "$PGXA_REMOVE/log" "$PGXA_REMOVE/orders" "$PGXA_REMOVE/billing" \\
  "$PGXA_REMOVE/native" "$PGXA_REMOVE/sandbox.json"
[ -z "$PGXA_REMOVE" ] || rmdir "$PGXA_REMOVE" 2> /dev/null
`;

/** Dismisses it: its work has been done, or is done in a better way. */
export type Dismiss = () => void;

/** A shell that cleans up if this process is killed in a way that leaves it no time (SIGKILL, no memory). */
export function postGuardian(
  dataFolders: readonly string[],
  removeFolder: string | undefined,
): Dismiss {
  const guardian = spawn('/bin/sh', ['-c', SCRIPT, 'pgxa-sandbox-guardian', ...dataFolders], {
    // Ctrl-C is not for it.
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    env: { PATH: process.env['PATH'], PGXA_REMOVE: removeFolder ?? '' },
    cwd: '/',
  });
  // Without a shell there is just no guardian.
  guardian.on('error', () => undefined);
  guardian.stdin.on('error', () => undefined);
  guardian.unref();
  return () => {
    guardian.kill('SIGKILL');
    guardian.stdin.destroy();
  };
}
