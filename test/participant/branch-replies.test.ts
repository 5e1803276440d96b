/**
 * What the replies to PREPARE and to the only COMMIT prove, one reply at a time: the tags that a real server sends only
 * where another statement has failed before it are second lines, which no test of a whole branch reaches.
 */
import { describe, expect, it } from 'vitest';

import {
  onePhaseReplyOf,
  voteOf,
  type Circumstances,
} from '../../src/participant/branch-replies.ts';
import { ConnectionLostError } from '../../src/postgres/connection-lost.ts';
import type { OwnStep } from '../../src/postgres/unit-steps.ts';
import type { BranchEvidence } from '../../src/states.ts';

const EVIDENCE: BranchEvidence = {
  participant: 'orders',
  branch: 1,
  xid: '700',
  incarnation: '1 ',
  server: { systemIdentifier: '7', timeline: '00000001', databaseOid: '5' },
  backend: { pid: 1, startedAt: '1' },
};
const SERVER_ERROR = Object.assign(new Error('duplicate key'), {
  code: '23505',
  severity: 'ERROR',
});

function step(command: string | undefined, notices: string[] = []): OwnStep {
  return { text: '', values: [], notices, ...(command !== undefined && { command }) };
}

function after(more: Partial<Circumstances> = {}): Circumstances {
  return {
    failure: undefined,
    firstError: undefined,
    lost: undefined,
    evidence: EVIDENCE,
    ...more,
  };
}

describe('a vote', () => {
  it('PREPARE that is answered with PREPARE: yes', () => {
    expect(voteOf(step('PREPARE'), after())).toEqual({ kind: 'yes', evidence: EVIDENCE });
  });

  it.each(['01000', '57P01', '25P01'])('PREPARE with the warning %s: unknown', (notice) => {
    expect(voteOf(step('PREPARE', [notice]), after())).toMatchObject({ kind: 'unknown' });
  });

  it('PREPARE that is answered with ROLLBACK: no, because of what had failed before', () => {
    expect(voteOf(step('ROLLBACK'), after())).toMatchObject({ kind: 'no' });
    const vote = voteOf(step('ROLLBACK'), after({ firstError: SERVER_ERROR }));
    expect(vote).toMatchObject({ kind: 'no', error: SERVER_ERROR });
  });

  it('no answer: no for an error of the server, unknown for a lost session', () => {
    expect(voteOf(step(undefined), after({ failure: SERVER_ERROR }))).toMatchObject({ kind: 'no' });
    const lost = new ConnectionLostError('gone');
    expect(voteOf(step(undefined), after({ failure: lost }))).toMatchObject({ kind: 'unknown' });
    const both = after({ failure: SERVER_ERROR, lost });
    expect(voteOf(step(undefined), both)).toMatchObject({ kind: 'unknown', error: lost });
  });
});

describe('the only COMMIT', () => {
  it('that is answered with COMMIT: committed; with a warning: unknown', () => {
    expect(onePhaseReplyOf(step('COMMIT'), after())).toEqual({ kind: 'committed' });
    for (const notice of ['01000', '57P01', '25P01']) {
      const warned = onePhaseReplyOf(step('COMMIT', [notice]), after());
      expect(warned).toMatchObject({ kind: 'unknown', evidence: EVIDENCE });
    }
  });

  it('COMMIT that is answered with ROLLBACK: rolled back', () => {
    const reply = onePhaseReplyOf(step('ROLLBACK'), after({ firstError: SERVER_ERROR }));
    expect(reply).toMatchObject({ kind: 'rolled-back', error: SERVER_ERROR });
  });

  it('no answer: rolled back for an error of the server, unknown for a lost session', () => {
    const refused = onePhaseReplyOf(step(undefined), after({ failure: SERVER_ERROR }));
    expect(refused).toMatchObject({ kind: 'rolled-back' });
    const lost = onePhaseReplyOf(step(undefined), after({ failure: new Error('ECONNRESET') }));
    expect(lost).toMatchObject({ kind: 'unknown' });
  });
});
