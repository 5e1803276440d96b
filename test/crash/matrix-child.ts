/**
 * A coordinator in a process of its own that runs one transaction and ends, or freezes, itself at one hit of one
 * fault point. Argument: a MatrixPlan as JSON. One JSON line per event: begun, fault, and what the caller
 * was told.
 */
import {
  HeuristicOutcomeError,
  OutcomeUnknownError,
  RolledBackError,
  type TransactionScope,
} from '../../src/index.ts';
import { createTransactionManager } from '../../src/transaction-manager.ts';
import type { Scenario } from './matrix-cases.ts';

export interface MatrixPlan {
  readonly logUrl: string;
  readonly participants: Readonly<Record<string, string>>;
  readonly scenario: Scenario;
  /** Its own, so that no run waits for the locks of another. */
  readonly account: number;
  readonly fault?: {
    readonly point: string;
    readonly hit: number;
    readonly signal: NodeJS.Signals;
  };
  readonly timeoutMs: number;
  readonly heartbeatLimitMs: number;
}

export interface MatrixEvent {
  readonly id: string;
  readonly event: 'begun' | 'fault' | 'committed' | 'rolled-back' | 'unknown' | 'heuristic';
}

const plan = JSON.parse(process.argv[2] ?? '') as MatrixPlan;
const { scenario, fault } = plan;

function say(id: string, event: MatrixEvent['event']): void {
  // Synchronous on a pipe: what was said survives a SIGKILL right behind it.
  process.stdout.write(`${JSON.stringify({ id, event })}\n`);
}

let hits = 0;
const tm = await createTransactionManager(
  {
    coordinator: 'matrix-child',
    decisionLog: { connectionString: plan.logUrl },
    participants: Object.fromEntries(
      Object.entries(plan.participants).map(([name, connectionString]) => [
        name,
        { connectionString, max: 1 },
      ]),
    ),
    heartbeatLimitMs: plan.heartbeatLimitMs,
  },
  {
    faultHook: (point, transactionId) => {
      if (point !== fault?.point) return;
      hits += 1;
      if (hits !== fault.hit) return;
      say(transactionId, 'fault');
      process.kill(process.pid, fault.signal);
    },
  },
);

async function work(tx: TransactionScope): Promise<void> {
  const names = Object.keys(plan.participants);
  for (const [index, name] of names.entries()) {
    if (index >= scenario.writers) {
      await tx.on(name).query('select count(*) from parent');
      continue;
    }
    await tx.on(name).query('insert into marker values ($1)', [tx.id]);
    // Runs beside each other would be in conflict by what they read, however little they share.
    if (scenario.serializable === true) continue;
    // Out of the first, into the last of the writers; a single one keeps what it has.
    const amount = (index === 0 ? -1 : 0) + (index === scenario.writers - 1 ? 1 : 0);
    await tx
      .on(name)
      .query('update account set balance = balance + $2 where id = $1', [plan.account, amount]);
  }
  if (scenario.dissent !== true) return;
  await tx
    .on(names[scenario.writers - 1] ?? '')
    .query('insert into child values ($1, 4711)', [plan.account]);
}

let id = '';
try {
  await tm.run(
    {
      timeoutMs: plan.timeoutMs,
      ...(scenario.serializable === true ? { isolationLevel: 'serializable' } : {}),
      ...(scenario.key === true ? { idempotencyKey: `account ${plan.account}` } : {}),
    },
    async (tx) => {
      ({ id } = tx);
      say(id, 'begun');
      await work(tx);
    },
  );
  say(id, 'committed');
} catch (error) {
  if (error instanceof OutcomeUnknownError) say(id, 'unknown');
  else if (error instanceof RolledBackError) say(id, 'rolled-back');
  else if (error instanceof HeuristicOutcomeError) say(id, 'heuristic');
  else throw error;
}
await tm.close();
