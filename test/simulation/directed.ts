/**
 * Schedules that lead to one rare coincidence each, instead of waiting for it: what a guard is for, so that its absence
 * is noticed soon. All that is not needed for it stays drawn from the seed. With all guards they break no promise.
 */
import { drawPlan, type Fault, type Plan, type PlannedFault, type Trigger } from './plan.ts';
import { Random } from './random.ts';

type Direct = (random: Random, plan: Plan) => Partial<Plan>;

/** Strikes where it was waiting. */
const HERE = 1;
/** Strikes the server of the first participant (Nemesis: a multiple of 6 is a target of its own). */
const FIRST_SERVER = 12;

function on(
  kind: string,
  phase: Trigger['phase'],
  what: Fault,
  more: { readonly nth?: number; readonly afterMs?: number; readonly target?: number } = {},
): PlannedFault {
  const { nth = 1, afterMs, target = HERE } = more;
  return { when: { kind, phase, nth, ...(afterMs !== undefined && { afterMs }) }, target, what };
}

interface Some {
  readonly count: number;
  readonly fromMs?: number;
  readonly everyMs?: number;
  readonly writes?: readonly number[];
  /** The first `coordinator`s take turns. */
  readonly coordinators?: number;
  readonly key?: string;
}

function transactions(random: Random, some: Some): Plan['transactions'] {
  const { count, fromMs = 60, everyMs = 40, writes = [0, 1], coordinators = 1, key } = some;
  return Array.from({ length: count }, (_, index) => ({
    coordinator: index % coordinators,
    atMs: fromMs + everyMs * (index + random.next()),
    writes,
    reads: undefined,
    account: index,
    timeoutMs: 5_000,
    thinkMs: 0,
    idempotencyKey: key,
    throws: false,
  }));
}

/** A decision or a finish is visible, and no standby has it: its wait was cut off. */
function unconfirmed(random: Random): Fault {
  return { do: 'detach-standby', cancelAfterMs: 1 + random.int(20), forMs: 20_000 };
}

const FAIL_OVER: Fault = { do: 'fail-over', noticed: true };
const QUIET = { hidesWarnings: false, slow: 0, poolMax: 4, maxPrepared: 16, lockTimeoutMs: 5_000 };

const OPERATED = {
  ...QUIET,
  heartbeatLimitMs: 8_000,
  safetyMs: 4_000,
  coordinators: 1,
  managersRecover: false,
} as const;
/** What the coordinator writes waits for the operator who is called in that moment. */
const COMMITTED_BY_FORCE: readonly PlannedFault[] = [
  on('settle', 'sent', { do: 'hold', until: { kind: 'force-commit', phase: 'flushed', nth: 1 } }),
  on('settle', 'sent', { do: 'operator', what: 'force-commit' }),
];

export const DIRECTIONS = {
  /** A decision comes in the moment in which its coordinator is being retired. */
  'late decision': (random) => ({
    ...QUIET,
    heartbeatLimitMs: 1_000,
    recoveryIntervalMs: 300,
    safetyMs: 4_000,
    logReplication: random.pick(['none', 'sync'] as const),
    latencyMs: [0.1, 0.4],
    transactions: transactions(random, { count: 3 }),
    faults: [
      on('decide', 'sent', { do: 'hold', until: { kind: 'retire', phase: 'written', nth: 1 } }),
    ],
  }),
  /** All branches are prepared and a vote is lost; before the coordinator can write abort, an operator commits. */
  'operator first': (random) => ({
    ...OPERATED,
    replication: 'none',
    transactions: transactions(random, { count: 1 }),
    faults: [
      on('prepare', 'arrived', { do: 'cut', how: 'reply-lost' }, { nth: 1 + random.int(2) }),
      ...COMMITTED_BY_FORCE,
    ],
  }),
  /** The same, and the servers crash behind the ends of their branches, before the coordinator hears of the commit. */
  'operator, then a crash': (random) => ({
    ...OPERATED,
    replication: 'none',
    transactions: transactions(random, { count: 1 }),
    faults: [
      on('prepare', 'arrived', { do: 'cut', how: 'reply-lost' }, { nth: 1 + random.int(2) }),
      on('settle', 'sent', { do: 'hold', until: { kind: 'finish', phase: 'answered', nth: 2 } }),
      on('settle', 'sent', { do: 'operator', what: 'force-commit' }),
      ...[1, 2].map((nth) =>
        on(
          'finish',
          'answered',
          { do: 'crash-server', forMs: 200, noticed: random.chance(0.5), panics: false },
          { nth },
        ),
      ),
    ],
  }),
  /** As "operator first", where the standby has not got one of the branches yet. */
  'operator early': (random) => ({
    ...OPERATED,
    replication: 'sync',
    transactions: transactions(random, { count: 1 }),
    faults: [
      on('prepare', 'written', unconfirmed(random), { nth: 1 + random.int(2) }),
      ...[1, 2, 3, 4].map((nth) => on('barrier', 'written', unconfirmed(random), { nth })),
      ...COMMITTED_BY_FORCE,
    ],
  }),
  /** A decision that was seen is lost with the log's server, while somebody is reading it. */
  'decision lost while read': (random) => ({
    ...QUIET,
    safetyMs: 4_000,
    logReplication: 'sync',
    latencyMs: random.pick([
      [0.1, 0.4],
      [0.1, 4],
    ] as const),
    recoveryIntervalMs: random.pick([20, 300]),
    transactions: transactions(random, { count: 2 }),
    faults: [
      on('decide', 'written', unconfirmed(random)),
      // Those who read it then wait for the standby, and that wait is cut off too.
      ...(random.chance(0.5) ? [on('barrier', 'written', unconfirmed(random))] : []),
      on(random.pick(['decisions', 'settle']), 'answered', FAIL_OVER, {
        nth: 1 + random.int(6),
        afterMs: random.pick([0, 0.1, 0.5]),
      }),
    ],
  }),
  /** The same with the end of a branch, while its transaction id is being asked for. */
  'end lost while asked': (random) => ({
    ...QUIET,
    safetyMs: 4_000,
    replication: 'sync',
    latencyMs: [0.1, 4],
    transactions: transactions(random, { count: 2 }),
    faults: [
      on('finish', 'written', unconfirmed(random), { nth: 1 + random.int(2) }),
      ...(random.chance(0.5)
        ? [
            on('xact-status', 'answered', FAIL_OVER, {
              nth: 1 + random.int(3),
              afterMs: random.pick([0, 0.1, 0.5]),
            }),
          ]
        : [{ when: { atMs: 300 + random.int(2_000) }, target: FIRST_SERVER, what: FAIL_OVER }]),
    ],
  }),
  /** A failover loses a vote; its transaction id is another transaction's by the time it is asked for. */
  'id of a lost vote': (random) => ({
    ...QUIET,
    safetyMs: 4_000,
    replication: 'async',
    coordinators: 2,
    recoverers: 1,
    recoveryIntervalMs: 1_000,
    latencyMs: [0.1, 0.4],
    transactions: [
      ...transactions(random, { count: 1, fromMs: 300 }),
      ...transactions(random, {
        count: 8,
        fromMs: 320,
        everyMs: 30,
        writes: [0],
        coordinators: 1,
      }).map((one) => ({ ...one, coordinator: 1, account: one.account + 1 })),
    ],
    faults: [
      {
        when: { atMs: 250 },
        target: FIRST_SERVER,
        what: { do: 'detach-standby', cancelAfterMs: 10, forMs: 20_000 },
      },
      on('finish', 'sent', {
        do: 'hold',
        until: { kind: 'commit', phase: 'answered', nth: 3 + random.int(4) },
      }),
      on('decide', 'answered', FAIL_OVER, { target: FIRST_SERVER }),
    ],
  }),
  /** The only COMMIT is lost in a crash, and its id is handed out again before it is asked for. */
  'id of a lost commit': (random) => ({
    ...QUIET,
    safetyMs: 4_000,
    replication: 'none',
    coordinators: 2,
    latencyMs: [0.1, 0.4],
    transactions: [
      ...transactions(random, { count: 1, fromMs: 300, everyMs: 1, writes: [0] }),
      ...transactions(random, { count: 8, fromMs: 310, writes: [0] }).map((one) => ({
        ...one,
        coordinator: 1,
        account: one.account + 1,
      })),
    ],
    faults: [
      on('commit', 'written', { do: 'crash-server', forMs: 5, noticed: true, panics: false }),
      on('terminate', 'sent', {
        do: 'hold',
        until: { kind: 'commit', phase: 'answered', nth: 1 + random.int(4) },
      }),
    ],
  }),
  /** A PREPARE that takes effect after its coordinator has given it up, and nobody who would find it. */
  'late vote': (random) => ({
    ...QUIET,
    safetyMs: 4_000,
    recoverers: 0,
    managersRecover: false,
    replication: random.pick(['none', 'async'] as const),
    participants: 2,
    latencyMs: [0.1, 4],
    transactions: transactions(random, { count: 2 }).map((one) => ({ ...one, timeoutMs: 400 })),
    faults: [
      on(
        'prepare',
        'arrived',
        { do: 'pause-backend', forMs: 1_000 + random.int(2_000) },
        { nth: 1 + random.int(2) },
      ),
      ...(random.chance(0.5)
        ? [
            on(
              'terminate',
              'sent',
              random.chance(0.5)
                ? { do: 'land-on-standby', forMs: 20 + random.int(300) }
                : { do: 'detour', forMs: 20 + random.int(300) },
              { target: FIRST_SERVER },
            ),
          ]
        : []),
    ],
  }),
  /** A server dies of a commit, says so, and the commit stands or not. */
  panic: (random) => ({
    ...QUIET,
    safetyMs: 4_000,
    transactions: transactions(random, { count: 3, writes: random.pick([[0], [0, 1]]) }),
    faults: [
      on(
        random.pick(['commit', 'prepare', 'decide', 'finish']),
        random.pick(['written', 'flushed'] as const),
        { do: 'crash-server', forMs: 50, noticed: random.chance(0.7), panics: true },
        { nth: 1 + random.int(3) },
      ),
    ],
  }),
  /** A name leads astray between the list of a server and what is done about it. */
  astray: (random) => ({
    ...QUIET,
    safetyMs: 4_000,
    heartbeatLimitMs: 1_000,
    replication: random.pick(['none', 'async'] as const),
    latencyMs: [0.1, 4],
    transactions: transactions(random, { count: 3 }),
    faults: [
      on('decide', random.pick(['sent', 'arrived'] as const), {
        do: 'kill',
        noticed: true,
        backAfterMs: undefined,
      }),
      on(
        random.pick(['settle', 'retire', 'list', 'decisions']),
        'answered',
        random.chance(0.5)
          ? { do: 'detour', forMs: 300 + random.int(2_000) }
          : { do: 'land-on-standby', forMs: 300 + random.int(2_000) },
        { target: FIRST_SERVER, nth: 1 + random.int(8), afterMs: random.pick([0, 0.5, 2]) },
      ),
    ],
  }),
  /** Nothing goes wrong, and those who recover look often, with less patience than the coordinators asked for. */
  'impatient watchers': (random) => ({
    ...QUIET,
    coordinators: 1 + random.int(2),
    heartbeatLimitMs: 60_000,
    recovererLimitMs: 1_000,
    managersRecover: random.chance(0.5),
    recoveryIntervalMs: 60,
    safetyMs: 3_000,
    latencyMs: [2, 10],
    transactions: transactions(random, { count: 8, fromMs: 100, everyMs: 300, coordinators: 2 }),
    faults: [],
  }),
  /** Two programs, one key. */
  'one key': (random, { faults }) => ({
    ...QUIET,
    coordinators: 2,
    transactions: [
      ...transactions(random, { count: 2, everyMs: 10, coordinators: 2, key: 'key' }),
      ...transactions(random, { count: 2, fromMs: 120, writes: [0], coordinators: 2, key: 'key' }),
    ],
    faults: random.chance(0.5) ? [] : faults,
  }),
  /** The standby of a server is away when something becomes durable there; then it takes over. */
  unconfirmed: (random) => ({
    ...QUIET,
    safetyMs: 4_000,
    replication: 'sync',
    logReplication: 'sync',
    hidesWarnings: random.chance(0.5),
    transactions: transactions(random, { count: 3, writes: random.pick([[0], [0, 1]]) }),
    faults: [
      on(
        random.pick(['commit', 'prepare', 'decide', 'settle', 'finish', 'barrier']),
        'written',
        unconfirmed(random),
        { nth: 1 + random.int(3) },
      ),
      on('decide', 'sent', { do: 'kill', noticed: true, backAfterMs: undefined }, { nth: 3 }),
    ],
  }),
} as const satisfies Record<string, Direct>;

export type Direction = keyof typeof DIRECTIONS;

export function drawDirected(direction: Direction, seed: number): Plan {
  const drawn = drawPlan(seed);
  const direct: Direct = DIRECTIONS[direction];
  return { ...drawn, ...direct(new Random(seed, 3), drawn) };
}
