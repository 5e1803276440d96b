import { subscribe, type PgxaEventName, type PgxaEvents } from '../../src/index.ts';
import type { Logger } from './log.ts';

type Listeners = { [Name in PgxaEventName]?: (event: PgxaEvents[Name]) => void };

/** Writes what the library tells about itself to the log. Returns the function that ends it. */
export function logEvents(log: Logger): () => void {
  const listeners: Listeners = { ...eventsOfBranches(log), ...eventsOfTheDaemon(log) };
  const ends = (Object.keys(listeners) as PgxaEventName[]).map((name) =>
    subscribe(name, listeners[name] as (event: PgxaEvents[typeof name]) => void),
  );
  return () => {
    for (const end of ends) end();
  };
}

function eventsOfBranches(log: Logger): Listeners {
  const failing = new Set<string>();
  return {
    'branch:finished': (event) => {
      log.info(event, 'finished a branch');
    },
    'heuristic:found': (event) => {
      log.error(event, 'a branch ended against the decision, an operator has to look');
    },
    'recovery:set-aside': (event) => {
      log.error(event, 'a branch cannot be finished, it is tried more seldom now');
    },
    'recovery:pass': ({ participant, error, committed, rolledBack, left, failed }) => {
      const wasFailing = failing.has(participant);
      if (error !== undefined) {
        // Said once for every outage, not once a second.
        if (!wasFailing) log.error({ participant, err: error }, 'cannot work on a participant');
        failing.add(participant);
        return;
      }
      failing.delete(participant);
      if (wasFailing) log.info({ participant }, 'can work on the participant again');
      const fields = { participant, committed, rolledBack, left, failed };
      if (committed + rolledBack > 0) log.info(fields, 'recovered');
      else log.trace(fields, 'pass');
    },
    'recovery:progress': (event) => {
      log.info(event, 'a long pass goes on');
    },
    'participant:server-changed': (event) => {
      log.warn(event, 'another server than before stands behind this name');
    },
  };
}

function eventsOfTheDaemon(log: Logger): Listeners {
  return {
    'recovery:lease': (event) => {
      log.info(event, event.held ? 'works on a participant' : 'another daemon works on it');
    },
    'recovery:wake': ({ mode, reason }) => {
      if (mode === 'listening') log.info({ mode, reason }, 'is woken by the decision log');
      else log.warn({ mode, reason }, 'is not woken by the decision log, looks by itself');
    },
    'recovery:log': ({ reachable, error }) => {
      if (reachable) log.info('the decision log answers');
      else log.error({ err: error }, 'the decision log does not answer, trying again');
    },
    'recovery:retired': ({ epochs }) => {
      log.warn({ epochs }, 'retired coordinators that were silent for too long');
    },
    'recovery:housekeeping': ({ error, ...done }) => {
      if (error !== undefined) log.error({ ...done, err: error }, 'housekeeping failed');
      else if (done.dropped.length > 0) log.info(done, 'dropped decisions beyond their retention');
      else log.debug(done, 'housekeeping');
    },
  };
}
