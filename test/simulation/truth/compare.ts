/** The same random commands on a simulated and on a real server: the answers have to be the same. */
import { isDeepStrictEqual } from 'node:util';

import type { Random } from '../random.ts';
import { askFacts, CommandSource, SESSIONS, xidOf, type Command, type Names } from './commands.ts';
import type { Outcome, Target } from './target.ts';

export interface Difference {
  readonly command: number;
  readonly name: string;
  readonly expected: unknown;
  readonly found: unknown;
  readonly before: readonly string[];
}

export interface Comparison {
  readonly commands: number;
  /** How often which answer came. */
  readonly answers: ReadonlyMap<string, number>;
  readonly difference: Difference | undefined;
}

interface Side {
  readonly target: Target;
  readonly names: Names;
}

const CRASH_EVERY = 2_500;
const REOPEN = 0.01;

export async function compare(
  real: Target,
  simulated: Target,
  random: Random,
  count: number,
): Promise<Comparison> {
  const sides = [real, simulated].map((target): Side => ({
    target,
    names: { backends: new Map(), xids: [] },
  })) as [Side, Side];
  const source = new CommandSource(random);
  const status = new Map<number, string | null>();
  const answers = new Map<string, number>();
  const before: string[] = [];
  for (let session = 0; session < SESSIONS; session += 1) await open(sides, session, status);
  for (let number = 1; number <= count; number += 1) {
    const session = random.int(SESSIONS);
    if (number % CRASH_EVERY === 0) await crash(sides, status);
    if (random.chance(REOPEN) || status.get(session) === null) await open(sides, session, status);
    const command = source.next(session, status.get(session) ?? 'I');
    const expected = await carryOut(sides[0], command);
    const found = await carryOut(sides[1], command);
    const told = JSON.stringify([
      session,
      command.name,
      expected.outcome.error ?? expected.told.tags,
    ]);
    before.push(told);
    if (before.length > 12) before.shift();
    const key = expected.outcome.error ?? expected.told.tags.at(-1) ?? 'nothing';
    answers.set(key, (answers.get(key) ?? 0) + 1);
    status.set(session, expected.outcome.status);
    if (!isDeepStrictEqual(expected.told, found.told)) {
      const difference = {
        command: number,
        name: command.name,
        expected: expected.told,
        found: found.told,
        before,
      };
      return { commands: number, answers, difference };
    }
    noteXids(sides, command, expected.outcome, found.outcome);
  }
  return { commands: count, answers, difference: undefined };
}

interface Answer {
  readonly outcome: Outcome;
  readonly told: {
    readonly tags: readonly string[];
    readonly error: string | undefined;
    readonly notices: readonly string[];
    readonly status: string | null;
    readonly view: unknown;
    readonly prepared: readonly string[] | undefined;
  };
}

async function carryOut({ target, names }: Side, command: Command): Promise<Answer> {
  const outcome = await target.run(command.session, command.request(names));
  const prepared = command.changesPrepared === true ? await target.prepared() : undefined;
  const rows = (outcome.steps.at(-1)?.rows ?? []) as Record<string, unknown>[];
  const view =
    command.view !== undefined && outcome.error === undefined ? command.view(rows) : undefined;
  const { steps, error, notices, status } = outcome;
  return {
    outcome,
    told: {
      tags: steps.map(({ tag }) => tag),
      error,
      notices,
      status,
      view: plainOf(view),
      prepared,
    },
  };
}

/** As JSON sees it: pg's rows have prototypes of their own. */
function plainOf(view: unknown): unknown {
  return view === undefined ? undefined : (JSON.parse(JSON.stringify(view)) as unknown);
}

function noteXids(
  sides: readonly [Side, Side],
  command: Command,
  expected: Outcome,
  found: Outcome,
): void {
  const ids = [xidOf(expected), xidOf(found)];
  if (command.tellsXid !== true || ids[0] === undefined || ids[1] === undefined) return;
  sides[0].names.xids.push(ids[0]);
  sides[1].names.xids.push(ids[1]);
}

async function open(
  sides: readonly [Side, Side],
  session: number,
  status: Map<number, string | null>,
): Promise<void> {
  for (const side of sides) {
    await side.target.open(session);
    const { outcome } = await carryOut(side, askFacts(session));
    const [row] = (outcome.steps[0]?.rows ?? []) as { pid: number; started_at: string }[];
    if (row !== undefined) side.names.backends.set(session, [row.pid, row.started_at]);
  }
  status.set(session, 'I');
}

async function crash(
  sides: readonly [Side, Side],
  status: Map<number, string | null>,
): Promise<void> {
  // What was not flushed is given out again, in an order of its own.
  for (const side of sides) {
    side.names.xids.length = 0;
    await side.target.crash();
  }
  for (let session = 0; session < SESSIONS; session += 1) await open(sides, session, status);
}
