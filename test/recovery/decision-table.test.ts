import { describe, expect, it } from 'vitest';

import { decide, DECISION_TABLE, type Observation } from '../../src/recovery/decision-table.ts';

const SERVERS = ['registered', 'standby', 'other'] as const;
const GIDS = ['ours', 'foreign'] as const;
const DECISIONS = ['commit', 'abort', 'none', 'forgotten', 'ahead'] as const;
const COORDINATORS = ['live', 'silent', 'retired', 'unregistered'] as const;

const ALL: Observation[] = SERVERS.flatMap((server) =>
  GIDS.flatMap((gid) =>
    DECISIONS.flatMap((decision) =>
      COORDINATORS.map((coordinator) => ({ server, gid, decision, coordinator })),
    ),
  ),
);

describe('the decision table of recovery', () => {
  it('every observation meets exactly one row', () => {
    expect(ALL).toHaveLength(120);
    for (const observation of ALL) expect(() => decide(observation)).not.toThrow();
  });

  it('every row is met by some observation', () => {
    const met = new Set(ALL.map((observation) => decide(observation).row));
    expect([...met].sort()).toEqual(DECISION_TABLE.map(({ row }) => row).sort());
  });

  /** Written down a second time, by hand: a changed action is a changed protocol. */
  it.each([
    ['A', 'leave', { server: 'standby', gid: 'ours', decision: 'commit', coordinator: 'live' }],
    ['B', 'report', { server: 'other', gid: 'ours', decision: 'commit', coordinator: 'live' }],
    [
      'C',
      'leave',
      { server: 'registered', gid: 'foreign', decision: 'none', coordinator: 'retired' },
    ],
    ['D', 'commit', { server: 'registered', gid: 'ours', decision: 'commit', coordinator: 'live' }],
    [
      'E',
      'roll-back',
      { server: 'registered', gid: 'ours', decision: 'abort', coordinator: 'live' },
    ],
    ['F', 'leave', { server: 'registered', gid: 'ours', decision: 'none', coordinator: 'live' }],
    ['G', 'retire', { server: 'registered', gid: 'ours', decision: 'none', coordinator: 'silent' }],
    [
      'H',
      'win-abort',
      { server: 'registered', gid: 'ours', decision: 'none', coordinator: 'retired' },
    ],
    [
      'I',
      'report',
      { server: 'registered', gid: 'ours', decision: 'none', coordinator: 'unregistered' },
    ],
    [
      'J',
      'report',
      { server: 'registered', gid: 'ours', decision: 'forgotten', coordinator: 'retired' },
    ],
  ] as const)('row %s: %s', (row, action, observation) => {
    expect(decide(observation)).toMatchObject({ row, action });
    expect(decide(observation).why).not.toBe('');
  });

  it('an observation that no row meets is an error that shows it', () => {
    const unknown = { ...ALL[0], server: 'elsewhere' } as unknown as Observation;
    expect(() => decide(unknown)).toThrow(/^0 rows for .*elsewhere/);
  });

  it('commits only on a commit decision, on the registered server, on a branch of ours', () => {
    const commits = ALL.filter((observation) => decide(observation).action === 'commit');
    expect(commits.length).toBeGreaterThan(0);
    for (const { server, gid, decision } of commits) {
      expect({ server, gid, decision }).toEqual({
        server: 'registered',
        gid: 'ours',
        decision: 'commit',
      });
    }
  });

  it('rolls back at once only on an abort decision; without a decision it has to be won first', () => {
    for (const observation of ALL) {
      const { action } = decide(observation);
      if (action === 'roll-back') expect(observation.decision).toBe('abort');
      if (action === 'win-abort') {
        expect(observation).toMatchObject({ decision: 'none', coordinator: 'retired' });
      }
    }
  });

  it('never acts on a foreign branch, a standby, another server, or a live coordinator', () => {
    for (const observation of ALL) {
      const handsOff =
        observation.gid === 'foreign' ||
        observation.server !== 'registered' ||
        (observation.decision === 'none' && observation.coordinator === 'live');
      if (handsOff) expect(['leave', 'report']).toContain(decide(observation).action);
    }
  });
});
