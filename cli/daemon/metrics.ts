/** The daemon in numbers: gauges are read from its status at each scrape, counters follow its events. */
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';

import { subscribe, type DaemonStatus, type ParticipantStatus } from '../../src/index.ts';
import { VERSION } from '../../src/version.ts';

export interface Metrics {
  readonly registry: Registry;
  /** Notes how a reload of the configuration ended. */
  reloaded(isSuccess: boolean): void;
  close(): void;
}

export const PARTICIPANT_STATES = ['listed', 'standby', 'other-server', 'unreachable', 'none'];
const HEURISTIC_KINDS = ['commit', 'rollback', 'mixed', 'hazard'];

/** `status` answers undefined while the decision log has not been reached yet. */
export function createMetrics(status: () => DaemonStatus | undefined): Metrics {
  const registry = new Registry();
  addDaemonGauges(registry, status);
  addParticipantGauges(registry, status);
  const reloaded = addReloads(registry);
  const ends = addCounters(registry, status);
  collectDefaultMetrics({ register: registry });
  return {
    registry,
    reloaded,
    close: () => {
      for (const end of ends) end();
      registry.clear();
    },
  };
}

function addDaemonGauges(registry: Registry, status: () => DaemonStatus | undefined): void {
  const gauge = (
    name: string,
    help: string,
    read: (now: DaemonStatus | undefined) => number | undefined,
  ): void => {
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.reset();
        const value = read(status());
        if (value === undefined) this.remove();
        else this.set(value);
      },
    });
  };
  const flag = (is: boolean | undefined): number => (is === true ? 1 : 0);
  gauge('pgxa_decision_log_up', 'The decision log answers.', (now) => flag(now?.log.reachable));
  gauge(
    'pgxa_ready',
    'Every participant has been looked at, or is the work of another daemon.',
    (now) => flag(now?.firstPassDone),
  );
  gauge('pgxa_listening', 'The decision log wakes the daemon; 0: it looks by itself.', (now) =>
    flag(now?.wake === 'listening'),
  );
  gauge('pgxa_last_tick_age_seconds', 'Time since any recovery loop came round.', (now) =>
    now === undefined ? undefined : now.sinceLastTickMs / 1_000,
  );
  gauge(
    'pgxa_housekeeping_held',
    'Decisions beyond their retention are kept, for a reason.',
    (now) => flag(now?.housekeeping.heldBy !== undefined),
  );
  gauge(
    'pgxa_housekeeping_last_run_timestamp_seconds',
    'When this daemon kept house last.',
    (now) => seconds(now?.housekeeping.lastRunAt),
  );
  gauge(
    'pgxa_decisions_kept_since_timestamp_seconds',
    'The decision log remembers everything that began after this.',
    (now) => seconds(now?.housekeeping.forgottenBefore),
  );
  new Gauge({
    name: 'pgxa_build_info',
    help: 'Always 1; the labels tell the versions.',
    labelNames: ['version', 'node_version'],
    registers: [registry],
  }).set({ version: VERSION, node_version: process.version }, 1);
}

function addParticipantGauges(registry: Registry, status: () => DaemonStatus | undefined): void {
  type Put = (labels: Record<string, string>, value: number) => void;
  const gauge = (
    name: string,
    help: string,
    labels: readonly string[],
    read: (one: ParticipantStatus, put: Put) => void,
  ): void => {
    new Gauge({
      name,
      help,
      labelNames: ['participant', ...labels],
      registers: [registry],
      collect() {
        this.reset();
        for (const [participant, one] of Object.entries(status()?.participants ?? {})) {
          read(one, (more, value) => {
            this.set({ participant, ...more }, value);
          });
        }
      },
    });
  };
  // Of a participant that is another daemon's work nothing is told: it would be out of date.
  const whileHeld =
    (read: (one: ParticipantStatus, put: Put) => void): typeof read =>
    (one, put) => {
      if (one.lease === 'held') read(one, put);
    };
  gauge('pgxa_lease_held', 'This daemon works on the participant.', [], (one, put) => {
    put({}, one.lease === 'held' ? 1 : 0);
  });
  gauge(
    'pgxa_participant_up',
    'Its list of prepared transactions could be read.',
    [],
    whileHeld((one, put) => {
      put({}, one.state === 'listed' ? 1 : 0);
    }),
  );
  gauge(
    'pgxa_participant_state',
    '1 for what the last pass saw.',
    ['state'],
    whileHeld((one, put) => {
      for (const state of PARTICIPANT_STATES) put({ state }, one.state === state ? 1 : 0);
    }),
  );
  gauge(
    'pgxa_in_doubt',
    'Prepared branches that are not finished.',
    ['kind'],
    whileHeld((one, put) => {
      for (const [kind, count] of Object.entries(one.inDoubt)) put({ kind }, count);
    }),
  );
  gauge(
    'pgxa_oldest_in_doubt_age_seconds',
    'Age of the oldest of them.',
    [],
    whileHeld((one, put) => {
      put({}, one.oldestInDoubtMs / 1_000);
    }),
  );
  gauge(
    'pgxa_set_aside',
    'Branches that failed repeatedly.',
    [],
    whileHeld((one, put) => {
      put({}, one.setAside.length);
    }),
  );
  gauge(
    'pgxa_foreign_prepared',
    'Prepared transactions of others.',
    [],
    whileHeld((one, put) => {
      put({}, one.foreign);
    }),
  );
  gauge(
    'pgxa_prepared_slots_used',
    'Prepared transactions on the server.',
    [],
    whileHeld((one, put) => {
      if (one.preparedSlots !== undefined) put({}, one.preparedSlots.used);
    }),
  );
  gauge(
    'pgxa_prepared_slots_max',
    'Its max_prepared_transactions.',
    [],
    whileHeld((one, put) => {
      if (one.preparedSlots !== undefined) put({}, one.preparedSlots.max);
    }),
  );
  gauge(
    'pgxa_failures_in_a_row',
    'Passes that failed since the last good one.',
    [],
    whileHeld((one, put) => {
      put({}, one.failuresInARow);
    }),
  );
  gauge(
    'pgxa_recovery_last_success_timestamp_seconds',
    'End of the last good pass.',
    [],
    whileHeld((one, put) => {
      const at = seconds(one.lastSuccessAt);
      if (at !== undefined) put({}, at);
    }),
  );
}

function addReloads(registry: Registry): (isSuccess: boolean) => void {
  const registers = [registry];
  const total = new Counter({
    name: 'pgxa_config_reloads_total',
    help: 'Reloads of the configuration.',
    labelNames: ['result'],
    registers,
  });
  const last = new Gauge({
    name: 'pgxa_config_last_reload_successful',
    help: '0: the daemon runs on an older configuration than the file says.',
    registers,
  });
  for (const result of ['success', 'refused']) total.inc({ result }, 0);
  last.set(1);
  return (isSuccess) => {
    total.inc({ result: isSuccess ? 'success' : 'refused' });
    last.set(isSuccess ? 1 : 0);
  };
}

function addCounters(
  registry: Registry,
  status: () => DaemonStatus | undefined,
): readonly (() => void)[] {
  const names = (): string[] => Object.keys(status()?.participants ?? {});
  /** Series that may be counted are there from the start: a rate needs a zero before the first one. */
  const counter = <Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[],
    zeros: () => readonly Partial<Record<Label, string>>[] = () => [],
  ): Counter<Label> =>
    new Counter<Label>({
      name,
      help,
      labelNames,
      registers: [registry],
      collect() {
        for (const labels of zeros()) this.inc(labels, 0);
      },
    });
  const cross =
    <Key extends string>(key: Key, values: readonly string[]) =>
    () =>
      names().flatMap((participant) =>
        values.map(
          (value) => ({ participant, [key]: value }) as Record<'participant' | Key, string>,
        ),
      );
  const ofParticipants = () => names().map((participant) => ({ participant }));

  const runs = counter(
    'pgxa_recovery_runs_total',
    'Passes over a participant.',
    ['participant', 'result'],
    cross('result', ['success', 'failed']),
  );
  const recovered = counter(
    'pgxa_recovered_branches_total',
    'Branches finished by recovery.',
    ['participant', 'decision'],
    cross('decision', ['commit', 'abort']),
  );
  const errors = counter(
    'pgxa_branch_errors_total',
    'Passes that failed (list), branches set aside (finish).',
    ['participant', 'phase', 'sqlstate_class'],
  );
  const heuristics = counter(
    'pgxa_heuristic_total',
    'Branches that ended against the decision.',
    ['participant', 'kind'],
    cross('kind', HEURISTIC_KINDS),
  );
  const changes = counter(
    'pgxa_server_changed_total',
    'Another server behind the name.',
    ['participant'],
    ofParticipants,
  );
  const leases = counter(
    'pgxa_lease_changes_total',
    'Changes of who works on it.',
    ['participant'],
    ofParticipants,
  );
  const retired = counter(
    'pgxa_epochs_retired_total',
    'Silent coordinators that were retired.',
    [],
  );
  const house = counter('pgxa_housekeeping_runs_total', 'Runs of housekeeping.', ['result'], () => [
    { result: 'success' },
    { result: 'failed' },
  ]);
  const dropped = counter(
    'pgxa_decision_days_dropped_total',
    'Days of decisions dropped after retention.',
    [],
  );

  return [
    subscribe('recovery:pass', ({ participant, committed, rolledBack, error }) => {
      runs.inc({ participant, result: error === undefined ? 'success' : 'failed' });
      recovered.inc({ participant, decision: 'commit' }, committed);
      recovered.inc({ participant, decision: 'abort' }, rolledBack);
      if (error === undefined) return;
      errors.inc({ participant, phase: 'list', sqlstate_class: sqlstateClass(error) });
    }),
    subscribe('recovery:set-aside', ({ participant, error }) => {
      errors.inc({ participant, phase: 'finish', sqlstate_class: sqlstateClass(error) });
    }),
    subscribe('heuristic:found', ({ participant, kind }) => {
      heuristics.inc({ participant, kind });
    }),
    subscribe('participant:server-changed', ({ participant }) => {
      changes.inc({ participant });
    }),
    subscribe('recovery:lease', ({ participant }) => {
      leases.inc({ participant });
    }),
    subscribe('recovery:retired', ({ epochs }) => {
      retired.inc(epochs.length);
    }),
    subscribe('recovery:housekeeping', ({ error, dropped: days }) => {
      house.inc({ result: error === undefined ? 'success' : 'failed' });
      dropped.inc(days.length);
    }),
  ];
}

/** The first two letters, of the error or of what caused it; `none` where the server said nothing. */
export function sqlstateClass(error: unknown): string {
  for (let here = error; here instanceof Error; here = here.cause) {
    const { code } = here as { code?: unknown };
    if (typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code)) return code.slice(0, 2);
  }
  return 'none';
}

function seconds(date: Date | undefined): number | undefined {
  return date === undefined ? undefined : date.getTime() / 1_000;
}
