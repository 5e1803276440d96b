/**
 * The program under test: moves money with pgxa, in a process of its own, and kills itself with SIGKILL
 * at one point of the protocol if its plan says so. Argument: a JSON object, see Plan.
 */
import { setTimeout as delay } from 'node:timers/promises';

import { createTransactionManager, RolledBackError, subscribe } from '../../src/index.ts';

export interface Plan {
  readonly logUrl: string;
  readonly ordersUrl: string;
  readonly billingUrl: string;
  readonly accounts: number;
  /** Numbers of the first and the last transfer to do. */
  readonly first: number;
  readonly last: number;
  /** Where to die, once `killAfter` transfers of this run have ended; absent: nowhere. */
  readonly killAt?: KillPoint;
  readonly killAfter?: number;
}

/** `decision`: right after a commit became durable. `vote`: both branches voted yes, undecided. */
export type KillPoint = 'decision' | 'vote';

/** What the program tells its parent about a transfer. */
export interface Message {
  readonly id: string;
  readonly event: 'begun' | 'committed' | 'rolled-back';
}

const CONCURRENCY = 8;
/** All transfers commit at the beat of one clock: then several are in the same phase at a kill. */
const BEAT_MS = 50;
/** More than all accounts together hold. */
const TOO_MUCH = 1_000_000;
const CHECK_VIOLATION = '23514';

const plan = JSON.parse(process.argv[2] ?? '') as Plan;
// Without its parent it has nobody to work for.
process.once('disconnect', () => process.exit(1));

const tm = await createTransactionManager({
  coordinator: 'demo',
  decisionLog: { connectionString: plan.logUrl },
  participants: {
    orders: { connectionString: plan.ordersUrl },
    billing: { connectionString: plan.billingUrl },
  },
});

let ended = 0;
/** How far the transfers in phase one and two are. */
const phases = new Map<string, 'voting' | 'voted' | 'decided'>();

function inPhase(phase: 'voted' | 'decided'): number {
  return [...phases.values()].filter((one) => one === phase).length;
}

/** One transfer alone would be too easy: others are between vote and end at the kill, too. */
function dieAt(point: KillPoint): void {
  if (point !== plan.killAt || ended < (plan.killAfter ?? 0)) return;
  const due =
    point === 'decision'
      ? inPhase('decided') > 1 && phases.size > 3
      : // No decision has been asked for: one on its way could still become durable.
        inPhase('voted') === 1 && inPhase('decided') === 0 && phases.size > 1;
  if (due) process.kill(process.pid, 'SIGKILL');
}

// Events are published synchronously, at the very point of the protocol that they name.
subscribe('branch:voted', ({ transactionId, vote }) => {
  if (vote !== 'yes') return;
  const second = phases.has(transactionId);
  phases.set(transactionId, second ? 'voted' : 'voting');
  if (second) dieAt('vote');
});
subscribe('transaction:decided', ({ transactionId, decision }) => {
  if (decision !== 'commit') return;
  phases.set(transactionId, 'decided');
  dieAt('decision');
});
subscribe('transaction:ended', ({ transactionId }) => {
  phases.delete(transactionId);
  ended += 1;
});

function tell(message: Message): void {
  // Sent at once, in order. An error means that the parent is gone, and `disconnect` follows.
  process.send?.(message, () => undefined);
}

/** Moves money from an account in one database to one in the other, or changes neither. */
async function transfer(number: number): Promise<void> {
  const amount = number % 6 === 0 ? TOO_MUCH : 1 + (number % 20);
  const account = 1 + ((number * 37) % plan.accounts);
  const change = number % 2 === 0 ? amount : -amount;
  let id = '';
  try {
    await tm.run({ label: `transfer ${number}` }, async (tx) => {
      ({ id } = tx);
      tell({ id, event: 'begun' });
      // Always in the same order: two transfers never wait for each other.
      for (const [database, difference] of [
        ['orders', change],
        ['billing', -change],
      ] as const) {
        const client = tx.on(database);
        await client.query('insert into transfer values ($1, $2)', [id, difference]);
        await client.query('update account set balance = balance + $2 where id = $1', [
          account,
          difference,
        ]);
      }
      await delay(BEAT_MS - (Date.now() % BEAT_MS));
    });
    tell({ id, event: 'committed' });
  } catch (error) {
    if (!(error instanceof RolledBackError) || !isOverdraft(error.cause)) throw error;
    tell({ id, event: 'rolled-back' });
  }
}

/** The constraint `balance >= 0` refused: the one reason for which a transfer may fail here. */
function isOverdraft(cause: unknown): boolean {
  return cause instanceof Error && 'code' in cause && cause.code === CHECK_VIOLATION;
}

let next = plan.first;
await Promise.all(
  Array.from({ length: CONCURRENCY }, async () => {
    while (next <= plan.last) await transfer(next++);
  }),
);
await tm.close();
process.removeAllListeners('disconnect');
process.disconnect();
