/**
 * A coordinator in a process of its own, to be killed. Arguments: a JSON object, see ChildPlan. Writes
 * one JSON line per event to stdout: {id, event}, where event is begun, committed, rolled-back, unknown,
 * or fault (it is about to kill itself).
 */
import { OutcomeUnknownError, RolledBackError } from '../../src/index.ts';
import { createTransactionManager } from '../../src/transaction-manager.ts';

export interface ChildPlan {
  readonly logUrl: string;
  readonly participants: Readonly<Record<string, string>>;
  /** Fault point at which the process ends itself, and at which hit of it; absent: never. */
  readonly fault?: {
    readonly point: string;
    readonly hit: number;
    readonly signal: NodeJS.Signals;
  };
  readonly transactions: number;
  readonly concurrency: number;
  /** How many of the participants write; the others only read. */
  readonly writers: number;
}

const plan = JSON.parse(process.argv[2] ?? '') as ChildPlan;

function say(id: string, event: string): void {
  // Synchronous on a pipe: what was said survives a SIGKILL right behind it.
  process.stdout.write(`${JSON.stringify({ id, event })}\n`);
}

let hits = 0;
const tm = await createTransactionManager(
  {
    coordinator: 'crash-child',
    decisionLog: { connectionString: plan.logUrl },
    participants: Object.fromEntries(
      Object.entries(plan.participants).map(([name, connectionString]) => [
        name,
        { connectionString, max: Math.max(plan.concurrency, 1) },
      ]),
    ),
  },
  {
    faultHook: (point, transactionId) => {
      if (point !== plan.fault?.point) return;
      hits += 1;
      if (hits !== plan.fault.hit) return;
      say(transactionId, 'fault');
      process.kill(process.pid, plan.fault.signal);
    },
  },
);

const names = Object.keys(plan.participants);
let next = 0;

async function transfer(): Promise<void> {
  let id = '';
  try {
    await tm.run(async (tx) => {
      ({ id } = tx);
      say(id, 'begun');
      for (const [index, name] of names.entries()) {
        if (index >= plan.writers) await tx.on(name).query('select count(*) from account');
        else await tx.on(name).query('insert into marker values ($1)', [tx.id]);
      }
      const from = 1 + Math.floor(Math.random() * 100);
      await tx
        .on(names[0] ?? '')
        .query('update account set balance = balance - 1 where id = $1', [from]);
      if (plan.writers > 1) {
        await tx
          .on(names[1] ?? '')
          .query('update account set balance = balance + 1 where id = $1', [from]);
      }
    });
    say(id, 'committed');
  } catch (error) {
    if (error instanceof OutcomeUnknownError) say(id, 'unknown');
    else if (error instanceof RolledBackError) say(id, 'rolled-back');
    else throw error;
  }
}

await Promise.all(
  Array.from({ length: plan.concurrency }, async () => {
    while (next < plan.transactions) {
      next += 1;
      await transfer();
    }
  }),
);
await tm.close();
