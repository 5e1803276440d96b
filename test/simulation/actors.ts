/** The processes of a schedule: what they run is production code, over the simulated surroundings. */
import { parseConfig, type Config } from '../../src/config.ts';
import { openDecisionLog } from '../../src/decision-log/open.ts';
import type { DecisionLog } from '../../src/decision-log/decision-log.ts';
import {
  HeuristicOutcomeError,
  OutcomeUnknownError,
  RolledBackError,
  toError,
} from '../../src/errors.ts';
import { publish } from '../../src/events.ts';
import { openParticipants } from '../../src/open-participants.ts';
import type { Participant } from '../../src/participant/participant.ts';
import type { Transaction, TransactionManager } from '../../src/public-surface.ts';
import { Recoverer } from '../../src/recovery/recoverer.ts';
import type { Outcome } from '../../src/states.ts';
import { systemRuntime, type Runtime } from '../../src/runtime.ts';
import { createTransactionManager } from '../../src/transaction-manager.ts';
import type { Answer, Oracle, Told } from './oracle.ts';
import type { PlannedTransaction } from './plan.ts';
import { INSERT_MARKER, READ_ACCOUNT, TOUCH_ACCOUNT } from './postgres/participant-statements.ts';
import type { SimulatedProcess } from './process.ts';

/** What the actors know of the schedule. */
export interface Stage {
  readonly oracle: Oracle;
  readonly participants: readonly string[];
  readonly heartbeatLimitMs: number;
  readonly recovererLimitMs: number;
  readonly lockTimeoutMs: number;
  readonly poolMax: number;
  readonly recoveryIntervalMs: number;
  /** Programs recover in the background, beside their transactions. */
  readonly managersRecover: boolean;
}

const RETRY_MS = 400;
export const CONNECT_TIMEOUT_MS = 2_000;

/** Clock and timers are replaced around the process; randomness is its own. */
export function runtimeOf(process: SimulatedProcess): Runtime {
  return {
    ...systemRuntime,
    now: () => process.scheduler.now,
    random: process.random.next,
  };
}

function configOf(stage: Stage, name: string): Parameters<typeof createTransactionManager>[0] {
  const { poolMax, lockTimeoutMs, heartbeatLimitMs } = stage;
  const participants = stage.participants.map((participant) => [
    participant,
    { host: participant, user: 'app', database: 'app', max: poolMax, lockTimeoutMs },
  ]);
  return {
    coordinator: name,
    decisionLog: { host: 'log', user: 'app', database: 'log' },
    participants: Object.fromEntries(participants) as Record<string, { host: string }>,
    heartbeatLimitMs,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    timeoutMs: 5_000,
  };
}

/** Tries until it works: servers may be away when a process starts. */
async function start<T>(process: SimulatedProcess, what: () => Promise<T>): Promise<T> {
  const runtime = runtimeOf(process);
  for (;;) {
    process.beginnings += 1;
    try {
      return await what();
    } catch {
      await runtime.sleep(RETRY_MS);
    }
  }
}

/** A program with a transaction manager. */
export class CoordinatorActor {
  readonly process: SimulatedProcess;
  readonly stage: Stage;
  manager: TransactionManager | undefined;
  closed = false;
  probing = false;
  /** Transactions that wait for the manager. */
  #waiting: (() => void)[] = [];

  constructor(process: SimulatedProcess, stage: Stage) {
    this.process = process;
    this.stage = stage;
    process.deliver(() => {
      void this.#start();
    });
  }

  /** Transactions that begin when there is a manager. */
  get queued(): number {
    return this.working ? this.#waiting.length : 0;
  }

  /** A program that never got its manager has nothing to show. */
  get working(): boolean {
    return this.process.alive && !this.closed;
  }

  async #start(): Promise<void> {
    const { process, stage } = this;
    this.manager = await start(process, () =>
      createTransactionManager(configOf(stage, process.name), { runtime: runtimeOf(process) }),
    );
    if (this.closed) await this.manager.close();
    if (stage.managersRecover) void this.#recoverAgainAndAgain();
    for (const run of this.#waiting.splice(0)) run();
  }

  async #recoverAgainAndAgain(): Promise<void> {
    const runtime = runtimeOf(this.process);
    while (!this.closed) {
      await this.manager?.recover({ wait: false });
      await runtime.sleep(this.stage.recoveryIntervalMs);
    }
  }

  run(planned: PlannedTransaction, index: number): void {
    const work = (): void => {
      if (!this.closed) void this.#run(planned, index);
    };
    this.process.deliver(() => {
      if (this.manager === undefined) this.#waiting.push(work);
      else work();
    });
  }

  /** Shows that the manager can still commit. */
  probe(planned: PlannedTransaction, patienceMs: number): void {
    this.probing = true;
    const repeat = async (): Promise<void> => {
      const runtime = runtimeOf(this.process);
      const untilMs = runtime.now() + patienceMs;
      for (let attempt = 1; runtime.now() < untilMs; attempt += 1) {
        // Rows that a lost session still holds are not what is asked for.
        const told = await this.#run({ ...planned, account: planned.account + 10 * attempt }, -1);
        if (told?.answer === 'committed') break;
        // A coordinator that was retired learns of it with its next heartbeat.
        await runtime.sleep(RETRY_MS);
      }
      this.probing = false;
    };
    this.process.deliver(() => void repeat());
  }

  async #run(planned: PlannedTransaction, index: number): Promise<Told | undefined> {
    const { oracle, participants } = this.stage;
    const { manager, process } = this;
    if (manager === undefined) return undefined;
    const writes = planned.writes.map((at) => participants[at] ?? '');
    const told: Told = {
      index,
      process: process.name,
      id: '',
      writes,
      answer: undefined,
      error: undefined,
      pending: [],
    };
    oracle.told.push(told);
    const { timeoutMs, idempotencyKey } = planned;
    let transaction: Transaction | undefined;
    try {
      transaction = await manager.begin({
        timeoutMs,
        ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
      });
      told.id = transaction.id;
      await this.#work(transaction, planned, writes);
      const { pending } = await transaction.commit();
      oracle.tell(told, 'committed', pending, undefined);
    } catch (thrown) {
      const error = toError(thrown);
      await endQuietly(transaction);
      oracle.tell(told, answerOf(error, transaction), [], error);
    }
    return told;
  }

  async #work(
    transaction: Transaction,
    planned: PlannedTransaction,
    writes: readonly string[],
  ): Promise<void> {
    const { reads, account, thinkMs, throws } = planned;
    const runtime = runtimeOf(this.process);
    if (reads !== undefined) {
      const reader = transaction.on(this.stage.participants[reads] ?? '');
      await reader.query(READ_ACCOUNT, [account]);
    }
    for (const name of writes) {
      const client = transaction.on(name);
      await client.query(TOUCH_ACCOUNT, [account]);
      if (thinkMs > 0) await runtime.sleep(thinkMs);
      await client.query(INSERT_MARKER, [transaction.id]);
    }
    if (throws) throw new Error('the program has changed its mind');
  }

  /** Asks, and judges the answer by what the servers hold. */
  async outcomesAreTrue(): Promise<void> {
    const { oracle } = this.stage;
    for (const [at, told] of oracle.told.entries()) {
      // What was plainly committed is asked for by sample.
      const isPlain = told.answer === 'committed' && at > 0;
      if (this.manager === undefined || told.id === '' || isPlain) continue;
      const outcome = await this.#outcomeOf(told.id);
      const harmed = told.writes.some((name) => oracle.harms.has(`${told.id} ${name}`));
      if (harmed || outcome === 'undecided') continue;
      const there = told.writes.some(
        (name) => oracle.participants.get(name)?.data.markers.has(told.id) === true,
      );
      if (there === (outcome === 'committed')) continue;
      oracle.violated('false-outcome', `${told.id} is ${outcome}, says ${this.process.name}`);
    }
  }

  /** A connection that was lost in silence is noticed by whoever uses it first. */
  async #outcomeOf(id: string): Promise<Outcome | undefined> {
    for (;;) {
      try {
        return await this.manager?.outcomeOf(id);
      } catch {
        await runtimeOf(this.process).sleep(RETRY_MS);
      }
    }
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.process.deliver(() => {
      void this.manager?.close({ timeoutMs: 2_000 });
    });
  }
}

async function endQuietly(transaction: Transaction | undefined): Promise<void> {
  try {
    await transaction?.[Symbol.asyncDispose]();
  } catch {
    // What went wrong is told already.
  }
}

/** A rollback before there was a commit is one whatever was thrown. */
function answerOf(error: Error, transaction: Transaction | undefined): Answer {
  if (error instanceof OutcomeUnknownError) return 'unknown';
  if (error instanceof HeuristicOutcomeError) return 'heuristic';
  if (error instanceof RolledBackError || transaction === undefined) return 'rolled-back';
  return 'rolled-back';
}

export interface Opened {
  readonly config: Config;
  readonly log: DecisionLog;
  readonly participants: ReadonlyMap<string, Participant>;
}

/** Every recoverer's, but for its name: checked once. */
const recoveryConfigs = new WeakMap<Stage, Config>();

function recoveryConfig(stage: Stage): Config {
  const known = recoveryConfigs.get(stage);
  if (known !== undefined) return known;
  const { recovererLimitMs: heartbeatLimitMs } = stage;
  const config = parseConfig({ ...configOf(stage, 'recoverer'), heartbeatLimitMs });
  recoveryConfigs.set(stage, config);
  return config;
}

export async function open(process: SimulatedProcess, stage: Stage): Promise<Opened> {
  const config = { ...recoveryConfig(stage), coordinator: process.name };
  const log = await openDecisionLog({
    settings: config.decisionLog,
    coordinator: process.name,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
  });
  try {
    const participants = await openParticipants(config, log, runtimeOf(process), publish);
    return { config, log, participants };
  } catch (error) {
    await log.close();
    throw error;
  }
}

export async function close({ log, participants }: Opened): Promise<void> {
  await Promise.allSettled([...participants.values()].map((one) => one.close()));
  await log.close();
}

/** Recovery in a process of its own, in a loop. */
export class RecovererActor {
  readonly process: SimulatedProcess;
  readonly #stage: Stage;
  readonly #wait: boolean;
  #closing = false;

  constructor(process: SimulatedProcess, stage: Stage, wait: boolean) {
    this.process = process;
    this.#stage = stage;
    this.#wait = wait;
    process.deliver(() => {
      void this.#loop();
    });
  }

  close(): void {
    this.#closing = true;
  }

  async #loop(): Promise<void> {
    const { process } = this;
    const runtime = runtimeOf(process);
    const opened = await start(process, () => open(process, this.#stage));
    const { config, log, participants } = opened;
    const recoverer = new Recoverer({
      log,
      participants,
      local: { isOwnEpoch: () => false, isAtWorkOn: () => false },
      heartbeatLimitMs: config.heartbeatLimitMs,
      runtime,
      publish,
      name: process.name,
    });
    while (!this.#closing) {
      await this.#pass(recoverer);
      await runtime.sleep(this.#stage.recoveryIntervalMs);
    }
    await close(opened);
  }

  /** "Complete" means that nothing is left of what was there when the pass began. */
  async #pass(recoverer: Recoverer): Promise<void> {
    const { oracle } = this.#stage;
    const before = new Set(oracle.inDoubt().map(keyOf));
    const failovers = countFailovers(oracle);
    const report = await recoverer.recover({ wait: this.#wait });
    if (!report.complete || countFailovers(oracle) !== failovers) return;
    const left = oracle.inDoubt().find((one) => before.has(keyOf(one)));
    if (left !== undefined) {
      oracle.violated('falsely-complete', `${left.gid} is in doubt on ${left.participant}`);
    }
  }
}

function keyOf({ participant, gid }: { participant: string; gid: string }): string {
  return `${participant} ${gid}`;
}

function countFailovers({ participants }: Oracle): number {
  return [...participants.values()].reduce((sum, { failovers }) => sum + failovers, 0);
}
