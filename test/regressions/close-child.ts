/**
 * A process that runs one transaction, says so, closes its manager when it reads a line, says how long that
 * took, and then ends by itself: nothing may hold it. Argument: a JSON object, see CloseChildPlan.
 */
import { once } from 'node:events';

import { createTransactionManager } from '../../src/index.ts';

export interface CloseChildPlan {
  readonly logUrl: string;
  readonly participants: Readonly<Record<string, string>>;
}

const plan = JSON.parse(process.argv[2] ?? '') as CloseChildPlan;
const tm = await createTransactionManager({
  coordinator: 'close-child',
  decisionLog: { connectionString: plan.logUrl },
  participants: Object.fromEntries(
    Object.entries(plan.participants).map(([name, connectionString]) => [
      name,
      { connectionString },
    ]),
  ),
});
await tm.run(async (tx) => {
  for (const name of Object.keys(plan.participants)) {
    await tx.on(name).query('insert into marker values ($1)', [tx.id]);
  }
});
process.stdout.write('ready\n');
await once(process.stdin, 'data');
const since = performance.now();
await tm.close({ timeoutMs: 500 });
process.stdout.write(`closed after ${Math.round(performance.now() - since)}\n`);
process.stdin.destroy();
