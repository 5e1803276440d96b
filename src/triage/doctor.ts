/** Is everything really working? From everything that was read to everything that is said. */
import { checkDoubt, checkPlaces } from './doctor-doubt.ts';
import { checkLog } from './doctor-log.ts';
import {
  NO_ANSWER,
  type Diagnosis,
  type DoctorFacts,
  type Finding,
  type Severity,
} from './doctor-model.ts';
import { checkParticipant } from './doctor-participant.ts';
import { readFacts, type DoctorOptions } from './doctor-reading.ts';
import { checkCoordinators, checkDaemons } from './doctor-work.ts';

/** Asks everything at once. Never rejects: what does not answer is a finding. */
export async function examine(options: DoctorOptions): Promise<Diagnosis> {
  const takenAt = new Date();
  return diagnose(await readFacts(options), takenAt);
}

const WORST_FIRST: readonly Severity[] = ['fault', 'warning', 'info', 'ok'];

/** Pure. */
export function diagnose(facts: DoctorFacts, takenAt: Date): Diagnosis {
  const { log, participants, survey, heartbeatLimitMs } = facts;
  const logFacts = log.kind === 'answered' ? log.facts : undefined;
  const records = logFacts?.records;
  const findings: Finding[] = [
    ...checkLog(log),
    ...[...participants].flatMap(([name, answer]) => checkParticipant(name, answer, logFacts)),
    ...checkPlaces(participants, records),
    ...checkDoubt(withoutTheSilent(facts)),
  ];
  if (records !== undefined) {
    const isKeptHouse = records.leases.some(
      ({ name, remainingMs }) => name === 'housekeeping' && remainingMs > 0,
    );
    findings.push(
      ...checkDaemons([...participants.keys()], records),
      ...checkCoordinators(records.coordinators, heartbeatLimitMs, isKeptHouse),
    );
  }
  const count = (wanted: Severity): number =>
    findings.filter(({ severity }) => severity === wanted).length;
  const complete = [log, ...participants.values()].every(isHeard) && survey.complete;
  return {
    takenAt,
    outcome: outcomeOf(findings, complete),
    findings: WORST_FIRST.flatMap((wanted) =>
      findings.filter(({ severity }) => severity === wanted),
    ),
    counts: {
      fault: count('fault'),
      warning: count('warning'),
      info: count('info'),
      ok: count('ok'),
    },
    complete,
  };
}

function isHeard({ kind }: { readonly kind: string }): boolean {
  return kind !== 'silent';
}

/** What is wrong with those is said already. */
function withoutTheSilent({ survey, participants }: DoctorFacts): DoctorFacts['survey'] {
  return {
    ...survey,
    participants: survey.participants.filter(({ name, status }) => {
      const answer = participants.get(name);
      const isWrongServer =
        status === 'other-server' || status === 'standby' || status === 'unusable';
      return answer?.kind === 'answered' && !isWrongServer;
    }),
  };
}

/** A fault that was found is certain, and counts before a part of the answer that is missing. */
function outcomeOf(findings: readonly Finding[], complete: boolean): Diagnosis['outcome'] {
  const isFound = findings.some(
    ({ severity, check }) => severity === 'fault' && check !== NO_ANSWER,
  );
  if (isFound) return 'fault';
  return complete ? 'fine' : 'partial';
}
