import type { DaemonStatus, ParticipantStatus } from '../../src/index.ts';

export interface Health {
  readonly isFine: boolean;
  /** For the JSON of the answer. */
  readonly body: Readonly<Record<string, unknown>>;
}

/** A loop whose server does not answer comes round every 30 s, and waits for the server in between. */
const SLOWEST_LOOP_MS = 60_000;

/** Alive: some loop came round not long ago. Before there are loops, that this is answered is enough. */
export function liveness(status: DaemonStatus | undefined, intervalMs: number): Health {
  if (status === undefined) return { isFine: true, body: { alive: true, state: 'starting' } };
  const { sinceLastTickMs } = status;
  const limitMs = SLOWEST_LOOP_MS + 3 * intervalMs;
  const isFine = sinceLastTickMs < limitMs;
  return { isFine, body: { alive: isFine, sinceLastTickMs: Math.round(sinceLastTickMs), limitMs } };
}

/**
 * Ready: the log answers, and every participant was looked at once. What is in doubt, or a participant that
 * is down, does not make the daemon unready: it is what the daemon is for.
 */
export function readiness(
  status: DaemonStatus | undefined,
  redact: (text: string) => string,
): Health {
  if (status === undefined) {
    return { isFine: false, body: { ready: false, log: { reachable: false } } };
  }
  const isFine = status.log.reachable && status.firstPassDone;
  const participants = Object.fromEntries(
    Object.entries(status.participants).map(([name, one]) => [name, describe(one, redact)]),
  );
  const { reachable, error } = status.log;
  const log = { reachable, ...(error === undefined ? {} : { error: redact(error.message) }) };
  const { firstPassDone } = status;
  return { isFine, body: { ready: isFine, log, firstPassDone, participants } };
}

/** Ready for one participant: its list is read, here or by the daemon that has the lease. */
export function participantReadiness(
  one: ParticipantStatus,
  redact: (text: string) => string,
): Health {
  const body = describe(one, redact);
  return { isFine: body.ready, body };
}

function describe(one: ParticipantStatus, redact: (text: string) => string) {
  const { lease, holder, state, inDoubt, error } = one;
  return {
    ready: lease === 'elsewhere' || (lease === 'held' && state === 'listed'),
    lease,
    holder,
    state,
    inDoubt,
    ...(error === undefined ? {} : { error: redact(error.message) }),
  };
}
