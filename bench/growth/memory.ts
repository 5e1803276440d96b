/** What a transaction that is open, or waits for its decision, holds in the program. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';

import { openSetting } from '../speed/setting.ts';
import { buildWorker } from '../speed/worker-process.ts';
import type { GrowthOptions } from './growth.ts';

const TRANSACTIONS = 500;

export interface MemoryPlan {
  readonly logUrl: string;
  readonly participants: Readonly<Record<string, string>>;
  readonly transactions: number;
}

export async function memory({ transactions = TRANSACTIONS }: GrowthOptions): Promise<object> {
  const script = await buildWorker(new URL('memory-worker.ts', import.meta.url));
  try {
    const setting = await openSetting(2, transactions);
    try {
      const plan: MemoryPlan = {
        logUrl: setting.log.connectionString,
        participants: Object.fromEntries(
          setting.participants.map(({ name, connectionString }) => [name, connectionString]),
        ),
        transactions,
      };
      return await resultOf(script, plan);
    } finally {
      await setting.close();
    }
  } finally {
    await rm(script, { force: true });
  }
}

async function resultOf(script: string, plan: MemoryPlan): Promise<object> {
  const child = fork(script, [JSON.stringify(plan)], { execArgv: ['--expose-gc'] });
  try {
    const [result] = (await Promise.race([once(child, 'message'), failure(child)])) as [object];
    await once(child, 'exit');
    return result;
  } finally {
    child.kill('SIGKILL');
  }
}

async function failure(child: ReturnType<typeof fork>): Promise<never> {
  const [code] = (await once(child, 'exit')) as [number | null];
  throw new Error(`the measuring process ended with exit code ${code ?? 'none'}`);
}
