/** What is right and wrong with one participant. Pure: from facts to findings. */
import { isSameDatabase } from '../participant/server-facts.ts';
import { checkClock, checkPooler, checkServer } from './doctor-server.ts';
import {
  NO_ANSWER,
  OF_WHICH_UNKNOWN,
  speaker,
  type Answer,
  type BranchRole,
  type Finding,
  type LogFacts,
  type ParticipantFacts,
  type RegisteredServerFacts,
  type Rights,
  type Say,
} from './doctor-model.ts';

export function checkParticipant(
  name: string,
  answer: Answer<ParticipantFacts>,
  log: LogFacts | undefined,
): Finding[] {
  const say = speaker('participant', name);
  if (answer.kind !== 'answered') return [unanswered(say, answer)];
  const { condition, server, slotsUsed, rights, isInstallationKnown } = answer.facts;
  const findings = [
    say('ok', 'reachable', 'it answers'),
    ...checkServer(say, 'participant', condition),
  ];
  // A standby has no slots of its own, nor is it what was registered.
  if (condition.inRecovery) return findings;
  const registered = log?.records?.servers.find(({ participant }) => participant === name);
  findings.push(
    checkSlots(say, slotsUsed, server.maxPreparedTransactions),
    ...checkIdentity(say, answer.facts, registered, log?.records !== undefined),
    ...checkRights(say, condition.login, rights, isInstallationKnown),
    checkPooler(say, condition, poolerHarm(condition.login, rights)),
  );
  if (log !== undefined) {
    const clock = {
      aheadMs: condition.clock.aheadMs - log.condition.clock.aheadMs,
      uncertainMs: condition.clock.uncertainMs + log.condition.clock.uncertainMs,
    };
    findings.push(checkClock(say, clock, 'that of the log'));
  }
  return findings;
}

export function unanswered(
  say: Say,
  answer: Exclude<Answer<unknown>, { readonly kind: 'answered' }>,
): Finding {
  if (answer.kind === 'refused') {
    return say('fault', 'reachable', `it lets nobody in: ${answer.error}`, answer.hint);
  }
  return say(
    'fault',
    NO_ANSWER,
    `it does not answer: ${answer.error}`,
    'is the server up, and is the way there open? Nothing else of it is known',
  );
}

/** From here on the next burst may fill them. */
const SLOTS_SHORT = 0.8;

function checkSlots(say: Say, used: number, max: number): Finding {
  const check = 'slots';
  const raise = 'raise max_prepared_transactions (on its standbys first) and restart the server';
  if (max === 0) {
    return say('fault', check, 'max_prepared_transactions is 0: no branch can vote', raise);
  }
  const found = `${used} of ${max} prepared transactions`;
  if (used >= max) {
    return say('fault', check, `${found}: no branch can vote`, `look at "pgxa list"; ${raise}`);
  }
  if (used >= max * SLOTS_SHORT) {
    return say('warning', check, `${found} are taken`, `look at "pgxa list"; ${raise}`);
  }
  return say('ok', check, found);
}

function checkIdentity(
  say: Say,
  { server: { server } }: ParticipantFacts,
  registered: RegisteredServerFacts | undefined,
  isLogRead: boolean,
): Finding[] {
  const here = `system ${server.systemIdentifier}, database oid ${server.databaseOid}`;
  if (registered === undefined) {
    if (!isLogRead) return [];
    return [
      say(
        'info',
        'identity',
        `${here}: the log knows no server of this name yet`,
        'the first program or daemon that uses it registers it: is the name spelt as in your programs?',
      ),
    ];
  }
  if (!isSameDatabase(server, registered)) {
    return [
      say(
        'fault',
        'identity',
        `${here}; registered is system ${registered.systemIdentifier}, database oid ` +
          `${registered.databaseOid}: recovery leaves it alone`,
        'correct the address; or, if this server is meant, start a program that uses it (it registers it)',
      ),
    ];
  }
  return [say('ok', 'identity', `${here}, as registered`), checkTimeline(say, server, registered)];
}

function checkTimeline(
  say: Say,
  { timeline }: { readonly timeline: string },
  registered: RegisteredServerFacts,
): Finding {
  const last = registered.listedTimeline ?? registered.timeline;
  if (timeline === registered.timeline && timeline === last) {
    return say('ok', 'timeline', `timeline ${timeline}, as registered`);
  }
  const before = timeline === registered.timeline ? last : registered.timeline;
  return say(
    'warning',
    'timeline',
    `it went from timeline ${before} to ${timeline}, a failover or a restore, and what that lost is not checked yet`,
    'let a daemon run: it checks it; then look at "pgxa list" (docs/runbook.md, section 5)',
  );
}

function checkRights(
  say: Say,
  login: string,
  rights: Rights | undefined,
  isInstallationKnown: boolean,
): Finding[] {
  const check = 'rights';
  if (rights === undefined) {
    return [say('info', check, 'it could not be found out whose branches this login may finish')];
  }
  if (rights.superuser)
    return [say('ok', check, `${login} is a superuser: it may finish any branch`)];
  const denied = rights.roles.filter(({ mayFinish }) => !mayFinish);
  const whose = isInstallationKnown ? '' : `, of some pgxa installation: ${OF_WHICH_UNKNOWN}`;
  if (denied.length > 0) return denied.map((one) => deniedFinding(say, login, one, whose));
  const others = rights.settable.filter((role) => role !== login);
  if (others.length > 0) {
    return [say('ok', check, `${login} may finish branches of ${others.join(', ')}`)];
  }
  return [
    say(
      'info',
      check,
      `${login} may finish its own branches alone`,
      'if your programs use another role here, grant that one to it (sql/participant-roles.sql)',
    ),
  ];
}

function deniedFinding(
  say: Say,
  login: string,
  { role, branches, sessions }: BranchRole,
  whose: string,
): Finding {
  if (role === undefined) {
    return say(
      'fault',
      'rights',
      `${preparedBranches(branches)} of a role that was dropped${whose}`,
      'only a superuser can finish them: give recovery one for this, through "pgxa resolve" alone',
    );
  }
  const grant = `grant ${quoted(role)} to ${quoted(login)} (with set option): sql/participant-roles.sql`;
  if (branches > 0) {
    const found = `${login} may not finish ${preparedBranches(branches)} of role ${role}${whose}`;
    return say('fault', 'rights', found, grant);
  }
  const found = `${login} could not finish branches of role ${role}, which has sessions of pgxa here (${sessions})`;
  return say('warning', 'rights', found, `${grant}; if it runs no transactions, leave it`);
}

/** It is copied into a terminal. */
function quoted(role: string): string {
  return `"${role.replaceAll('"', '""')}"`;
}

function preparedBranches(count: number): string {
  return `${count} prepared ${count === 1 ? 'branch' : 'branches'}`;
}

function poolerHarm(
  login: string,
  rights: Rights | undefined,
): { severity: 'warning' | 'fault'; why: string } {
  const isAlone = rights?.superuser === true || rights?.roles.every(({ role }) => role === login);
  return isAlone === true
    ? { severity: 'warning', why: 'a coordinator cannot end a session that may still prepare' }
    : {
        severity: 'fault',
        why: 'SET ROLE, with which branches are finished, may reach another session',
      };
}
