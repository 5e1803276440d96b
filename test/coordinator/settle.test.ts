/** What a commit that stands proves of a branch whose own vote was lost. */
import { describe, expect, it } from 'vitest';

import { asRecorded } from '../../src/coordinator/settle.ts';

const LOST_VOTE = {
  participant: 'orders',
  gid: 'g',
  evidence: {
    participant: 'orders',
    branch: 1,
    xid: undefined,
    incarnation: '1 ',
    server: { systemIdentifier: '7', timeline: '00000001', databaseOid: '5' },
    backend: { pid: 1, startedAt: '1' },
  },
  fenceFirst: true,
};
const NAMED = {
  participant: 'orders',
  branch: 1,
  xid: '700',
  systemIdentifier: '7',
  timeline: '00000002',
};

describe('a branch whose vote was lost', () => {
  it('that a commit names: its xid and timeline count, and its backend is not asked for', () => {
    const { evidence, fenceFirst } = asRecorded(LOST_VOTE, [{ ...NAMED, branch: 2 }, NAMED]);
    expect(fenceFirst).toBe(false);
    expect(evidence).toEqual({
      ...LOST_VOTE.evidence,
      xid: '700',
      server: { systemIdentifier: '7', timeline: '00000002', databaseOid: '5' },
    });
  });

  it.each([
    ['nothing at all', []],
    ['another branch of its participant', [{ ...NAMED, branch: 2 }]],
    ['a branch of another participant', [{ ...NAMED, participant: 'billing' }]],
    ['its branch on another server', [{ ...NAMED, systemIdentifier: '8' }]],
    ['its branch without an xid', [{ ...NAMED, xid: undefined }]],
  ])('that is not proven, since the commit names %s: as it was', (_, recorded) => {
    expect(asRecorded(LOST_VOTE, recorded)).toBe(LOST_VOTE);
  });
});
