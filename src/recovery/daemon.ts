/**
 * The recovery daemon: passes without end, so that no transaction stays in doubt longer than it must.
 *
 *   leases          which daemon works on which participant (leases.ts)
 *   participants    one loop each, independent of the others (participant-loop.ts)
 *   epochs          those whose time has run out are retired, before anything of theirs is presumed
 *   house           retention: days are dropped whole, made ahead (housekeeping.ts)
 *   notifications   wake all of it at once
 *
 * Nothing here is needed for safety. The recoverer and the register are (decision-table.ts).
 */
import { setMaxListeners } from 'node:events';

import type { DaemonLog } from '../decision-log/daemon-log.ts';
import type { Publish } from '../events.ts';
import { within } from '../patience.ts';
import type { Runtime } from '../runtime.ts';
import type { DaemonStatus } from './daemon-status.ts';
import type { FailoverCheck } from './failover-check.ts';
import { FailureNotes } from './failure-notes.ts';
import { HousekeepingLoop, HOUSEKEEPING_LEASE } from './housekeeping.ts';
import { Leases, type Lease } from './leases.ts';
import { ParticipantLoop } from './participant-loop.ts';
import type { Recoverer } from './recoverer.ts';

export interface DaemonOptions {
  readonly name: string;
  /** Random, one for every start. */
  readonly holderId: string;
  readonly log: DaemonLog;
  readonly recoverer: Recoverer;
  readonly failovers: FailoverCheck;
  readonly participants: readonly string[];
  readonly heartbeatLimitMs: number;
  readonly intervalMs: number;
  readonly leaseMs: number;
  readonly retentionDays: number;
  readonly runtime: Runtime;
  readonly publish: Publish;
}

/** A branch in hand has this long to be finished when the daemon stops: longer than any command takes. */
const STOP_PATIENCE_MS = 15_000;
/** In the names of leases, and in notifications that mean one participant. */
const PARTICIPANT = 'participant ';
/** Terms in which a daemon does not ask for a lease that it gave up. */
const TERMS_LEFT_ALONE = 2;

export class Daemon {
  /** See RecoveryDaemon.whenReady. */
  readonly whenReady: Promise<void>;
  readonly #options: DaemonOptions;
  readonly #leases: Leases;
  readonly #loops: ReadonlyMap<string, ParticipantLoop>;
  readonly #house: HousekeepingLoop;
  readonly #stopping = new AbortController();
  readonly #startedAt = new Date();
  readonly #running: Promise<unknown>;
  #wakeMode: DaemonStatus['wake'] = 'polling';
  #logError: Error | undefined;
  #isLogKnown = false;
  #setReady: () => void = () => undefined;

  constructor(options: DaemonOptions) {
    this.#options = options;
    this.whenReady = new Promise((resolve) => {
      this.#setReady = resolve;
    });
    this.#leases = this.#makeLeases();
    this.#loops = new Map(options.participants.map((name) => [name, this.#makeLoop(name)]));
    this.#house = new HousekeepingLoop({
      ...options,
      isHeld: () => this.#leases.isHeld(HOUSEKEEPING_LEASE),
      lists: () =>
        [...this.#loops].map(([participant, { lastList }]) => ({
          participant,
          lastList,
          timeline: options.failovers.checkedTimeline(participant),
        })),
    });
    options.log.listen(
      (payload) => {
        this.#onNotification(payload ?? '');
      },
      (mode, reason) => {
        this.#wakeMode = mode;
        options.publish('recovery:wake', { mode, reason });
      },
    );
    const { signal } = this.#stopping;
    // Every loop listens.
    setMaxListeners(0, signal);
    this.#running = Promise.all([
      this.#leases.run(signal),
      this.#house.run(signal),
      ...[...this.#loops.values()].map((loop) => loop.run(signal)),
    ]);
  }

  status(): DaemonStatus {
    const { name, runtime } = this.#options;
    const ticks = [...this.#loops.values()].map(({ lastTickMs }) => lastTickMs);
    return {
      name,
      startedAt: this.#startedAt,
      wake: this.#wakeMode,
      log: { reachable: this.#isLogKnown && this.#logError === undefined, error: this.#logError },
      sinceLastTickMs: runtime.now() - Math.max(...ticks),
      firstPassDone: this.#isFirstPassDone(),
      participants: Object.fromEntries(
        [...this.#loops].map(([participant, loop]) => [participant, loop.status()]),
      ),
      housekeeping: this.#house.status(),
    };
  }

  /** The branches in hand are finished, the leases given back. Never rejects. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the daemon stops'));
    await within(this.#options.runtime, STOP_PATIENCE_MS, () => this.#running);
    this.#setReady();
  }

  #makeLeases(): Leases {
    const { log, runtime, name, holderId, leaseMs, publish, participants } = this.#options;
    return new Leases({
      log,
      runtime,
      names: [HOUSEKEEPING_LEASE, ...participants.map((one) => PARTICIPANT + one)],
      holder: name,
      holderId,
      leaseMs,
      onChange: (leaseName, { held, term, holder }) => {
        if (!leaseName.startsWith(PARTICIPANT)) return;
        const participant = leaseName.slice(PARTICIPANT.length);
        publish('recovery:lease', { participant, held, term, holder });
        this.#loops.get(participant)?.wake({ afterOutage: true });
        this.#noteReady();
      },
      onLog: (error) => {
        const wasReachable = this.#isLogKnown && this.#logError === undefined;
        const isChange = !this.#isLogKnown || wasReachable !== (error === undefined);
        this.#isLogKnown = true;
        this.#logError = error;
        if (!isChange) return;
        publish('recovery:log', { reachable: error === undefined, error });
        if (error === undefined) this.#wakeLoops({ afterOutage: true });
      },
    });
  }

  #makeLoop(name: string): ParticipantLoop {
    const { log, intervalMs, leaseMs, runtime, publish, recoverer, failovers } = this.#options;
    const leaseName = PARTICIPANT + name;
    return new ParticipantLoop({
      name,
      intervalMs,
      runtime,
      publish,
      pass: async (passOptions) => {
        const report = await recoverer.recoverParticipant(name, passOptions);
        failovers.note(name, report, this.#stopping.signal);
        return report;
      },
      isHeld: () => this.#leases.isHeld(leaseName),
      lease: (): Lease | undefined => this.#leases.lastKnown(leaseName),
      onPass: () => {
        this.#noteReady();
      },
      onUnreachable: () => {
        // Another daemon may have a way there. Without one, this goes on where it stopped.
        this.#leases.leaveAlone(leaseName, TERMS_LEFT_ALONE * leaseMs);
      },
      failureNotes: new FailureNotes({ log, participant: name, daemon: this.#options.name }),
      checkError: () => failovers.error(name),
    });
  }

  #onNotification(payload: string): void {
    if (payload === 'lease') this.#leases.wake();
    else if (!payload.startsWith(PARTICIPANT)) this.#wakeLoops({ afterOutage: false });
    else this.#loops.get(payload.slice(PARTICIPANT.length))?.wake({ afterOutage: false });
  }

  #wakeLoops(how: { readonly afterOutage: boolean }): void {
    for (const loop of this.#loops.values()) loop.wake(how);
  }

  #isFirstPassDone(): boolean {
    return [...this.#loops.values()].every(({ isLookedAt }) => isLookedAt);
  }

  #noteReady(): void {
    if (this.#isFirstPassDone()) this.#setReady();
  }
}
