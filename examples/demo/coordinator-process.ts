/** The parent's side of a coordinator in a process of its own. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

import type { Cleanup } from './cleanup.ts';
import type { Message, Plan } from './coordinator.ts';

/** Runs a coordinator to its end; resolves with the signal that killed it, or its exit code. */
export async function runCoordinator(
  plan: Plan,
  onMessage: (message: Message) => void,
  cleanup: Cleanup,
): Promise<NodeJS.Signals | number | null> {
  const script = fileURLToPath(new URL('./coordinator.ts', import.meta.url));
  cleanup.assertOpen();
  // fork() passes on this process's own loader (process.execArgv), which reads TypeScript.
  const child = fork(script, [JSON.stringify(plan)], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const exited = once(child, 'exit');
  // What the child has said before its death is read to the end.
  const disconnected = once(child, 'disconnect');
  child.on('message', (message) => {
    onMessage(message as Message);
  });
  cleanup.add(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  const [[code, signal]] = (await Promise.all([exited, disconnected])) as [
    [number | null, NodeJS.Signals | null],
    unknown,
  ];
  return signal ?? code;
}
