/**
 * Holds transactions in flight behind their votes. Told to, it lets every second one decide, and kills itself once
 * all of those decisions are durable and before it has finished a branch.
 */
import { createTransactionManager } from '../../src/transaction-manager.ts';

const plan = JSON.parse(process.argv[2] ?? '') as {
  readonly transactions: number;
  readonly logUrl: string;
  readonly participants: Readonly<Record<string, string>>;
};
const forEver = new Promise<void>(() => undefined);
const told = new Promise<void>((resolve) => {
  process.once('message', () => {
    resolve();
  });
});
let voted = 0;
let decided = 0;

const tm = await createTransactionManager(
  {
    coordinator: 'held',
    decisionLog: { connectionString: plan.logUrl },
    participants: Object.fromEntries(
      Object.entries(plan.participants).map(([name, connectionString]) => [
        name,
        { connectionString, max: 20 },
      ]),
    ),
    timeoutMs: 600_000,
  },
  {
    faultHook: async (point) => {
      if (point === 'after-votes') {
        voted += 1;
        await (voted % 2 === 0 ? forEver : told);
      }
      if (point === 'after-decide') {
        decided += 1;
        if (decided === plan.transactions / 2) process.kill(process.pid, 'SIGKILL');
        await forEver;
      }
    },
  },
);
await Promise.all(
  Array.from({ length: plan.transactions }, () =>
    tm.run(async (tx) => {
      for (const name of Object.keys(plan.participants)) {
        await tx.on(name).query('insert into marker values ($1)', [tx.id]);
      }
    }),
  ),
);
