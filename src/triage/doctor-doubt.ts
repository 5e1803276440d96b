/** What is prepared where nobody would look for it, or for too long; and names that mean one database. Pure. */
import { isSameDatabase } from '../participant/server-facts.ts';
import {
  OF_WHICH_UNKNOWN,
  speaker,
  type Answer,
  type Finding,
  type LogRecords,
  type ParticipantFacts,
} from './doctor-model.ts';
import { duration as ago } from './attempts.ts';
import { listed } from './doctor-work.ts';
import type { Survey, TransactionView } from './model.ts';

/** Recovery finishes in seconds what can be finished: what is older is left by it. */
const DOUBT_MS = 60_000;
/** Others may take their time, and hold locks and vacuum meanwhile. */
const FOREIGN_MS = 600_000;

export function checkDoubt(survey: Survey): Finding[] {
  const { participants, transactions } = survey;
  const findings = participants.flatMap(({ name, status, error, inspectionError }) => {
    const say = speaker('participant', name);
    if (status === 'listed' && inspectionError === undefined) return [];
    if (status === 'listed') {
      return [
        say('info', 'prepared', `who is blocked there is not known: ${inspectionError ?? ''}`),
      ];
    }
    const found = `its prepared transactions could not be listed (${status}): ${error ?? 'no answer'}`;
    return [say('warning', 'prepared', found, 'mend what the error says, then look again')];
  });
  const say = speaker('log');
  const broken = transactions.filter(({ verdict }) =>
    ['contradictory', 'hazard'].includes(verdict),
  );
  const old = transactions.filter(
    (one) => !broken.includes(one) && one.verdict !== 'unknown' && one.ageMs >= DOUBT_MS,
  );
  if (broken.length > 0) {
    const found = `contradictory, or a hazard: ${listed(broken.map(idOf))}`;
    findings.push(say('fault', 'in_doubt', found, `pgxa explain ${idOf(broken[0])}`));
  }
  if (old.length > 0) {
    const oldest = Math.max(...old.map(({ ageMs }) => ageMs));
    const found = `${old.length} in doubt for more than a minute, the oldest for ${ago(oldest)}`;
    findings.push(say('warning', 'in_doubt', found, `pgxa explain ${idOf(old[0])}`));
  }
  if (broken.length + old.length === 0 && survey.log.status === 'reachable') {
    findings.push(say('ok', 'in_doubt', 'nothing is in doubt for long'));
  }
  return [...findings, ...checkForeign(survey), ...checkXids(survey)];
}

function idOf(one: TransactionView | undefined): string {
  return one?.transactionId ?? '';
}

function checkForeign({ foreign, participants }: Survey): Finding[] {
  return participants
    .filter(({ status }) => status === 'listed')
    .map(({ name }) => {
      const say = speaker('participant', name);
      const here = foreign.filter(({ participant }) => participant === name);
      const oldest = Math.max(0, ...here.map(({ ageMs }) => ageMs));
      if (here.length === 0) return say('ok', 'foreign', 'nothing of others is prepared');
      const origins = [...new Set(here.map(({ origin }) => origin.origin))];
      const found =
        `prepared by others: ${here.length} (${listed(origins)}), the oldest for ${ago(oldest)}: ` +
        listed(here.map(({ gid }) => gid));
      return say(
        oldest >= FOREIGN_MS ? 'warning' : 'info',
        'foreign',
        found,
        'pgxa never touches them: ask whoever made them ("pgxa list" tells more)',
      );
    });
}

const XID_AGE_WARNING = 0.5;

/** The server begins to act on old transaction ids at the freeze limit, and stops at last. */
function checkXids({ transactions, foreign }: Survey): Finding[] {
  const ours = transactions.flatMap((one) =>
    one.branches.map((branch) => ({ ...branch, action: `pgxa explain ${one.transactionId}` })),
  );
  const others = foreign.map((one) => ({
    ...one,
    action: 'let whoever made it end it: pgxa never touches it ("pgxa list" tells more)',
  }));
  return [...ours, ...others].flatMap(({ participant, gid, xidAge, freezeLimit, action }) => {
    if (xidAge === undefined || freezeLimit === undefined) return [];
    if (xidAge < freezeLimit * XID_AGE_WARNING) return [];
    const found = `${gid} holds back vacuum: its xid age is ${xidAge}, the freeze limit ${freezeLimit}`;
    const severity = xidAge < freezeLimit ? 'warning' : 'fault';
    return [speaker('participant', participant)(severity, 'xid_age', found, action)];
  });
}

export function checkPlaces(
  participants: ReadonlyMap<string, Answer<ParticipantFacts>>,
  records: LogRecords | undefined,
): Finding[] {
  const answered = [...participants].flatMap(([name, answer]) =>
    answer.kind === 'answered' && !answer.facts.condition.inRecovery
      ? [{ name, facts: answer.facts }]
      : [],
  );
  return [
    ...checkTwins(answered),
    ...checkElsewhere(answered),
    ...checkUnknownNames(new Set(participants.keys()), records),
  ];
}

interface Place {
  readonly name: string;
  readonly facts: ParticipantFacts;
}

/** A physical copy has the identity of its original, and runs since another moment. */
function checkTwins(places: readonly Place[]): Finding[] {
  return places.flatMap(({ name, facts: { server } }, at) =>
    places.slice(at + 1).flatMap(({ name: other, facts: { server: its } }) => {
      if (!isSameDatabase(server.server, its.server)) return [];
      if (server.runningSince !== its.runningSince) {
        return [
          speaker('participant', name)(
            'warning',
            'duplicate_name',
            `${name} and ${other} are copies of one server, and both are writable`,
            'never point a name from one to the other while branches are in doubt',
          ),
        ];
      }
      return [
        speaker('participant', name)(
          'fault',
          'duplicate_name',
          `${name} and ${other} are the same database ("${server.databaseName}"): programs refuse that`,
          'configure it once',
        ),
      ];
    }),
  );
}

/** A server has one list for all of its databases, and a branch is finished in its own. */
function checkElsewhere(places: readonly Place[]): Finding[] {
  return places.flatMap(({ name, facts: { elsewhere, server, isInstallationKnown } }) => {
    const neighbours = new Set(
      places
        .filter(
          ({ facts }) => facts.server.server.systemIdentifier === server.server.systemIdentifier,
        )
        .map(({ facts }) => facts.server.databaseName),
    );
    const unseen = (elsewhere ?? []).filter(
      ({ database, ours }) => ours > 0 && !neighbours.has(database),
    );
    return unseen.map(({ database, ours }) =>
      speaker('participant', name)(
        'warning',
        'elsewhere',
        `database "${database}" of its server holds prepared branches ` +
          (isInstallationKnown
            ? `of this log (${ours})`
            : `of some pgxa installation (${ours}; ${OF_WHICH_UNKNOWN})`) +
          ', and is no participant of this configuration',
        isInstallationKnown
          ? 'add it under the name that your programs use: nobody finishes them with this configuration'
          : 'mend the log and look again: those of this log nobody finishes with this configuration',
      ),
    );
  });
}

/** Names under which programs have registered a server, and which this configuration does not have. */
function checkUnknownNames(known: ReadonlySet<string>, records: LogRecords | undefined): Finding[] {
  if (records === undefined) return [];
  const strange = records.servers.filter(
    ({ participant, retired }) => !known.has(participant) && !retired,
  );
  return strange.map(({ participant }) => {
    const lease = records.leases.find(({ name }) => name === `participant ${participant}`);
    const say = speaker('participant', participant);
    const found = 'programs have registered it, and this configuration does not have it';
    if (lease !== undefined && lease.remainingMs > 0) {
      return say(
        'info',
        'unconfigured',
        `${found}; the daemon of ${lease.holder} works on it`,
        MAYBE,
      );
    }
    return say('warning', 'unconfigured', `${found}, nor does a daemon work on it`, ADD);
  });
}

const MAYBE = 'add it to this configuration to have it looked at here';
const ADD =
  'add it to the configuration of a daemon. If nobody will ever use it again: update pgxa.participant ' +
  'set retired_at = now() where name = …';
