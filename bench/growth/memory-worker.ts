/** Holds many transactions open at once and looks at its own heap. Argument: a MemoryPlan. */
import { createTransactionManager, type Transaction } from '../../src/index.ts';
import { UPDATE_SQL } from '../speed/contenders/contender.ts';
import type { MemoryPlan } from './memory.ts';

const plan = JSON.parse(process.argv[2] ?? '') as MemoryPlan;
const manager = await createTransactionManager({
  coordinator: 'bench',
  decisionLog: { connectionString: plan.logUrl },
  participants: Object.fromEntries(
    Object.entries(plan.participants).map(([name, connectionString]) => [
      name,
      { connectionString, max: plan.transactions },
    ]),
  ),
});
const names = Object.keys(plan.participants);

const heapBytes = (): number => {
  (globalThis as { gc?: () => void }).gc?.();
  return process.memoryUsage().heapUsed;
};

async function openAll(): Promise<Transaction[]> {
  return Promise.all(
    Array.from({ length: plan.transactions }, async (_, index) => {
      const transaction = await manager.begin();
      for (const name of names) await transaction.on(name).query(UPDATE_SQL, [index + 1, 0]);
      return transaction;
    }),
  );
}

/** The connections themselves stay in the pools: what they take is the price of the pools. */
async function round(): Promise<number> {
  const before = heapBytes();
  const open = await openAll();
  const during = heapBytes();
  await Promise.all(open.map((transaction) => transaction.commit()));
  return (during - before) / plan.transactions;
}

await round();
await round();
const bytesPerTransaction = Math.round(await round());
await manager.close();
process.send?.({ transactions: plan.transactions, bytesPerTransaction });
process.disconnect();
