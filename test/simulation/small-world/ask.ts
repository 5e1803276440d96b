import { fork } from 'node:child_process';
import { once } from 'node:events';

import type { Account, Order } from './worker.ts';

/** Has a bundled worker explore a bound. */
export async function askWorker(script: string, order: Order): Promise<Account> {
  const child = fork(script, [], {
    execArgv: ['--max-semi-space-size=16', '--single-threaded-gc', '--stack-trace-limit=0'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const over = new AbortController();
  const answer = once(child, 'message', { signal: over.signal });
  const death = once(child, 'exit', { signal: over.signal }).then(() => {
    throw new Error('the worker died: what it said is above');
  });
  child.send(order);
  try {
    const [account] = (await Promise.race([answer, death])) as [Account];
    return account;
  } finally {
    over.abort();
    await Promise.allSettled([answer, death]);
    child.kill();
  }
}
