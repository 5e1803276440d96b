/** What a soak consists of: which faults, how many processes, what must have happened at least. */
import { BACKEND_FAULTS, TERMINATE_FAULTS } from './backend-faults.ts';
import { FAILOVER_FAULTS, RESTORE_FAULTS } from './failover-faults.ts';
import type { Fault } from './nemesis.ts';
import { NETWORK_FAULTS } from './network-faults.ts';
import { KILLS, PROCESS_FAULTS } from './process-faults.ts';
import { DISK_FAULTS, RESOURCE_FAULTS } from './resource-faults.ts';
import { LOG_OUTAGES, SERVER_FAULTS } from './server-faults.ts';

export interface Profile {
  readonly name: string;
  readonly faults: readonly Fault[];
  /** Faults at a time. */
  readonly most: number;
  readonly everyMs: number;
  readonly coordinators: number;
  readonly daemons: number;
  readonly operators: number;
  /** Transactions at a time in each coordinator. */
  readonly concurrency: number;
  /** Pause of a daemon between two passes. */
  readonly daemonIntervalMs: number;
  /** The operator rolls back, now and then, what is decided to commit: that is a heuristic outcome. */
  readonly forcesAgainst: boolean;
  /** What its faults must have done to the data, where there was time enough. */
  readonly effects?: readonly string[];
}

const common = {
  coordinators: 2,
  daemons: 2,
  operators: 1,
  concurrency: 8,
  daemonIntervalMs: 200,
  forcesAgainst: false,
};

export const PROFILES: readonly Profile[] = [
  { ...common, name: 'terminations', faults: TERMINATE_FAULTS, most: 2, everyMs: 40 },
  {
    ...common,
    // Recovery lists branches without a pause, while they come and go: for what a list can get wrong.
    name: 'busy-recovery',
    daemons: 3,
    daemonIntervalMs: 100,
    concurrency: 24,
    faults: TERMINATE_FAULTS,
    most: 2,
    everyMs: 30,
  },
  {
    ...common,
    name: 'stress',
    faults: [...TERMINATE_FAULTS, ...NETWORK_FAULTS, ...LOG_OUTAGES],
    most: 6,
    everyMs: 250,
  },
  {
    ...common,
    name: 'all',
    faults: [
      ...BACKEND_FAULTS,
      ...NETWORK_FAULTS,
      ...SERVER_FAULTS,
      ...RESOURCE_FAULTS,
      ...PROCESS_FAULTS,
    ],
    most: 5,
    everyMs: 300,
    forcesAgainst: true,
  },
  {
    ...common,
    // By itself: see docs/testing-nemesis.md for what a server does with a full disk.
    name: 'disk-full',
    faults: [...TERMINATE_FAULTS, ...DISK_FAULTS],
    most: 2,
    everyMs: 500,
  },
  {
    ...common,
    name: 'failover',
    faults: [...TERMINATE_FAULTS, ...FAILOVER_FAULTS, ...KILLS],
    most: 2,
    everyMs: 500,
    effects: ['failover-lost-commit', 'failover-lost-vote', 'failover-revived-branch'],
  },
  // No process is killed here: what a dead coordinator has told its caller, a log that forgot it cannot know.
  {
    ...common,
    name: 'restored-log',
    faults: [...TERMINATE_FAULTS, ...RESTORE_FAULTS],
    most: 2,
    everyMs: 500,
  },
];

/** One behind the other, each in a world of its own, and its share of the time: every kind of fault that there is. */
export const WHOLE: readonly (readonly [profile: string, share: number])[] = [
  ['all', 0.7],
  ['disk-full', 0.1],
  ['failover', 0.1],
  ['restored-log', 0.1],
];
