/** Whether a manager that has run many transactions holds more than one that has run few. */
import { withBench } from '../speed/bench.ts';
import { checkedRun, openWorker } from '../speed/measure.ts';
import type { GrowthOptions } from './growth.ts';

const TRANSACTIONS = 1_000_000;
const SAMPLES = 20;

export async function heap({ transactions = TRANSACTIONS }: GrowthOptions): Promise<object> {
  const one = { workload: 'one-row', participants: 2, concurrency: 64 } as const;
  return withBench([one], undefined, async (bench) => {
    const { setting, tell } = bench;
    const given = { ...setting, concurrency: one.concurrency };
    const worker = await openWorker(bench, one, given, 'pgxa');
    const heapMb: number[] = [];
    try {
      for (let sample = 0; sample < SAMPLES; sample += 1) {
        const request = { transactions: Math.ceil(transactions / SAMPLES), latencies: false };
        const result = await checkedRun(setting, one, 'pgxa', worker, request);
        heapMb.push(Number((result.heapBytes / 2 ** 20).toFixed(2)));
        tell(`${(sample + 1) * request.transactions} transactions: ${heapMb.at(-1) ?? ''} MB`);
      }
    } finally {
      await worker.close();
    }
    return { transactions, heapMbAfterGc: heapMb };
  });
}
