/** Whether anybody works: daemons, and the coordinators whose epochs the log knows. Pure. */
import { stateOfEpoch } from '../recovery/observe.ts';
import { attemptInWords, duration as ago } from './attempts.ts';
import {
  speaker,
  type CoordinatorFacts,
  type Finding,
  type LeaseFacts,
  type LogRecords,
  type RegisteredServerFacts,
} from './doctor-model.ts';
import { VERSION } from '../version.ts';

/** A daemon tells the log every minute that it has read the list. */
const LISTED_LATE_MS = 180_000;
/** By the log's own clock a heartbeat is never ahead, but for a clock that was set back. */
const FUTURE_MS = 5_000;
/** Time for its first heartbeats. */
const GUARDED_AFTER_MS = 10_000;
const NAMES_SHOWN = 5;

export function checkDaemons(names: readonly string[], records: LogRecords): Finding[] {
  const { leases, servers, failedAttempts } = records;
  if (leases.length === 0) {
    return [
      speaker('daemon')(
        'warning',
        'lease',
        'no daemon has ever worked on this log',
        'run "pgxa daemon", or let a program call tm.recover() now and then: else nobody finishes what a crash leaves',
      ),
    ];
  }
  const findings = names.flatMap((name) => [
    checkLease(name, lease(leases, `participant ${name}`)),
    ...checkLastPass(
      name,
      lease(leases, `participant ${name}`),
      servers.find(({ participant }) => participant === name),
    ),
  ]);
  return [
    ...findings,
    checkLease(undefined, lease(leases, 'housekeeping')),
    ...checkFailures(failedAttempts),
  ];
}

function lease(leases: readonly LeaseFacts[], name: string): LeaseFacts | undefined {
  return leases.find((one) => one.name === name);
}

/** @param name undefined for housekeeping. */
function checkLease(name: string | undefined, held: LeaseFacts | undefined): Finding {
  const say = speaker('daemon', name);
  const check = name === undefined ? 'housekeeping' : 'lease';
  const what = name === undefined ? 'the house of the log' : `participant ${name}`;
  if (held === undefined) {
    return say(
      'fault',
      check,
      `no daemon has ever worked on ${what}`,
      `is ${name ?? 'the log'} in the configuration of your daemons, under this very name?`,
    );
  }
  if (held.remainingMs > 0)
    return say('ok', check, `the daemon of ${held.holder} works on ${what}`);
  return say(
    'fault',
    check,
    `nobody works on ${what}: the daemon of ${held.holder} is gone since ${ago(-held.remainingMs)}`,
    `start it: systemctl status pgxa-daemon on ${held.holder}. Until then "pgxa recover" makes a pass`,
  );
}

function checkLastPass(
  name: string,
  held: LeaseFacts | undefined,
  server: RegisteredServerFacts | undefined,
): Finding[] {
  const say = speaker('daemon', name);
  // Who is not there does not pass either: that is said already.
  if (held === undefined || held.remainingMs <= 0) return [];
  const check = 'last_pass';
  const look = `look at the log of the daemon of ${held.holder}, and at "pgxa list"`;
  if (server?.listedAgeMs === undefined) {
    const found = 'the daemon that works on it has not read its list yet';
    return [say('warning', check, found, `if it has not only just started: ${look}`)];
  }
  const found = `its list was read last ${ago(server.listedAgeMs)} ago, or within the minute after`;
  if (server.listedAgeMs <= LISTED_LATE_MS) return [say('ok', check, found)];
  return [say('fault', check, `its list was read last ${ago(server.listedAgeMs)} ago`, look)];
}

function checkFailures(failed: LogRecords['failedAttempts']): Finding[] {
  const names = [...new Set(failed.map(({ participant }) => participant))];
  return names.flatMap((name) => {
    const say = speaker('daemon', name);
    const here = failed.filter(({ participant }) => participant === name);
    const [whole] = here.filter(({ gid }) => gid === undefined);
    const branches = here.filter(({ gid }) => gid !== undefined);
    const [first] = branches;
    const findings: Finding[] = [];
    if (whole !== undefined) {
      findings.push(
        say(
          'warning',
          'failed_attempt',
          `the daemon of ${whole.daemon} cannot work on it: ${attemptInWords(whole)}`,
          'mend what the error says; the daemon goes on by itself',
        ),
      );
    }
    if (first !== undefined) {
      findings.push(
        say(
          'warning',
          'failed_attempt',
          `${branches.length} set aside after repeated failures, such as ${first.gid ?? ''}: ${attemptInWords(first)}`,
          `pgxa explain ${first.transactionId ?? ''}`,
        ),
      );
    }
    return findings;
  });
}

export function checkCoordinators(
  coordinators: readonly CoordinatorFacts[],
  heartbeatLimitMs: number,
  isKeptHouse: boolean,
): Finding[] {
  const say = speaker('coordinators');
  const stale = coordinators.filter((one) => stateOfEpoch(one, heartbeatLimitMs) === 'silent');
  const live = coordinators.filter((one) => !stale.includes(one));
  const findings = [
    live.length === 0
      ? say('info', 'coordinators', 'no coordinator is alive', 'do your programs run?')
      : say('ok', 'coordinators', `${live.length} alive`),
  ];
  if (stale.length > 0) {
    findings.push(
      say(
        isKeptHouse ? 'info' : 'warning',
        'stale_epochs',
        `${stale.length} whose heartbeat or session is over, and not retired yet: ${listed(stale.map(placeOf))}`,
        isKeptHouse
          ? 'the daemon retires them within a moment'
          : 'a daemon, or "pgxa recover", retires them where a branch of theirs is in doubt',
      ),
    );
  }
  return [
    ...findings,
    ...checkFuture(live),
    ...checkNames(live),
    ...checkGuards(live),
    ...checkVersions(live),
  ];
}

function checkFuture(live: readonly CoordinatorFacts[]): Finding[] {
  const ahead = live.filter(({ heartbeatAgeMs }) => heartbeatAgeMs < -FUTURE_MS);
  if (ahead.length === 0) return [];
  const found =
    `${ahead.length} with a heartbeat of the future: ${listed(ahead.map(placeOf))}. The clock of the log was ` +
    'set back: one that is dead counts as alive until then, unless its session tells';
  return [
    speaker('coordinators')(
      'warning',
      'future_heartbeat',
      found,
      'let the clock of the log be right; "pgxa explain" and "pgxa force rollback" for what must not wait',
    ),
  ];
}

/** Several copies of a program are quite right, and two by mistake look the same. */
function checkNames(live: readonly CoordinatorFacts[]): Finding[] {
  const byName = new Map<string, CoordinatorFacts[]>();
  for (const one of live)
    byName.set(one.coordinator, [...(byName.get(one.coordinator) ?? []), one]);
  return [...byName]
    .filter(([, same]) => same.length > 1)
    .map(([name, same]) =>
      speaker('coordinators')(
        'info',
        'duplicate_name',
        `${same.length} are called ${name}: ${listed(same.map(({ host, pid }) => `${host} pid ${pid}`))}`,
        'nothing, if these are copies of one program; each has an epoch of its own',
      ),
    );
}

function checkGuards(live: readonly CoordinatorFacts[]): Finding[] {
  const loose = live.filter(({ guarded, ageMs }) => !guarded && ageMs > GUARDED_AFTER_MS);
  if (loose.length === 0) return [];
  return [
    speaker('coordinators')(
      'info',
      'unguarded',
      `${loose.length} without a session of their own on the log: ${listed(loose.map(placeOf))}`,
      'connect them to the log directly, not through a transaction pooler: their death is noticed sooner then',
    ),
  ];
}

function checkVersions(live: readonly CoordinatorFacts[]): Finding[] {
  const others = live.filter(({ version }) => version !== VERSION);
  if (others.length === 0) return [];
  const found = others.map((one) => `${placeOf(one)} ${one.version}`);
  return [
    speaker('coordinators')(
      'info',
      'other_version',
      `${others.length} with another version than this one (${VERSION}): ${listed(found)}`,
      'nothing, as long as the schema of the log is the same',
    ),
  ];
}

function placeOf({ coordinator, host, pid }: CoordinatorFacts): string {
  return `${coordinator} on ${host} pid ${pid}`;
}

export function listed(names: readonly string[]): string {
  const more = names.length - NAMES_SHOWN;
  return `${names.slice(0, NAMES_SHOWN).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
