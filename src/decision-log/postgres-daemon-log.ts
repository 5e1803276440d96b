import { randomBytes } from 'node:crypto';

import { toError } from '../errors.ts';
import { within } from '../patience.ts';
import { DedicatedConnection } from '../postgres/dedicated-connection.ts';
import type { ConnectionSettings } from '../postgres/pool.ts';
import { SAFE_PATH_SQL } from '../postgres/safe-path.ts';
import type { Runtime } from '../runtime.ts';
import type { ServerIdentity } from '../states.ts';
import type {
  DaemonLog,
  DecidedBranch,
  FailureNote,
  DecidedPage,
  Housekeeping,
  LeaseRequest,
  LeaseState,
  ListingNote,
  RegisteredServer,
} from './daemon-log.ts';
import { SESSION_GONE_AFTER_MS } from './decision-log.ts';
import * as sql from './daemon-statements.ts';
import { REPLY_TIMEOUT_MS, setUpSession } from './session.ts';
import { HORIZON_SQL } from './statements.ts';

export interface PostgresDaemonLogOptions {
  readonly settings: ConnectionSettings;
  readonly name: string;
  readonly connectTimeoutMs: number;
  readonly runtime: Runtime;
}

/** Partitions are made for that many days ahead: so long may all daemons be away without a trace. */
const DAYS_AHEAD = 3;
/** How often it is looked whether notifications arrive. */
const PROBE_EVERY_MS = 10_000;
const PROBE_ANSWER_MS = 2_000;
const PROBE_PREFIX = 'probe ';
/** Rows of one statement of forgetting; see the statements. */
const BITE = 1_000;

const ERROR_LENGTH_MAX = 2_000;

/** PostgreSQL stores no NUL in a text. */
function storable(text: string): string {
  return text.replaceAll('\0', '').slice(0, ERROR_LENGTH_MAX);
}

interface LeaseRow {
  readonly name: string;
  readonly holder: string;
  readonly ours: boolean;
  readonly term: string;
  readonly remaining_ms: string;
}

export class PostgresDaemonLog implements DaemonLog {
  readonly #runtime: Runtime;
  readonly #work: DedicatedConnection;
  /** Not durable, on purpose: a lease that a crash forgets costs nothing, one that waits for a lost
   * synchronous standby would stop all recovery. */
  readonly #leases: DedicatedConnection;
  readonly #listener: DedicatedConnection;
  /** For what may read much: nothing else waits behind it. */
  readonly #checks: DedicatedConnection;
  readonly #closing = new AbortController();
  #listening: Promise<void> = Promise.resolve();
  #onNotification: (payload: string | undefined) => void = () => undefined;

  constructor({ settings, name, connectTimeoutMs, runtime }: PostgresDaemonLogOptions) {
    this.#runtime = runtime;
    const connection = {
      config: { application_name: `pgxa ${name}`, ...settings },
      connectTimeoutMs,
      commandTimeoutMs: REPLY_TIMEOUT_MS,
      onConnect: setUpSession,
    };
    this.#work = new DedicatedConnection(connection);
    this.#checks = new DedicatedConnection(connection);
    this.#leases = new DedicatedConnection({
      ...connection,
      onConnect: async (run) => {
        await setUpSession(run);
        await run({ text: `select set_config('synchronous_commit', 'off', false)` });
      },
    });
    this.#listener = new DedicatedConnection({
      ...connection,
      onConnect: async (run) => {
        await run({ text: SAFE_PATH_SQL });
        await run({ text: 'listen pgxa_recovery' });
      },
      onNotification: (_, payload) => {
        this.#onNotification(payload);
      },
    });
  }

  async lease({ names, holder, holderId, leaseMs }: LeaseRequest): Promise<readonly LeaseState[]> {
    const [taken, read] = await this.#leases.runAdjacent<LeaseRow>([
      { text: sql.LEASE_SQL, values: [names, holder, holderId, leaseMs] },
      { text: sql.LEASES_SQL, values: [names, holderId] },
    ]);
    if (taken?.status === 'rejected') throw taken.reason;
    if (read?.status !== 'fulfilled') throw toError(read?.reason);
    return read.value.rows.map((row) => ({
      name: row.name,
      holder: row.holder,
      isOurs: row.ours,
      term: row.term,
      remainingMs: Number(row.remaining_ms),
    }));
  }

  async release(names: readonly string[], holderId: string): Promise<void> {
    await this.#leases.run({ text: sql.RELEASE_SQL, values: [names, holderId] });
  }

  async retireSilent(heartbeatLimitMs: number): Promise<readonly string[]> {
    const { rows } = await this.#work.run<{ epoch: string }>({
      text: sql.RETIRE_SILENT_SQL,
      values: [heartbeatLimitMs, SESSION_GONE_AFTER_MS],
    });
    return rows.map(({ epoch }) => epoch);
  }

  async serverBehind(participant: string): Promise<RegisteredServer | undefined> {
    const { rows } = await this.#work.run<{ system_identifier: string; database_oid: string }>({
      text: sql.SERVER_BEHIND_SQL,
      values: [participant],
    });
    const [row] = rows;
    if (row === undefined) return undefined;
    return { systemIdentifier: row.system_identifier, databaseOid: row.database_oid };
  }

  async listedTimeline(
    participant: string,
    { systemIdentifier, databaseOid }: ServerIdentity,
  ): Promise<{ timeline: string; ageMs: number } | undefined> {
    const { rows } = await this.#work.run<{ timeline: string; age_ms: string }>({
      text: sql.LISTED_TIMELINE_SQL,
      values: [participant, systemIdentifier, databaseOid],
    });
    const [row] = rows;
    return row === undefined ? undefined : { timeline: row.timeline, ageMs: Number(row.age_ms) };
  }

  async decidedElsewhere({
    participant,
    server,
    before,
    withinMs,
  }: {
    readonly participant: string;
    readonly server: ServerIdentity;
    readonly before: string | undefined;
    readonly withinMs: number;
  }): Promise<DecidedPage> {
    const { rows } = await this.#checks.run<{
      reached: string | null;
      branches: readonly DecidedBranch[];
    }>({
      text: sql.DECIDED_ELSEWHERE_SQL,
      values: [before ?? null, server.systemIdentifier, server.timeline, participant, withinMs],
    });
    return { branches: rows[0]?.branches ?? [], reached: rows[0]?.reached ?? undefined };
  }

  async noteListings(notes: readonly ListingNote[]): Promise<void> {
    if (notes.length === 0) return;
    await this.#work.run({
      text: sql.NOTE_LISTINGS_SQL,
      values: [
        notes.map(({ participant }) => participant),
        notes.map(({ systemIdentifier }) => systemIdentifier),
        notes.map(({ databaseOid }) => databaseOid),
        notes.map(({ oldest }) => oldest ?? null),
        notes.map(({ ageMs }) => ageMs),
        notes.map(({ timeline }) => timeline ?? null),
      ],
    });
  }

  async noteFailures(
    participant: string,
    daemon: string,
    failures: readonly FailureNote[],
  ): Promise<void> {
    await this.#work.run({
      text: sql.NOTE_FAILURES_SQL,
      values: [
        participant,
        daemon,
        failures.map(({ gid }) => gid ?? ''),
        failures.map(({ transactionId }) => transactionId ?? null),
        failures.map(({ attempts }) => attempts),
        failures.map(({ error }) => storable(error)),
        failures.map(({ nextInMs }) => nextInMs),
      ],
    });
  }

  async keepHouse(retentionDays: number): Promise<Housekeeping> {
    const made = await this.#work.run<{ name: string }>({
      text: sql.MAKE_PARTITIONS_AHEAD_SQL,
      values: [DAYS_AHEAD],
    });
    const { dropped, heldBy } = await this.#dropOldDays(retentionDays);
    const forgottenKeys = await this.#inBites(sql.FORGET_KEYS_SQL);
    const forgottenEpochs = await this.#inBites(sql.FORGET_EPOCHS_SQL);
    const horizon = await this.#work.run<{ forgotten_before_ms: string }>({ text: HORIZON_SQL });
    const horizonMs = horizon.rows[0]?.forgotten_before_ms;
    return {
      made: made.rows.map(({ name }) => name),
      dropped,
      heldBy,
      forgottenEpochs,
      forgottenKeys,
      forgottenBefore: horizonMs === undefined ? undefined : new Date(Number(horizonMs)),
    };
  }

  listen(
    onWake: (payload: string | undefined) => void,
    onMode: (mode: 'listening' | 'polling', reason: string) => void,
  ): void {
    const ownProbe = `${PROBE_PREFIX}${randomBytes(8).toString('hex')}`;
    let onProbe = (): void => undefined;
    this.#onNotification = (payload) => {
      if (payload === ownProbe) onProbe();
      // Probes of other daemons are no work.
      else if (payload?.startsWith(PROBE_PREFIX) !== true) onWake(payload);
    };
    const probe = async (): Promise<boolean> => {
      const arrived = new Promise<true>((resolve) => {
        onProbe = () => {
          resolve(true);
        };
      });
      // Opens the session where it is lost, and LISTENs on it.
      await this.#listener.run({ text: 'select 1' });
      await this.#work.run({ text: `select pg_notify('pgxa_recovery', $1)`, values: [ownProbe] });
      return (await within(this.#runtime, PROBE_ANSWER_MS, () => arrived)) === true;
    };
    this.#listening = this.#probeForEver(probe, onMode);
  }

  async close(): Promise<void> {
    this.#closing.abort(new Error('the daemon stops'));
    await Promise.all(
      [this.#work, this.#checks, this.#leases, this.#listener].map((one) => one.close()),
    );
    await this.#listening;
  }

  async #probeForEver(
    probe: () => Promise<boolean>,
    onMode: (mode: 'listening' | 'polling', reason: string) => void,
  ): Promise<void> {
    const { signal } = this.#closing;
    const isClosing = (): boolean => signal.aborted;
    let mode: 'listening' | 'polling' | undefined;
    while (!isClosing()) {
      let reason = 'notifications do not arrive: is there a transaction pooler in between?';
      const works = await probe().catch((thrown: unknown) => {
        reason = toError(thrown).message;
        return false;
      });
      if (isClosing()) return;
      const now = works ? 'listening' : 'polling';
      if (now !== mode) onMode(now, works ? 'notifications arrive' : reason);
      mode = now;
      await this.#runtime.sleep(PROBE_EVERY_MS, signal).catch(() => undefined);
    }
  }

  /** One day at a time: each locks the register for a moment of its own. */
  async #dropOldDays(
    retentionDays: number,
  ): Promise<{ dropped: string[]; heldBy: string | undefined }> {
    const dropped: string[] = [];
    for (;;) {
      const { rows } = await this.#work.run<{ dropped: string | null; held_by: string | null }>({
        text: sql.DROP_OLDEST_DAY_SQL,
        values: [retentionDays, Date.now()],
      });
      const day = rows[0]?.dropped;
      if (day === null || day === undefined) {
        return { dropped, heldBy: rows[0]?.held_by ?? undefined };
      }
      dropped.push(day);
    }
  }

  async #inBites(text: string): Promise<number> {
    let forgotten = 0;
    for (;;) {
      const { rowCount } = await this.#work.run({ text });
      forgotten += rowCount ?? 0;
      if ((rowCount ?? 0) < BITE) return forgotten;
    }
  }
}
