import { observationsOf, type Survey } from '../../src/index.ts';
import { table } from './output.ts';
import { name } from './text.ts';

/** What recovery sees of one branch, and what it would do. */
export interface ObservedBranch {
  readonly participant: string;
  readonly gid: string;
  readonly server: string;
  readonly ours: boolean;
  readonly decision: string;
  readonly coordinator: string;
  readonly row: string;
  readonly action: string;
  readonly why: string;
}

export function observedIn(survey: Survey): ObservedBranch[] {
  return observationsOf(survey).map(({ participant, gid, observation, row, action, why }) => ({
    participant,
    gid,
    server: observation.server,
    ours: observation.gid === 'ours',
    decision: observation.decision,
    coordinator: observation.coordinator,
    row,
    action,
    why,
  }));
}

export function observationTable(observations: readonly ObservedBranch[]): Promise<string> {
  return table(
    ['PARTICIPANT', 'SERVER', 'GID', 'DECISION', 'COORDINATOR', 'ROW', 'ACTION', 'WHY'],
    observations.map((one) => [
      one.participant,
      one.server,
      one.gid === '' ? '' : `${name(one.gid)}${one.ours ? '' : ' (foreign)'}`,
      one.decision,
      one.coordinator,
      one.row,
      one.action,
      one.why,
    ]),
  );
}
