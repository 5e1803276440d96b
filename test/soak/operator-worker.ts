/**
 * The operator of the soak: a script that runs verbs of `pgxa`, in a process of its own. It looks, acts on what it
 * sees, and asks what became of the transactions that somebody asks about. Told on standard input, a line each:
 * `begun ID writer …`, what the application knows of its transactions, and `ask ID`.
 */
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Explanation, Survey, TransactionView } from '../../src/index.ts';
import type { Plain } from '../support/triage-bank.ts';
import { Random } from './random.ts';
import { runVerb, type Pgxa, type VerbEnd } from './verbs.ts';
import { askedToEnd, readPlan, say } from './worker-plan.ts';

type Shown = Plain<TransactionView>;
interface Begun {
  readonly writers: readonly string[];
  readonly hasKey: boolean;
}

/** Beyond this the application has forgotten. */
const MOST_BEGUN = 20_000;
const QUESTIONS_A_TURN = 4;
const WHY = ['--yes', '--reason', 'the script of the soak'];

const plan = readPlan();
const end = askedToEnd();
const random = new Random(plan.seed);
const pgxa: Pgxa = { main: plan.cli, configFile: plan.configFile };
const asked = new Set<string>();
const begun = new Map<string, Begun>();

const input = createInterface({ input: process.stdin });
input.on('line', (line) => {
  const [what, id = '', key = '', ...writers] = line.split(' ');
  if (what === 'ask') asked.add(id);
  if (what !== 'begun') return;
  begun.set(id, { writers, hasKey: key === 'key' });
  const [oldest] = begun.keys();
  if (begun.size > MOST_BEGUN && oldest !== undefined) begun.delete(oldest);
});

// A group of its own outlives a harness that was killed.
input.once('close', () => process.exit());

/** 2 is a mistake of the script or of pgxa, anything unknown one of pgxa: neither may be for any fault. */
const POSSIBLE = [0, 1, 3, 4, 5];
/** Of a monitoring plugin: 2 is critical. */
const OF_NAGIOS = [0, 1, 2, 3];

async function run(...args: readonly string[]): Promise<VerbEnd> {
  const [verb = ''] = args;
  const name = verb === 'force' ? `force ${String(args[1])}` : verb;
  const ended = await runVerb(pgxa, ...args);
  const { code, stderr, ms } = ended;
  const said = code === 0 ? {} : { said: stderr.slice(-300) };
  say({ kind: 'verb', verb: name, code, ms, ...said });
  const possible = args.includes('--nagios') ? OF_NAGIOS : POSSIBLE;
  if (code === null || !possible.includes(code)) {
    const why = `exit code ${String(code)} after ${ms} ms: ${stderr.slice(-1_000)}`;
    say({ kind: 'unexpected', id: '', where: `pgxa ${args.join(' ')}`, why });
  }
  return ended;
}

/** The data of a verb that answers in any case, though perhaps not of everything. */
async function read<T extends object>(...args: readonly string[]): Promise<Plain<T> | undefined> {
  const { code, stdout, stderr } = await run(...args, '-o', 'json');
  try {
    return stdout === '' ? undefined : (JSON.parse(stdout) as Plain<T>);
  } catch {
    const why = `no JSON, exit code ${String(code)}: ${stdout.slice(0, 500)}${stderr.slice(-500)}`;
    say({ kind: 'unexpected', id: '', where: `pgxa ${args.join(' ')}`, why });
    return undefined;
  }
}

async function answerSome(): Promise<void> {
  for (const id of random.shuffle([...asked]).slice(0, QUESTIONS_A_TURN)) {
    const shown = await read<Explanation>('show', id, '--no-rows');
    const decision = shown?.transaction?.decision?.decision;
    if (decision === undefined) continue;
    asked.delete(id);
    say({ kind: 'outcome', id, outcome: decision === 'commit' ? 'committed' : 'aborted' });
  }
}

/** Anything that an operator may do to one transaction, by what is shown of it. */
async function actOn(one: Shown): Promise<void> {
  const { transactionId: id, verdict, heuristics } = one;
  if (heuristics.length > 0) {
    await run('explain', id);
    await run('forget', id, ...WHY);
    return;
  }
  looked += 1;
  if (looked <= 2 || random.chance(0.2)) await run(looked % 2 === 0 ? 'show' : 'explain', id);
  if (verdict === 'undecided-dead' || verdict === 'undecided-live') {
    await decide(one, verdict === 'undecided-live');
  } else if (verdict === 'commit' && plan.forcesAgainst && random.chance(0.5)) {
    await run('force', 'rollback', id, ...WHY, '--override');
  } else {
    await run('resolve', id, random.chance(0.2) ? '--dry-run' : '--yes');
  }
}

/** Of a coordinator that lives, seldom: it loses its epoch, and all that it has in flight. */
async function decide(one: Shown, isLive: boolean): Promise<void> {
  const { transactionId: id } = one;
  const override = isLive && random.chance(0.3) ? ['--override'] : [];
  const isWhole = isComplete(one);
  if (isWhole && random.chance(0.6)) await run('force', 'commit', id, ...WHY, ...override);
  else if (random.chance(0.5)) await run('force', 'rollback', id, ...WHY, ...override);
  else await run('resolve', id, '--yes');
}

/**
 * Only who knows the application can tell that no branch is missing. With a key it would be committed without it,
 * since only the coordinator knows the key: it could be done twice (docs/runbook.md).
 */
function isComplete({ transactionId, branches }: Shown): boolean {
  const known = begun.get(transactionId);
  if (known === undefined || known.hasKey) return false;
  const prepared = branches.filter(({ state }) => state === 'prepared');
  return known.writers.every((name) => prepared.some(({ participant }) => participant === name));
}

const LOOKS: readonly (readonly [readonly string[], number])[] = [
  [['check'], 4],
  [['check', '--nagios'], 1],
  [['resolve', '--all', '--yes'], 3],
  [['resolve', '--all', '--dry-run'], 2],
  [['recover'], 2],
  [['recover', '--dry-run'], 1],
  [['coordinators'], 1],
  [['history', '--limit', '20'], 1],
  [['history', '--audit', '--limit', '20'], 1],
  [['doctor'], 1],
];

/** A short soak shall have met every one (I26); "check" first. */
const due = [...random.shuffle(LOOKS.slice(1)), ...LOOKS.slice(0, 1)].map(([look]) => look);
let looked = 0;
say({ kind: 'ready', pid: process.pid });
while (!end.asked()) {
  const survey = await read<Survey>('list');
  // The oldest first: of what has just begun there is nothing left when the next command looks.
  const [oldest, ...others] = survey?.transactions ?? [];
  if (oldest !== undefined) await actOn(oldest);
  if (others.length > 0 && !end.asked()) await actOn(random.pick(others));
  const look = due.pop() ?? random.weighted(LOOKS);
  if (due.length > 0 || random.chance(0.4)) await run(...look);
  await answerSome();
  await Promise.race([sleep(plan.intervalMs), end.done]);
}
say({ kind: 'closed' });
input.close();
