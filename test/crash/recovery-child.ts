/**
 * One recovery pass in a process of its own, to be killed on its way. Argument: a RecoveryPlan as JSON. Says
 * "ready" before the pass and "done" behind it. It is killed from outside, by what it sends.
 */
import { createTransactionManager } from '../../src/transaction-manager.ts';

export interface RecoveryPlan {
  readonly logUrl: string;
  readonly participants: Readonly<Record<string, string>>;
}

export interface RecoveryEvent {
  readonly event: 'ready' | 'done';
}

const plan = JSON.parse(process.argv[2] ?? '') as RecoveryPlan;

function say(event: RecoveryEvent['event']): void {
  process.stdout.write(`${JSON.stringify({ event })}\n`);
}

const tm = await createTransactionManager({
  coordinator: 'recovery-child',
  decisionLog: { connectionString: plan.logUrl },
  participants: Object.fromEntries(
    Object.entries(plan.participants).map(([name, connectionString]) => [
      name,
      { connectionString },
    ]),
  ),
});
say('ready');
await tm.recover({ wait: false });
say('done');
await tm.close();
