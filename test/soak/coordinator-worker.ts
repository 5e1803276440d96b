/**
 * A coordinator of the soak, in a process of its own: random transactions until SIGTERM, then it lets its
 * pending questions be answered for a while, closes, and ends by itself (what keeps it alive is a leak).
 */
import { setTimeout as sleep } from 'node:timers/promises';

import {
  ConfigError,
  HeuristicOutcomeError,
  OutcomeUnknownError,
  RolledBackError,
  subscribe,
  type TransactionManager,
  type TransactionScope,
} from '../../src/index.ts';
import { createTransactionManager } from '../../src/transaction-manager.ts';
import { Random } from './random.ts';
import { drawTransaction, work, type TransactionPlan } from './transactions.ts';
import { askedToEnd, describe, managerConfig, readPlan, say } from './worker-plan.ts';

const QUESTIONS_AFTER_END_MS = 15_000;

const plan = readPlan();
const random = new Random(plan.seed);
const names = Object.keys(plan.participants);
const end = askedToEnd();
let runs = 0;
const open = new Set<string>();

subscribe('heuristic:found', ({ transactionId, participant, kind, evidence }) => {
  say({
    kind: 'heuristic-found',
    id: transactionId,
    participant,
    heuristic: kind,
    why: evidence,
  });
});

/** The log may be away when a coordinator starts. */
async function start(): Promise<TransactionManager> {
  for (;;) {
    try {
      return await createTransactionManager(managerConfig(plan));
    } catch (error) {
      if (!(error instanceof ConfigError) || end.asked()) throw error;
      await sleep(200);
    }
  }
}

async function transaction(tm: TransactionManager): Promise<void> {
  const one = drawTransaction(random, names);
  // A program that was told "unknown" may run again only with a key: it cannot be done twice.
  const tries = one.options.idempotencyKey === undefined ? 1 : 3;
  for (let attempt = 1; attempt <= tries; attempt += 1) {
    if (!(await attemptOnce(tm, one))) return;
  }
}

/** True if the outcome is unknown. */
async function attemptOnce(tm: TransactionManager, one: TransactionPlan): Promise<boolean> {
  runs += 1;
  const run = runs;
  let id = '';
  const begin = async (tx: TransactionScope): Promise<void> => {
    // Run again by pgxa itself: the attempt before this one is surely rolled back.
    if (id !== '') say({ kind: 'fail', id, run, code: 'RETRIED', why: '' });
    ({ id } = tx);
    const key = one.options.idempotencyKey;
    const { type, writers } = one;
    say({ kind: 'begun', id, run, type, writers, ...(key === undefined ? {} : { key }) });
    for (const hook of ['committed', 'rolled-back'] as const) {
      const told = (): void => {
        say({ kind: 'hook', id: tx.id, hook });
      };
      if (hook === 'committed') tx.onCommitted(told);
      else tx.onRolledBack(told);
    }
    await work(tx, one);
  };
  const controller = new AbortController();
  const timer =
    one.own === 'signal'
      ? setTimeout(() => {
          controller.abort(new Error('the caller of the soak aborts'));
        }, one.signalAfterMs)
      : undefined;
  const options =
    one.own === 'signal' ? { ...one.options, signal: controller.signal } : one.options;
  try {
    if (one.handle) {
      await using tx = await tm.begin(options);
      await begin(tx);
      await tx.commit();
    } else {
      await tm.run(options, begin);
    }
    say({ kind: 'ok', id, run });
  } catch (error) {
    return tell(tm, id, run, error, one.options.idempotencyKey);
  } finally {
    clearTimeout(timer);
  }
  return false;
}

function tell(
  tm: TransactionManager,
  id: string,
  run: number,
  error: unknown,
  key: string | undefined,
): boolean {
  if (error instanceof RolledBackError) {
    const { code, transactionId, existingTransactionId: existing } = error;
    const why = describe(error);
    const done = existing === undefined || key === undefined ? {} : { existing, key };
    say({ kind: 'fail', id: transactionId ?? id, run, code, why, ...done });
    return false;
  }
  if (error instanceof OutcomeUnknownError) {
    say({ kind: 'info', id: error.transactionId, run, why: describe(error) });
    void ask(tm, error.transactionId);
    return true;
  }
  if (error instanceof HeuristicOutcomeError) {
    const why = describe(error);
    say({ kind: 'told-heuristic', id, run, heuristic: error.kind, why });
    return false;
  }
  // With a handle the function's own error, or that of a statement, comes as it is: the disposal rolls back.
  if (id !== '' && isOwn(error))
    say({ kind: 'fail', id, run, code: 'DISPOSED', why: describe(error) });
  else say({ kind: 'unexpected', id, where: 'transaction', why: describe(error) });
  return false;
}

/** An error of a statement in the branch of a handle: a server's, a driver's, or the network's. */
function isOwn(error: unknown): boolean {
  return error instanceof Error && !(error.name === 'MisuseError' || error.name === 'ConfigError');
}

/** Asks for the outcome of what nobody could tell, until there is an answer. */
async function ask(tm: TransactionManager, id: string): Promise<void> {
  open.add(id);
  for (let waitMs = 100; open.has(id); waitMs = Math.min(2_000, waitMs * 2)) {
    await sleep(waitMs, undefined, { ref: false });
    try {
      const outcome = await tm.outcomeOf(id);
      if (outcome === 'undecided') continue;
      open.delete(id);
      say({ kind: 'outcome', id, outcome });
    } catch (error) {
      // The log is away: asked again.
      if (end.asked() && !(error instanceof Error)) throw error;
    }
  }
}

const tm = await start();
say({ kind: 'ready', pid: process.pid });
await Promise.all(
  Array.from({ length: plan.concurrency }, async () => {
    while (!end.asked()) {
      await transaction(tm);
      if (random.chance(0.05)) await sleep(random.int(1, 50));
    }
  }),
);
const until = performance.now() + QUESTIONS_AFTER_END_MS;
while (open.size > 0 && performance.now() < until) await sleep(50);
open.clear();
await tm.close();
say({ kind: 'closed' });
