/** Coordinators in processes of their own, for tests that kill or freeze them. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import type { ChildPlan } from '../crash/coordinator-child.ts';
import type { Bank } from './bank.ts';

export interface ChildEvent {
  readonly id: string;
  readonly event: 'begun' | 'committed' | 'rolled-back' | 'unknown' | 'fault';
}

export interface CoordinatorChild {
  readonly process: ChildProcess;
  readonly events: readonly ChildEvent[];
  /** Resolves with the signal or exit code once the process and its output have ended. */
  readonly ended: Promise<NodeJS.Signals | number | null>;
  count(event: ChildEvent['event']): number;
}

export function startCoordinator(
  bank: Bank,
  plan: Omit<ChildPlan, 'logUrl' | 'participants'>,
): CoordinatorChild {
  const whole: ChildPlan = {
    ...plan,
    logUrl: bank.log.connectionString,
    participants: Object.fromEntries(
      bank.participants.map(({ name, connectionString }) => [name, connectionString]),
    ),
  };
  const script = fileURLToPath(new URL('../crash/coordinator-child.ts', import.meta.url));
  const child = spawn(process.execPath, ['--import', 'tsx', script, JSON.stringify(whole)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const events: ChildEvent[] = [];
  const lines = createInterface({ input: child.stdout });
  lines.on('line', (line) => events.push(JSON.parse(line) as ChildEvent));
  const ended = Promise.all([once(child, 'exit'), once(lines, 'close')]).then(
    ([[code, signal]]) => (signal ?? code) as NodeJS.Signals | number | null,
  );
  return {
    process: child,
    events,
    ended,
    count: (event) => events.filter((one) => one.event === event).length,
  };
}
