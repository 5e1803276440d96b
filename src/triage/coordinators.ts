import type { CoordinatorRecord } from '../decision-log/operator-log.ts';
import type { Observation } from '../recovery/decision-table.ts';
import { stateOfEpoch } from '../recovery/observe.ts';
import type { SurveyOptions } from './survey.ts';

export interface CoordinatorState extends CoordinatorRecord {
  /** As recovery sees it. */
  readonly state: Observation['coordinator'];
  /** By the log's clock. */
  readonly heartbeatAgeMs: number;
}

/** Newest first. Rejects when the log does not answer. */
export async function coordinatorsOf(
  { openLog, heartbeatLimitMs }: SurveyOptions,
  filter: { readonly includeRetired: boolean },
): Promise<readonly CoordinatorState[]> {
  const { log, operatorLog } = await openLog();
  const records = await operatorLog.coordinators(filter);
  const statuses = await log.epochsOf(records.map(({ epoch }) => epoch));
  return records.flatMap((record) => {
    const status = statuses.get(record.epoch);
    // Forgotten between the two questions.
    if (status === undefined) return [];
    const state = stateOfEpoch(status, heartbeatLimitMs);
    return [{ ...record, state, heartbeatAgeMs: status.heartbeatAgeMs }];
  });
}
