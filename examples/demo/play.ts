/** What happens in the demo, step by step. Returns whether all went as it has to. */
import { createTransactionManager, type TransactionManager } from '../../src/index.ts';
import {
  ACCOUNTS,
  OPENING_BALANCE,
  coordinatorGone,
  coordinatorUrl,
  listInDoubt,
  openBank,
  standingTransfers,
  sumOfBalances,
  type Bank,
  type InDoubt,
} from './bank.ts';
import type { Cleanup } from './cleanup.ts';
import { runCoordinator } from './coordinator-process.ts';
import type { KillPoint } from './coordinator.ts';
import type { Screen } from './screen.ts';
import { Tally } from './tally.ts';

const TRANSFERS = 600;

interface Stage {
  readonly screen: Screen;
  readonly cleanup: Cleanup;
  readonly bank: Bank;
  readonly tm: TransactionManager;
  readonly tally: Tally;
}

export async function play(screen: Screen, cleanup: Cleanup): Promise<boolean> {
  screen.heading('pgxa demo');
  screen.say(`${TRANSFERS} transfers of money between two PostgreSQL servers, by a program that is
    killed twice on the way. No money may be lost, and none made.`);

  screen.heading('1  Start three PostgreSQL servers');
  const startedAt = performance.now();
  const bank = await openBank(cleanup);
  const tm = await createTransactionManager({
    coordinator: 'demo-recovery',
    decisionLog: { connectionString: bank.log.url },
    participants: {
      orders: { connectionString: bank.orders.url },
      billing: { connectionString: bank.billing.url },
    },
  });
  cleanup.add(() => tm.close({ timeoutMs: 1_000 }));
  const accounts = `${ACCOUNTS} accounts with ${OPENING_BALANCE.toLocaleString('en')} each`;
  screen.table(
    ['server', 'address', 'holds'],
    [
      ['log', bank.log.address, 'the decisions of the transaction manager'],
      ['orders', bank.orders.address, accounts],
      ['billing', bank.billing.address, accounts],
    ],
  );
  screen.done(`ready in ${duration(startedAt)}`);
  const stage: Stage = { screen, cleanup, bank, tm, tally: new Tally() };
  const before = await sumOfBalances(bank);

  screen.heading('2  Kill it after the decision');
  screen.say(`A transfer is one transaction over both servers: each is asked to prepare its branch
    (the vote), the decision is written to the log, then both are told to commit. Every
    sixth transfer asks for more than there is, and must change nothing on either server.
    This program kills itself when "commit" is durable in the log, and tells nobody.`);
  await act(stage, TRANSFERS / 3, 'decision');

  screen.heading('3  Kill it before the decision');
  screen.say(`Started again, it kills itself when both servers have voted yes, before a decision.`);
  await act(stage, (2 * TRANSFERS) / 3, 'vote');

  screen.heading('4  Do the rest');
  screen.say('Started once more, it does the remaining transfers undisturbed.');
  await act(stage, TRANSFERS);

  screen.heading('5  Count');
  return audit(stage, before);
}

/** Runs a coordinator; if it is to be killed, looks at what it left behind, and recovers. */
async function act(stage: Stage, until: number, killAt?: KillPoint): Promise<void> {
  const { screen, bank, cleanup, tally } = stage;
  const first = tally.started + 1;
  const progress = screen.progress(TRANSFERS);
  const show = (): void => {
    progress.update(tally.started, tally.count('committed'), tally.count('rolled-back'));
  };
  show();
  const end = await runCoordinator(
    {
      logUrl: coordinatorUrl(bank.log),
      ordersUrl: coordinatorUrl(bank.orders),
      billingUrl: coordinatorUrl(bank.billing),
      accounts: ACCOUNTS,
      first,
      last: TRANSFERS,
      ...(killAt === undefined ? {} : { killAt, killAfter: until - first }),
    },
    (message) => {
      tally.note(message);
      show();
    },
    cleanup,
  );
  progress.stop();
  if (killAt === undefined) {
    if (end !== 0) throw new Error(`the coordinator ended with ${String(end)}, not with 0`);
    screen.done('all transfers are done');
    return;
  }
  if (end !== 'SIGKILL') throw new Error(`the coordinator ended with ${String(end)}, not SIGKILL`);
  screen.say(`${screen.style('red', '✘')} the program is dead: SIGKILL`);
  await recover(stage, killAt);
}

async function recover({ screen, bank, tm, tally }: Stage, killAt: KillPoint): Promise<void> {
  await coordinatorGone(bank);
  const inDoubt = await listInDoubt(bank, tm);
  tally.noteInDoubt(inDoubt);
  screen.say(`In doubt: prepared and not finished. These branches keep their locks, even over a
    restart of their server, until somebody finishes them:`);
  screen.table(
    ['server', 'gid, without installation and epoch', 'age', 'decision'],
    inDoubt.map(({ server, gid, ageMs, decision }) => [
      server,
      shortGid(gid),
      `${Math.round(ageMs)} ms`,
      decision === 'none' ? screen.style('yellow', decision) : screen.style('green', decision),
    ]),
  );
  assertFaultFired(inDoubt, killAt);

  screen.say(`Another process calls tm.recover(). Decision "commit": the branch is committed. None:
    once its coordinator is surely dead, "abort" is decided, and it is rolled back.`);
  const startedAt = performance.now();
  const report = await tm.recover();
  const what = `${report.committed} branches committed, ${report.rolledBack} rolled back`;
  if (!report.complete) throw new Error(`recovery left ${report.left} branches in doubt; ${what}`);
  screen.done(`recovered in ${duration(startedAt)}: ${what}, nothing is left in doubt`);
}

/** A transaction with both branches prepared is there, with the decision that the fault asks for. */
function assertFaultFired(inDoubt: readonly InDoubt[], killAt: KillPoint): void {
  const wanted = killAt === 'decision' ? 'commit' : 'none';
  const ids = inDoubt
    .filter(({ decision }) => decision === wanted)
    .map(({ transactionId }) => transactionId);
  if (new Set(ids).size === ids.length) {
    throw new Error(`no transfer is prepared on both servers with decision ${wanted}`);
  }
}

async function audit({ screen, bank, tm, tally }: Stage, before: number): Promise<boolean> {
  const after = await sumOfBalances(bank);
  const { whole, torn } = await standingTransfers(bank);
  const left = await listInDoubt(bank, tm);
  const totals = tally.totals(whole);
  screen.table(
    [],
    [
      ['transfers started', totals.started],
      ['  committed', totals.committed],
      ['  rolled back: not enough money', totals.rolledBack],
      ['  in doubt at a kill, recovered by commit', totals.recoveredByCommit],
      ['  in doubt at a kill, recovered by rollback', totals.recoveredByRollback],
      ['  cut off by a kill before their vote', totals.cutOff],
      ['transfers on one server only', torn.length],
      ['transfers that ended otherwise than told', totals.contradictions.length],
      ['branches left in doubt', left.length],
      ['sum of all balances before', before],
      ['sum of all balances after', after],
    ],
  );
  const failures = [
    ...(before === after ? [] : ['the sums differ']),
    ...(torn.length === 0 ? [] : ['there are transfers on one server only']),
    ...(totals.contradictions.length === 0 ? [] : ['there are transfers that ended otherwise']),
    ...(left.length === 0 ? [] : ['there are branches in doubt']),
    ...(totals.committed > 0 && totals.rolledBack > 0 ? [] : ['not all outcomes occurred']),
  ];
  for (const failure of failures) screen.failed(failure);
  if (failures.length === 0)
    screen.done('every transfer is on both servers or on none, and no money is lost');
  return failures.length === 0;
}

/** Installation and epoch, which all branches of a coordinator share, are left out. */
function shortGid(gid: string): string {
  const [prefix = '', , , ...rest] = gid.split('_');
  return [prefix, '…', ...rest].join('_');
}

function duration(since: number): string {
  const ms = performance.now() - since;
  return ms < 1_000 ? `${ms.toFixed(0)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}
