/** Every observation that a pass of recovery would make, with the row of the decision table that it meets. */
import { decide, type Observation, type RecoveryAction } from '../recovery/decision-table.ts';
import type { Survey } from './model.ts';

export interface ObservationView {
  readonly participant: string;
  /** Empty where the server is no information, whatever it lists. */
  readonly gid: string;
  readonly observation: Observation;
  readonly row: string;
  readonly action: RecoveryAction;
  readonly why: string;
}

/** Pure. Branches whose transaction the log could not be asked about are missing. */
export function observationsOf({ participants, transactions, foreign }: Survey): ObservationView[] {
  const ours = transactions.flatMap(({ branches }) =>
    branches.flatMap(({ participant, gid, observation }) =>
      observation === undefined ? [] : [view(participant, gid, observation)],
    ),
  );
  const others = foreign.map(({ participant, gid }) => view(participant, gid, FOREIGN));
  const servers = participants.flatMap(({ name, status }) => {
    if (status === 'standby') return [view(name, '', { ...FOREIGN, server: 'standby' })];
    return status === 'other-server' ? [view(name, '', { ...FOREIGN, server: 'other' })] : [];
  });
  return [...servers, ...ours, ...others];
}

/** What is asked of the table when nothing else is known; rows A to C do not look at the rest. */
const FOREIGN: Observation = {
  server: 'registered',
  gid: 'foreign',
  decision: 'none',
  coordinator: 'unregistered',
};

function view(participant: string, gid: string, observation: Observation): ObservationView {
  const { row, action, why } = decide(observation);
  return { participant, gid, observation, row, action, why };
}
