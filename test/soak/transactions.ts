/** The kinds of transactions that a soak runs, drawn at random. All of them keep the sum of all balances. */
import type { RunOptions, TransactionScope } from '../../src/index.ts';
import { ACCOUNTS } from './history.ts';
import type { Random } from './random.ts';

/** One transfer on one participant. */
interface Move {
  readonly participant: string;
  readonly account: number;
  readonly amount: number;
}

export interface TransactionPlan {
  readonly type: string;
  readonly writers: readonly string[];
  readonly moves: readonly Move[];
  readonly readers: readonly string[];
  /** What goes wrong by the transaction's own doing. */
  readonly own: 'nothing' | 'throws' | 'deferred-violation' | 'signal' | 'statement-error';
  readonly signalAfterMs: number;
  /** An inner transaction, as ORMs make it, that is rolled back. */
  readonly inner: boolean;
  /** Ended with commit() of a handle, not by run(). */
  readonly handle: boolean;
  readonly pauseMs: number;
  readonly options: RunOptions;
}

const TYPES = [
  ['two-writers', 34],
  ['three-writers', 16],
  ['two-writers-one-reader', 8],
  ['one-writer', 8],
  ['one-writer-with-key', 3],
  ['two-writers-with-key', 8],
  ['no-writer', 4],
  ['serializable', 5],
  ['read-only', 2],
  ['deferred-violation', 4],
  ['statement-error', 2],
  ['throws', 4],
  ['timeout', 4],
  ['signal', 4],
  ['retry', 6],
  ['handle', 4],
  ['inner-transaction', 3],
] as const;

type TransactionType = (typeof TYPES)[number][0];

export const TRANSACTION_TYPES: readonly string[] = TYPES.map(([type]) => type);

export function drawTransaction(random: Random, participants: readonly string[]): TransactionPlan {
  const type = random.weighted<TransactionType>(TYPES);
  const shuffled = random.shuffle(participants);
  const writers = shuffled.slice(0, writersOf(type, random));
  const others = shuffled.slice(writers.length);
  return {
    type,
    writers,
    moves: movesOf(random, writers),
    readers: others.slice(0, readersOf(type)),
    own: ownFault(type),
    signalAfterMs: random.int(0, 40),
    inner: type === 'inner-transaction',
    handle: type === 'handle',
    pauseMs: random.chance(0.15) ? random.int(1, 30) : 0,
    options: optionsOf(type, random),
  };
}

function writersOf(type: TransactionType, random: Random): number {
  switch (type) {
    case 'no-writer':
    case 'read-only':
      return 0;
    case 'one-writer':
    case 'one-writer-with-key':
      return 1;
    case 'three-writers':
      return 3;
    case 'timeout':
    case 'throws':
    case 'handle':
    case 'retry':
      return random.int(1, 3);
    default:
      return 2;
  }
}

function readersOf(type: TransactionType): number {
  switch (type) {
    case 'no-writer':
    case 'read-only':
      return 2;
    case 'two-writers-one-reader':
    case 'serializable':
    case 'one-writer':
      return 1;
    default:
      return 0;
  }
}

function ownFault(type: TransactionType): TransactionPlan['own'] {
  switch (type) {
    case 'throws':
    case 'deferred-violation':
    case 'signal':
    case 'statement-error':
      return type;
    default:
      return 'nothing';
  }
}

function optionsOf(type: TransactionType, random: Random): RunOptions {
  switch (type) {
    case 'one-writer-with-key':
    case 'two-writers-with-key':
      return { idempotencyKey: `key-${random.int(1, 4_000)}`, timeoutMs: 5_000 };
    case 'serializable':
      return { isolationLevel: 'serializable', timeoutMs: 5_000 };
    case 'read-only':
      return { readOnly: true, timeoutMs: 5_000 };
    case 'timeout':
      return { timeoutMs: random.int(1, 60) };
    case 'retry':
      return { retry: { attempts: 3 }, timeoutMs: 5_000 };
    default:
      return { timeoutMs: 5_000, label: `soak ${type}` };
  }
}

/** Out of the first writer and into the others; a single one moves between two of its own accounts. */
function movesOf(random: Random, writers: readonly string[]): Move[] {
  const account = random.int(1, ACCOUNTS);
  const amount = random.int(1, 5);
  const [first, ...others] = writers;
  if (first === undefined) return [];
  if (others.length === 0) {
    const low = random.int(1, ACCOUNTS - 1);
    return [
      { participant: first, account: low, amount: -amount },
      { participant: first, account: low + 1, amount },
    ];
  }
  return [
    { participant: first, account, amount: -amount * others.length },
    ...others.map((participant) => ({ participant, account, amount })),
  ];
}

export class OwnFault extends Error {}

const MOVE_SQL = `
  with moved as (
    update account set balance = balance + $2, version = version + 1 where id = $1
    returning id, version)
  insert into marker (transaction_id, account, version, amount, writers, key)
  select $3, id, version, $2, $4, $5 from moved`;

/** The work of the plan, inside of its transaction. */
export async function work(tx: TransactionScope, plan: TransactionPlan): Promise<void> {
  for (const reader of plan.readers) {
    await tx.on(reader).query('select count(*), sum(balance) from account');
  }
  const key = plan.options.idempotencyKey ?? null;
  for (const { participant, account, amount } of plan.moves) {
    await tx.on(participant).query(MOVE_SQL, [account, amount, tx.id, plan.writers, key]);
    if (plan.inner) await undoneInside(tx, participant);
    if (plan.pauseMs > 0) {
      await tx.on(participant).query('select pg_sleep($1)', [plan.pauseMs / 1_000]);
    }
  }
  const last = plan.writers.at(-1) ?? '';
  if (plan.own === 'throws') throw new OwnFault('the function of the transaction throws');
  if (plan.own === 'statement-error') {
    await tx.on(last).query('update account set balance = -1 where id = 1');
  }
  if (plan.own === 'deferred-violation') {
    await tx.on(last).query('insert into child values (gen_random_uuid(), 4711)');
  }
}

async function undoneInside(tx: TransactionScope, participant: string): Promise<void> {
  const client = tx.on(participant);
  await client.query('begin');
  await client.query('update account set balance = balance + 1000 where id = 1');
  await client.query('rollback');
}
