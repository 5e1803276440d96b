/** What a schedule consists of, drawn from its seed: who is there, who does what when, and what goes wrong. */
import type { Cut } from './network.ts';
import type { Phase, Replication } from './postgres/server.ts';
import { Random } from './random.ts';

export interface PlannedTransaction {
  readonly coordinator: number;
  readonly atMs: number;
  /** Participants that it writes to, in order, and one that it only reads from. */
  readonly writes: readonly number[];
  readonly reads: number | undefined;
  readonly account: number;
  readonly timeoutMs: number;
  /** How long its program thinks between two statements. */
  readonly thinkMs: number;
  readonly idempotencyKey: string | undefined;
  /** Its program changes its mind at the end. */
  readonly throws: boolean;
}

/** The moment of a fault: a time, or the n-th time that a statement of a kind comes that far. */
export type Moment = { readonly atMs: number } | Trigger;

export interface Trigger {
  readonly kind: string;
  readonly phase: Phase | 'sent';
  readonly nth: number;
  /** Never drawn: how long after it; with 0 what it did has still left the server. */
  readonly afterMs?: number;
}

export type Fault =
  | { readonly do: 'kill'; readonly noticed: boolean; readonly backAfterMs: number | undefined }
  | { readonly do: 'freeze'; readonly forMs: number }
  | { readonly do: 'close-manager' }
  /** `panics`: whoever commits is told an error, although its commit may stand. */
  | {
      readonly do: 'crash-server';
      readonly forMs: number;
      readonly noticed: boolean;
      readonly panics: boolean;
    }
  | { readonly do: 'fail-over'; readonly noticed: boolean }
  | { readonly do: 'pause-server'; readonly forMs: number }
  | { readonly do: 'pause-backend'; readonly forMs: number }
  | { readonly do: 'terminate-backend' }
  | { readonly do: 'cut'; readonly how: Cut }
  | { readonly do: 'clog'; readonly forMs: number }
  /** One process is cut off from all servers: what was sent comes late. */
  | { readonly do: 'isolate'; readonly forMs: number }
  /** Never drawn: what a process sends to a server waits until somebody's statement has come that far. */
  | { readonly do: 'hold'; readonly until: Omit<Trigger, 'afterMs'> }
  | { readonly do: 'detach-standby'; readonly cancelAfterMs: number; readonly forMs: number }
  | { readonly do: 'land-on-standby'; readonly forMs: number }
  | { readonly do: 'detour'; readonly forMs: number }
  | { readonly do: 'fill-slots'; readonly forMs: number }
  | { readonly do: 'duplicate'; readonly afterMs: number }
  | { readonly do: 'operator'; readonly what: 'resolve' | 'force-commit' }
  | { readonly do: 'by-hand'; readonly what: 'commit' | 'rollback' };

export interface PlannedFault {
  readonly when: Moment;
  /** Where it strikes when the moment is a time: any number, taken modulo what there is. */
  readonly target: number;
  readonly what: Fault;
}

export interface Plan {
  readonly seed: number;
  readonly participants: number;
  readonly coordinators: number;
  /** None is never drawn: then the coordinators have to end by themselves what they have begun. */
  readonly recoverers: number;
  readonly replication: Replication;
  readonly logReplication: 'none' | 'sync';
  /** After all is healed every manager has to commit once more. */
  readonly probes: boolean;
  /** At the end all is closed, and nothing may be left of it. */
  readonly closes: boolean;
  readonly managersRecover: boolean;
  readonly poolMax: number;
  readonly maxPrepared: number;
  readonly hidesWarnings: boolean;
  readonly heartbeatLimitMs: number;
  readonly lockTimeoutMs: number;
  readonly recoveryIntervalMs: number;
  /** The second recoverer waits for certainty in every pass. */
  readonly patientRecoverer: boolean;
  readonly latencyMs: readonly [number, number];
  readonly slow: number;
  /** End of the phase in which faults begin. */
  readonly safetyMs: number;
  /** Never drawn: the recoverers' own limit, which must not count where it is the shorter one. */
  readonly recovererLimitMs?: number;
  /** Never drawn: a name that leads to another server from the first look on makes everything go there. */
  readonly detoursStrangers?: boolean;
  readonly transactions: readonly PlannedTransaction[];
  readonly faults: readonly PlannedFault[];
}

/** What may be left out of a plan, to see what a violation really needs. */
export interface Omission {
  readonly transactions: readonly number[];
  readonly faults: readonly number[];
}

/** Repeated are those around which the protocol turns. */
const WRITES = [
  ...['prepare', 'prepare', 'prepare', 'decide', 'decide', 'decide', 'finish', 'finish'],
  ...['settle', 'commit', 'retire', 'barrier'],
];
const READS = ['decisions', 'list', 'epochs', 'xact-status', 'gone', 'terminate'] as const;
const OTHERS = [
  'insert',
  'register',
  'heartbeat',
  'facts',
  'heuristic',
  'is-retired',
  'key',
] as const;

export function drawPlan(seed: number): Plan {
  const random = new Random(seed);
  const participants = random.chance(0.75) ? 2 : 3;
  const coordinators = random.pick([1, 1, 1, 2, 2, 3]);
  const replication = random.pick<Replication>(['none', 'none', 'async', 'sync']);
  const logReplication = random.pick<'none' | 'sync'>(['none', 'none', 'sync']);
  const calm = random.chance(0.04);
  const safetyMs = random.pick([600, 1_500, 4_000]) * (0.6 + random.next());
  const transactions = drawTransactions(random, participants, coordinators, safetyMs);
  // Where something is going on: a fault that strikes at leisure costs its wait, and hardly ever finds anything.
  const busyMs = Math.min(safetyMs, Math.max(...transactions.map(({ atMs }) => atMs)) + 400);
  const faults = calm ? [] : drawFaults(random, { replication, logReplication }, busyMs);
  return {
    seed,
    participants,
    coordinators,
    recoverers: random.chance(0.6) ? 2 : 1,
    replication,
    logReplication,
    probes: random.chance(0.3),
    closes: random.chance(0.5),
    managersRecover: random.chance(0.15),
    poolMax: 2 + random.int(3),
    maxPrepared: random.chance(0.1) ? 3 : 16,
    hidesWarnings: random.chance(0.2),
    heartbeatLimitMs: random.pick([1_000, 4_000, 8_000]),
    lockTimeoutMs: random.pick([300, 1_000, 5_000]),
    recoveryIntervalMs: random.pick([300, 1_000, 1_000]),
    patientRecoverer: random.chance(0.3),
    latencyMs: random.pick([
      [0.1, 0.4],
      [0.1, 4],
      [2, 30],
    ] as const),
    slow: calm ? 0 : random.pick([0, 0, 0.02, 0.1]),
    safetyMs,
    transactions,
    faults,
  };
}

/** The plan without what is omitted. */
export function without(plan: Plan, omission: Omission): Plan {
  return {
    ...plan,
    transactions: plan.transactions.filter((_, index) => !omission.transactions.includes(index)),
    faults: plan.faults.filter((_, index) => !omission.faults.includes(index)),
  };
}

/** Two that write to the same rows from different ends: no server sees the whole of it, so a limit ends it. */
export function mayDeadlock(transactions: Plan['transactions']): boolean {
  return transactions.some((one) =>
    transactions.some(
      (other) =>
        one.account === other.account &&
        one.writes[0] !== other.writes[0] &&
        one.writes.length > 1 &&
        other.writes.length > 1,
    ),
  );
}

function drawTransactions(
  random: Random,
  participants: number,
  coordinators: number,
  safetyMs: number,
): PlannedTransaction[] {
  const count = 1 + random.int(random.pick([2, 4, 6]));
  const keyed = random.chance(0.2);
  const all = Array.from({ length: participants }, (_, index) => index);
  return Array.from({ length: count }, () => {
    const first = random.int(participants);
    const order = [...all.slice(first), ...all.slice(0, first)];
    const writers = random.chance(0.12) ? 1 : random.chance(0.8) ? 2 : participants;
    return {
      coordinator: random.int(coordinators),
      atMs: 30 + random.next() * safetyMs * (random.chance(0.5) ? 0.1 : 0.6),
      writes: order.slice(0, writers),
      reads: random.chance(0.2) ? order[writers] : undefined,
      account: random.int(3),
      timeoutMs: random.pick([400, 2_000, 5_000]),
      thinkMs: random.chance(0.2) ? random.int(100) : 0,
      idempotencyKey: keyed && random.chance(0.5) ? `key-${random.int(2)}` : undefined,
      throws: random.chance(0.04),
    };
  });
}

interface Replicas {
  readonly replication: Replication;
  readonly logReplication: 'none' | 'sync';
}

/** Swarm: each schedule knows only some kinds of faults, so that each kind is sometimes alone with others. */
function drawFaults(random: Random, replicas: Replicas, busyMs: number): PlannedFault[] {
  const kinds = FAULTS.filter(({ needs }) => needs === undefined || needs(replicas));
  const swarm = kinds.filter(({ often }) => random.chance(often));
  const chosen = swarm.length === 0 ? [random.pick(kinds)] : swarm;
  const count = 1 + random.int(random.chance(0.4) ? 10 : 5);
  const triggers = random.pick([0, 0.5, 0.9, 1]);
  return Array.from({ length: count }, () => {
    const when = random.chance(triggers) ? drawTrigger(random) : { atMs: random.next() * busyMs };
    const target = random.int(1_000);
    const what = random.pick(chosen).draw(random);
    const forces = what.do === 'operator' && what.what === 'force-commit';
    return { when: forces && target % 2 === 0 ? AFTER_RETIREMENT : when, target, what };
  });
}

function drawTrigger(random: Random): Moment {
  const group = random.next();
  if (group < 0.65) {
    const phase = random.pick(['sent', 'arrived', 'written', 'flushed', 'answered'] as const);
    return { kind: random.pick(WRITES), phase, nth: 1 + random.int(random.pick([1, 3, 6])) };
  }
  const phase = random.pick(['sent', 'arrived', 'answered'] as const);
  return group < 0.85
    ? { kind: random.pick(READS), phase, nth: 1 + random.int(8) }
    : { kind: random.pick(OTHERS), phase, nth: 1 + random.int(5) };
}

/** Before recovery, which has just retired the coordinator, wins the abort. */
const AFTER_RETIREMENT: Moment = { kind: 'retire', phase: 'answered', nth: 1 };

interface FaultKind {
  readonly often: number;
  readonly needs?: (replicas: Replicas) => boolean;
  readonly draw: (random: Random) => Fault;
}

const hasStandby = ({ replication, logReplication }: Replicas): boolean =>
  replication !== 'none' || logReplication !== 'none';

const hasSync = ({ replication, logReplication }: Replicas): boolean =>
  replication === 'sync' || logReplication === 'sync';

/** Short, middling, or longer than every limit of the protocol. */
function duration(random: Random): number {
  return random.pick([20, 200, 1_200, 3_000, 7_000]) * (0.5 + random.next());
}

const FAULTS: readonly FaultKind[] = [
  {
    often: 0.5,
    draw: (random) => ({
      do: 'kill',
      noticed: random.chance(0.7),
      backAfterMs: random.chance(0.5) ? duration(random) : undefined,
    }),
  },
  { often: 0.3, draw: (random) => ({ do: 'freeze', forMs: duration(random) }) },
  { often: 0.1, draw: () => ({ do: 'close-manager' }) },
  {
    often: 0.35,
    draw: (random) => ({
      do: 'crash-server',
      forMs: random.pick([50, 300, 2_000, 5_000]) * (0.5 + random.next()),
      noticed: random.chance(0.7),
      panics: random.chance(0.3),
    }),
  },
  {
    often: 0.4,
    needs: hasStandby,
    draw: (random) => ({ do: 'fail-over', noticed: random.chance(0.7) }),
  },
  { often: 0.2, draw: (random) => ({ do: 'pause-server', forMs: duration(random) }) },
  { often: 0.25, draw: (random) => ({ do: 'pause-backend', forMs: duration(random) }) },
  { often: 0.25, draw: () => ({ do: 'terminate-backend' }) },
  {
    often: 0.5,
    draw: (random) => ({ do: 'cut', how: random.pick<Cut>(['reset', 'reply-lost', 'silence']) }),
  },
  { often: 0.35, draw: (random) => ({ do: 'clog', forMs: duration(random) }) },
  { often: 0.25, draw: (random) => ({ do: 'isolate', forMs: duration(random) }) },
  {
    often: 0.5,
    needs: hasSync,
    draw: (random) => ({
      do: 'detach-standby',
      cancelAfterMs: random.pick([5, 50, 500, 3_000]) * (0.5 + random.next()),
      forMs: duration(random),
    }),
  },
  {
    often: 0.3,
    needs: hasStandby,
    draw: (random) => ({ do: 'land-on-standby', forMs: duration(random) }),
  },
  { often: 0.1, draw: (random) => ({ do: 'detour', forMs: duration(random) }) },
  { often: 0.08, draw: (random) => ({ do: 'fill-slots', forMs: duration(random) }) },
  { often: 0.15, draw: (random) => ({ do: 'duplicate', afterMs: duration(random) }) },
  {
    often: 0.25,
    draw: (random) => ({
      do: 'operator',
      what: random.chance(0.6) ? 'resolve' : 'force-commit',
    }),
  },
  {
    often: 0.05,
    draw: (random) => ({ do: 'by-hand', what: random.chance(0.5) ? 'commit' : 'rollback' }),
  },
];
