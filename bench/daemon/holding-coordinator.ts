/** Holds transactions in flight for ever: every second one behind its votes, the others behind the decision. */
import { createTransactionManager } from '../../src/transaction-manager.ts';

const plan = JSON.parse(process.argv[2] ?? '') as {
  readonly transactions: number;
  readonly logUrl: string;
  readonly participants: Readonly<Record<string, string>>;
};
const forEver = new Promise<void>(() => undefined);
let voted = 0;

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
      if (point === 'after-votes' && (voted += 1) % 2 === 0) await forEver;
      if (point === 'after-decide') await forEver;
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
