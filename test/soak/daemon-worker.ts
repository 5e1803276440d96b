/**
 * A recovery daemon of the soak, in a process of its own: one pass after the other until SIGTERM. To be
 * exchanged for `pgxa daemon`: everything that the harness needs of it is the process, and what recovery
 * writes to the log.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import { ConfigError, subscribe, type TransactionManager } from '../../src/index.ts';
import { createTransactionManager } from '../../src/transaction-manager.ts';
import { askedToEnd, describe, managerConfig, readPlan, say } from './worker-plan.ts';

const TELL_EVERY_MS = 2_000;

const plan = readPlan();
const end = askedToEnd();
let sums = { passes: 0, committed: 0, rolledBack: 0, heuristics: 0 };

subscribe('heuristic:found', ({ transactionId, participant, kind, evidence }) => {
  say({ kind: 'heuristic-found', id: transactionId, participant, heuristic: kind, why: evidence });
});

async function start(): Promise<TransactionManager> {
  for (;;) {
    try {
      return await createTransactionManager(managerConfig(plan));
    } catch (error) {
      if (!(error instanceof ConfigError) || end.asked()) throw error;
      await sleep(200);
    }
  }
}

function tellSums(): void {
  if (sums.passes > 0) say({ kind: 'passes', ...sums });
  sums = { passes: 0, committed: 0, rolledBack: 0, heuristics: 0 };
}

const tm = await start();
say({ kind: 'ready', pid: process.pid });
let toldMs = performance.now();
while (!end.asked()) {
  try {
    const { committed, rolledBack, heuristics } = await tm.recover({ wait: false });
    sums = {
      passes: sums.passes + 1,
      committed: sums.committed + committed,
      rolledBack: sums.rolledBack + rolledBack,
      heuristics: sums.heuristics + heuristics,
    };
  } catch (error) {
    // recover() puts what went wrong into its report.
    say({ kind: 'unexpected', id: '', where: 'recover', why: describe(error) });
  }
  if (performance.now() - toldMs > TELL_EVERY_MS) {
    toldMs = performance.now();
    tellSums();
  }
  await sleep(plan.intervalMs);
}
tellSums();
await tm.close();
say({ kind: 'closed' });
