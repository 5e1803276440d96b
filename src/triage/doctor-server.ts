/** What is right and wrong with any server, be it the log's or a participant's. Pure: from facts to findings. */
import type { ClockReading, Finding, Say, ServerCondition, Setting } from './doctor-model.ts';

export type Use = 'log' | 'participant';

const VERSION_MIN = 140_000;
/** The newest that the tests run on. */
const TESTED_MAJOR = 18;

export function checkServer(say: Say, use: Use, condition: ServerCondition): Finding[] {
  const findings = [checkVersion(say, condition), checkPrimary(say, condition)];
  // What a standby says of durability is its primary's business.
  if (condition.inRecovery) return findings;
  return [
    ...findings,
    ...checkDisk(say, condition),
    ...checkSynchronousCommit(say, use, condition),
    checkStandbys(say, use, condition),
    ...checkReadOnly(say, use, condition),
    ...checkTimeouts(say, use, condition),
    ...checkExpiry(say, condition),
  ];
}

function checkVersion(say: Say, { versionNumber }: ServerCondition): Finding {
  const major = Math.floor(versionNumber / 10_000);
  const found = `PostgreSQL ${major}.${versionNumber % 10_000}`;
  if (versionNumber < VERSION_MIN) {
    return say('fault', 'version', found, 'upgrade it to PostgreSQL 14 or newer');
  }
  if (major <= TESTED_MAJOR) return say('ok', 'version', found);
  const action = `pgxa is tested up to PostgreSQL ${TESTED_MAJOR}: look for a newer pgxa`;
  return say('info', 'version', found, action);
}

function checkPrimary(say: Say, { inRecovery }: ServerCondition): Finding {
  if (!inRecovery) return say('ok', 'primary', 'it is a primary');
  return say(
    'fault',
    'primary',
    'it is a standby: nothing can be written there, and it lists no prepared transaction',
    'point the configuration to the primary',
  );
}

function checkDisk(say: Say, { settings }: ServerCondition): Finding[] {
  const isOff = (name: string): boolean => settings[name]?.value === 'off';
  return [
    isOff('fsync')
      ? say(
          'fault',
          'fsync',
          'fsync is off: a crash of the machine loses what the server has promised',
          'alter system set fsync = on, then select pg_reload_conf()',
        )
      : say('ok', 'fsync', 'fsync is on'),
    isOff('full_page_writes')
      ? say(
          'warning',
          'full_page_writes',
          'full_page_writes is off: a crash can leave torn pages, unless the file system writes them whole',
          'alter system set full_page_writes = on, then select pg_reload_conf() (it is right on ZFS alone)',
        )
      : say('ok', 'full_page_writes', 'full_page_writes is on'),
  ];
}

const SOURCES: Readonly<Record<string, string>> = {
  default: 'by default',
  'configuration file': 'by the configuration of the server',
  database: 'by alter database',
  user: 'by alter role',
  'database user': 'by alter role … in database',
  client: 'by the options of the connection',
};

function by({ source }: Setting): string {
  return SOURCES[source] ?? `by ${source}`;
}

function checkSynchronousCommit(
  say: Say,
  use: Use,
  { settings, otherDefaults, login, pooler }: ServerCondition,
): Finding[] {
  const setting = settings['synchronous_commit'];
  if (setting === undefined) return [];
  const check = 'synchronous_commit';
  const own = `synchronous_commit is ${setting.value} for ${login}, ${by(setting)}`;
  const mend = 'set it to on for this role, or for the database';
  const findings: Finding[] = [];
  if (setting.value !== 'off') findings.push(say('ok', check, own));
  else if (use === 'participant') {
    findings.push(
      say(
        'warning',
        check,
        `${own}: prepared branches are durable all the same, the plain COMMIT of a transaction with one ` +
          'writer is not',
        mend,
      ),
    );
  } else if (pooler === 'transaction') {
    findings.push(
      say(
        'fault',
        check,
        `${own}, and a transaction pooler keeps pgxa from overruling it: a crash can lose decisions`,
        `${mend}, and connect directly`,
      ),
    );
  } else {
    findings.push(say('warning', check, `${own}: the sessions of pgxa overrule it`, mend));
  }
  const others = otherDefaults.filter(({ role, value }) => value === 'off' && role !== login);
  if (others.length === 0) return findings;
  const names = others.map(({ role }) => role).join(', ');
  const more =
    use === 'log'
      ? 'the sessions of pgxa overrule it'
      : 'transactions of theirs with one writer are not durable when they are told so';
  return [
    ...findings,
    say('warning', check, `synchronous_commit is off for ${names}: ${more}`, mend),
  ];
}

function checkStandbys(
  say: Say,
  use: Use,
  { settings, standbys: { connected, synchronous } }: ServerCondition,
): Finding {
  const check = 'standbys';
  const names = settings['synchronous_standby_names']?.value ?? '';
  if (names === '') return checkAsynchronous(say, use, connected);
  const wanted = `synchronous_standby_names is '${names}'`;
  const mode = settings['synchronous_commit']?.value ?? 'on';
  if (synchronous === 0 || connected === 0) {
    return say(
      'fault',
      check,
      `${wanted}, and no synchronous standby is connected: every commit waits without end`,
      'bring the standby back, or take it out of synchronous_standby_names',
    );
  }
  if (mode === 'local') {
    return say(
      'warning',
      check,
      `${wanted}, and synchronous_commit = local does not wait for it: a failover can lose what was promised`,
      'set synchronous_commit to on for this role',
    );
  }
  if (synchronous === undefined) {
    return say(
      'info',
      check,
      `${wanted}; ${connected} connected, and this login may not see whether one is synchronous`,
      'grant pg_monitor to it, to have this looked at',
    );
  }
  return say('ok', check, `${synchronous} of ${connected} standbys are synchronous`);
}

function checkAsynchronous(say: Say, use: Use, connected: number): Finding {
  if (connected === 0) return say('ok', 'standbys', 'no standby is connected');
  const found = `${connected} asynchronous standby${connected === 1 ? '' : 's'}`;
  if (use === 'participant') {
    return say(
      'info',
      'standbys',
      `${found}: a failover can lose branches that have voted, as it loses any commit`,
      'make one synchronous where that matters (docs/high-availability.md)',
    );
  }
  return say(
    'warning',
    'standbys',
    `${found}: a failover of the log loses its last decisions`,
    'name one in synchronous_standby_names, or never fail over to it (docs/high-availability.md)',
  );
}

function checkReadOnly(say: Say, use: Use, { settings, login }: ServerCondition): Finding[] {
  const setting = settings['default_transaction_read_only'];
  if (setting?.value !== 'on') return [];
  const found = `transactions of ${login} are read only, ${by(setting)}`;
  const action = 'set default_transaction_read_only to off; is its disk full, or a maintenance on?';
  return [say(use === 'log' ? 'fault' : 'warning', 'read_only', found, action)];
}

/** Default deadline of a transaction. */
const DEADLINE_MS = 30_000;
/** Longer than a daemon and a coordinator ever let a session of theirs idle. */
const IDLE_MS = 60_000;

/** What ends sessions that their program has left, and what ends those that it has not. */
function checkTimeouts(say: Say, use: Use, { settings, login }: ServerCondition): Finding[] {
  const limitOf = (name: string): number => Number(settings[name]?.value ?? 0);
  const findings: Finding[] = [];
  const idleMs = limitOf('idle_session_timeout');
  if (idleMs > 0 && idleMs < IDLE_MS) {
    findings.push(
      say(
        use === 'log' ? 'warning' : 'info',
        'idle_session_timeout',
        `sessions of ${login} are ended after ${idleMs} ms without work: they are made anew each time`,
        `set idle_session_timeout to 0, or over ${IDLE_MS} ms, for the roles of pgxa`,
      ),
    );
  }
  if (use === 'log')
    return findings.length > 0 ? findings : [say('ok', 'timeouts', 'none is short')];
  for (const name of ['idle_in_transaction_session_timeout', 'transaction_timeout']) {
    const limitMs = limitOf(name);
    if (limitMs === 0 || limitMs >= DEADLINE_MS) continue;
    findings.push(
      say(
        'warning',
        name,
        `${name} is ${limitMs} ms for ${login}: it ends a branch that waits longer for the others before ` +
          'its vote (a prepared one is never touched)',
        `set it to 0, or over the deadline of your transactions, for the roles of your programs`,
      ),
    );
  }
  const checked = settings['client_connection_check_interval'];
  if (checked?.value === '0') {
    findings.push(
      say(
        'info',
        'client_connection_check_interval',
        'it is 0: a session whose program died while it waits for a lock waits on, up to the lock timeout',
        `alter system set client_connection_check_interval = '10s' lets the server notice it`,
      ),
    );
  }
  return findings.some(({ severity }) => severity !== 'info')
    ? findings
    : [...findings, say('ok', 'timeouts', 'none is shorter than a transaction may last')];
}

/** Settings of servers and their forks that end prepared transactions by age. */
const EXPIRY = /orphan|prepared_(xact|trans)/;
const NOT_AN_EXPIRY = new Set(['max_prepared_transactions']);
const OFF = new Set(['0', '-1', 'off', '']);

/** Such a server decides by itself, behind the back of the register. */
function checkExpiry(say: Say, { settings }: ServerCondition): Finding[] {
  const names = Object.keys(settings).filter(
    (name) => EXPIRY.test(name) && !NOT_AN_EXPIRY.has(name),
  );
  const on = names.filter((name) => !OFF.has(settings[name]?.value ?? ''));
  if (on.length === 0) {
    return [say('ok', 'expiry', 'the server ends no prepared transaction by itself')];
  }
  return on.map((name) =>
    say(
      'fault',
      'expiry',
      `${name} is ${settings[name]?.value ?? ''}: the server rolls prepared transactions back by itself, ` +
        'those too that are decided to commit',
      `set ${name} to 0: what is in doubt is the matter of the decision log alone`,
    ),
  );
}

const CLOCK_WARNING_MS = 5_000;
const CLOCK_FAULT_MS = 3_600_000;

/** Safety asks no clock; retention and the ids do, in hours. */
export function checkClock(
  say: Say,
  { aheadMs, uncertainMs }: ClockReading,
  against: string,
): Finding {
  const offMs = Math.max(0, Math.abs(aheadMs) - uncertainMs);
  const seconds = (Math.abs(aheadMs) / 1_000).toFixed(Math.abs(aheadMs) < 10_000 ? 2 : 0);
  const way = aheadMs < 0 ? 'behind' : 'ahead of';
  const found = `its clock is ${seconds} s ${way} ${against}`;
  if (offMs < CLOCK_WARNING_MS) return say('ok', 'clock', found);
  const action = 'let NTP or chrony run on both machines';
  if (offMs < CLOCK_FAULT_MS) {
    return say('warning', 'clock', `${found}: ages that are shown are wrong by that`, action);
  }
  return say(
    'fault',
    'clock',
    `${found}: retention stops, and transactions that begin a day off are refused`,
    action,
  );
}

/** @param needsSession what breaks where sessions are not ours alone. */
export function checkPooler(
  say: Say,
  { pooler }: ServerCondition,
  needsSession: { readonly severity: 'warning' | 'fault'; readonly why: string },
): Finding {
  switch (pooler) {
    case undefined:
      return say('info', 'pooler', 'it could not be found out whether a pooler is in between');
    case 'none':
      return say('ok', 'pooler', 'connected directly');
    case 'session':
      return say('info', 'pooler', 'a pooler is in between, in session mode: it works');
    case 'transaction':
      return say(
        needsSession.severity,
        'pooler',
        `a pooler is in between, in transaction mode: ${needsSession.why}`,
        'connect pgxa directly to the server, or through a pool in session mode',
      );
  }
}
