import type { DaemonStatus, ParticipantStatus } from '../../src/index.ts';

/** What `systemctl status` says in one line: what is wrong first, then what is in doubt. */
export function statusLine(status: DaemonStatus): string {
  const parts: string[] = [];
  if (!status.log.reachable) parts.push('decision log unreachable, trying again');
  const participants = Object.entries(status.participants);
  for (const [name, participant] of participants) {
    const trouble = troubleOf(participant);
    if (trouble !== undefined) parts.push(`${name} ${trouble}`);
  }
  parts.push(inDoubt(participants.map(([, participant]) => participant)));
  const held = participants.filter(([, { lease }]) => lease === 'held').length;
  parts.push(`working on ${held} of ${participants.length} participants`);
  return parts.join('; ');
}

function troubleOf({ state, setAside }: ParticipantStatus): string | undefined {
  if (state !== 'listed' && state !== 'none') return state;
  return setAside.length === 0 ? undefined : `${setAside.length} set aside`;
}

function inDoubt(participants: readonly ParticipantStatus[]): string {
  const sum = (kind: keyof ParticipantStatus['inDoubt']): number =>
    participants.reduce((total, one) => total + one.inDoubt[kind], 0);
  const [decided, undecided, unexplained] = [sum('decided'), sum('undecided'), sum('unexplained')];
  const total = decided + undecided + unexplained;
  if (total === 0) return '0 in doubt';
  return `${total} in doubt (${decided} decided, ${undecided} undecided, ${unexplained} unexplained)`;
}
