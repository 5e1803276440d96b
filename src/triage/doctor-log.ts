/** What is right and wrong with the decision log. Pure: from facts to findings. */
import { checkClock, checkPooler, checkServer } from './doctor-server.ts';
import { speaker, type Answer, type Finding, type LogFacts, type Say } from './doctor-model.ts';
import { unanswered } from './doctor-participant.ts';

const MIGRATE = 'run "pgxa migrate" as the owner of the log, then sql/roles.sql';

export function checkLog(answer: Answer<LogFacts>): Finding[] {
  const say = speaker('log');
  if (answer.kind !== 'answered') return [unanswered(say, answer)];
  const { condition } = answer.facts;
  const findings = [say('ok', 'reachable', 'it answers'), ...checkServer(say, 'log', condition)];
  if (condition.inRecovery) return findings;
  return [
    ...findings,
    checkSchema(say, answer.facts),
    ...checkPurposes(say, answer.facts),
    checkPooler(say, condition, {
      severity: 'warning',
      why: 'a dead coordinator is noticed by its heartbeats alone, and daemons are not woken',
    }),
    checkClock(say, condition.clock, 'that of this machine'),
  ];
}

function checkSchema(say: Say, { schema: { isThere, found, known } }: LogFacts): Finding {
  if (!isThere) return say('fault', 'migrated', 'there is no schema of pgxa in it', MIGRATE);
  if (found === undefined) {
    return say(
      'info',
      'migrated',
      'there is a schema of pgxa in it, whose version could not be read',
      MIGRATE,
    );
  }
  const version = `schema version ${found}`;
  if (found < known) {
    return say('fault', 'migrated', `${version}; this pgxa needs ${known}`, MIGRATE);
  }
  if (found === known) return say('ok', 'migrated', version);
  return say(
    'fault',
    'migrated',
    `${version}; this pgxa knows up to ${known}`,
    'upgrade pgxa on this machine',
  );
}

/** The configuration is the daemon's, and the operator's: of its rights neither should lack one. */
function checkPurposes(say: Say, { schema, purposes, records, condition }: LogFacts): Finding[] {
  const { login } = condition;
  if (!schema.isThere) return [];
  if (purposes.length === 0) {
    return [
      say(
        'fault',
        'log_rights',
        `${login} may not read the log`,
        `grant pgxa_recovery or pgxa_operator to ${login} (sql/roles.sql)`,
      ),
    ];
  }
  const found = `${login} has the rights of: ${purposes.join(', ')}`;
  const findings = [
    purposes.includes('recovery')
      ? say('ok', 'log_rights', found)
      : say(
          'info',
          'log_rights',
          found,
          `a daemon with this configuration would be refused: it needs pgxa_recovery (sql/roles.sql)`,
        ),
  ];
  if (records !== undefined || schema.found !== schema.known) return findings;
  const unread =
    'its tables could not be read: registered servers, daemons and coordinators are not known';
  return [...findings, say('fault', 'log_rights', unread, 'run sql/roles.sql again as the owner')];
}
