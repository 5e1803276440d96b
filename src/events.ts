import diagnostics from 'node:diagnostics_channel';

import type { DecidedBy, Decision, HeuristicKind, Vote } from './states.ts';

/**
 * What pgxa publishes on `diagnostics_channel`, one channel per event, named `pgxa:` + key.
 * Payloads are plain data, published synchronously at the point in the protocol that they name.
 * A subscriber that throws does not disturb the protocol: Node reports it as an uncaught exception.
 */
export interface PgxaEvents {
  /** The coordinator has a new epoch: at start, and again after it was retired. */
  'coordinator:registered': { readonly coordinator: string; readonly epoch: string };
  /** Recovery retired this epoch: what it had not decided will abort. */
  'coordinator:retired': { readonly coordinator: string; readonly epoch: string };
  /** A heartbeat did not reach the log. */
  'coordinator:heartbeat-failed': { readonly coordinator: string; readonly error: Error };
  /** The manager started although the participant did not answer; its transactions will fail. */
  'participant:unavailable': { readonly participant: string; readonly error: Error };
  /** Another server than before stands behind this name. Meant? If not, stop and look. */
  'participant:server-changed': { readonly participant: string; readonly before: string };
  /**
   * The server behind this name goes on in another history: a standby was promoted, or a backup restored.
   * `lost` branches of committed transactions are missing in it, and are recorded as heuristic outcomes.
   */
  'participant:timeline-changed': {
    readonly participant: string;
    readonly from: string;
    readonly to: string;
    readonly lost: number;
  };
  'transaction:begun': { readonly transactionId: string; readonly label: string | undefined };
  /** A branch's vote has arrived. */
  'branch:voted': {
    readonly transactionId: string;
    readonly participant: string;
    readonly vote: Vote['kind'];
  };
  /** The decision is durable (invariant 1): from here on nothing changes it. */
  'transaction:decided': {
    readonly transactionId: string;
    readonly decision: Decision;
    readonly decidedBy: DecidedBy;
  };
  /** A prepared branch has been finished according to the decision. */
  'branch:finished': {
    readonly transactionId: string;
    readonly participant: string;
    readonly decision: Decision;
  };
  /** A prepared branch could not be finished yet; it is retried, then left to recovery. */
  'branch:pending': {
    readonly transactionId: string;
    readonly participant: string;
    readonly decision: Decision;
    readonly error: Error;
  };
  /** The caller has its answer. */
  'transaction:ended': {
    readonly transactionId: string;
    readonly outcome: 'committed' | 'rolled-back' | 'unknown';
    readonly mode: 'read-only' | 'one-phase' | 'two-phase' | 'none';
    /** Milliseconds from begin to the answer. */
    readonly durationMs: number;
  };
  /** A branch ended against, or ahead of, the decision. Alarm on this. */
  'heuristic:found': {
    readonly transactionId: string;
    readonly participant: string;
    readonly gid: string;
    readonly kind: HeuristicKind;
    readonly evidence: string;
  };
  /** One recovery pass over one participant has ended. */
  'recovery:pass': {
    readonly participant: string;
    readonly committed: number;
    readonly rolledBack: number;
    readonly left: number;
    readonly failed: number;
    readonly error: Error | undefined;
  };
  /** A pass with more than a thousand branches has looked at so many of them. */
  'recovery:progress': {
    readonly participant: string;
    readonly done: number;
    readonly total: number;
  };
  /** A branch failed repeatedly; it is tried more and more seldom from now on, the others go on. */
  'recovery:set-aside': {
    readonly participant: string;
    readonly gid: string;
    readonly transactionId: string;
    readonly attempts: number;
    readonly error: Error;
  };
  /** This daemon works on the participant from now on, or no longer. */
  'recovery:lease': {
    readonly participant: string;
    readonly held: boolean;
    /** Counts the holders; grows with every change. */
    readonly term: string | undefined;
    readonly holder: string | undefined;
  };
  /** How a daemon learns that there is work: from the log at once, or only by looking. */
  'recovery:wake': { readonly mode: 'listening' | 'polling'; readonly reason: string };
  /** The log answers again, or does not; published on every change. */
  'recovery:log': { readonly reachable: boolean; readonly error: Error | undefined };
  /** Epochs whose time had run out, and which decide no more from now on. */
  'recovery:retired': { readonly epochs: readonly string[] };
  /** The house was kept: decisions beyond their retention are dropped, or held for a reason. */
  'recovery:housekeeping': {
    readonly dropped: readonly string[];
    readonly made: readonly string[];
    readonly forgottenEpochs: number;
    readonly forgottenKeys: number;
    readonly heldBy: string | undefined;
    readonly error: Error | undefined;
  };
  /** An `onCommitted` or `onRolledBack` hook threw. The outcome stands. */
  'hook:failed': { readonly transactionId: string; readonly error: Error };
}

export type PgxaEventName = keyof PgxaEvents;
export type Publish = <Name extends PgxaEventName>(name: Name, payload: PgxaEvents[Name]) => void;

const channels = new Map<PgxaEventName, diagnostics.Channel>();

/** Publishes on the process-wide channel `pgxa:<name>`; free when nobody listens. */
export const publish: Publish = (name, payload) => {
  let channel = channels.get(name);
  if (channel === undefined) {
    channel = diagnostics.channel(`pgxa:${name}`);
    channels.set(name, channel);
  }
  if (channel.hasSubscribers) channel.publish(payload);
};

/**
 * Calls `listener` for every event of this name, in this process, of every transaction manager.
 * Returns a function that ends the subscription.
 */
export function subscribe<Name extends PgxaEventName>(
  name: Name,
  listener: (payload: PgxaEvents[Name]) => void,
): () => void {
  const onMessage = (message: unknown): void => {
    listener(message as PgxaEvents[Name]);
  };
  diagnostics.subscribe(`pgxa:${name}`, onMessage);
  return () => {
    diagnostics.unsubscribe(`pgxa:${name}`, onMessage);
  };
}
