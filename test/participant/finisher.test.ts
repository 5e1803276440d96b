/**
 * What the answer to COMMIT or ROLLBACK PREPARED proves, one answer at a time. The answers are a server's own words;
 * those that no server gives are here too, because nothing else stands between them and a wrong outcome.
 */
import { describe, expect, it } from 'vitest';

import { finishBranch, type AskXactStatus } from '../../src/participant/finisher.ts';
import type { FinishRequest } from '../../src/participant/participant.ts';
import type { CommandReply, ConnectionGroup } from '../../src/postgres/dedicated-connection.ts';
import type { XactStatus } from '../../src/states.ts';

const SERVER = { systemIdentifier: '7', timeline: '00000001', databaseOid: '5' };
const GID = `pgxa_c0ffee123456_${'0'.repeat(16)}_${'1'.repeat(32)}_1`;
const COMMIT: FinishRequest = {
  gid: GID,
  decision: 'commit',
  evidence: { xid: '700', server: SERVER },
};
const ABORT: FinishRequest = { ...COMMIT, decision: 'abort' };
const ABSENT = Object.assign(new Error('does not exist'), { code: '42704', severity: 'ERROR' });

function answering(first: Partial<CommandReply> | Error): ConnectionGroup {
  const answer: PromiseSettledResult<unknown> =
    first instanceof Error
      ? { status: 'rejected', reason: first }
      : { status: 'fulfilled', value: { rows: [], rowCount: null, notices: [], ...first } };
  return {
    runAdjacent: () => Promise.resolve([answer]),
    renew: () => undefined,
  } as unknown as ConnectionGroup;
}

const never: AskXactStatus = () => Promise.reject(new Error('nobody asks'));
const says =
  (status: XactStatus, server = SERVER): AskXactStatus =>
  () =>
    Promise.resolve({ server, status, incarnation: 'since then ' });

describe('the answer to phase two', () => {
  it('the right tag: done', async () => {
    expect(await finishBranch(answering({ command: 'COMMIT' }), COMMIT, never)).toEqual({
      kind: 'done',
    });
    expect(await finishBranch(answering({ command: 'ROLLBACK' }), ABORT, never)).toEqual({
      kind: 'done',
    });
  });

  it('another tag than the right one: pending', async () => {
    const other = await finishBranch(answering({ command: 'ROLLBACK' }), COMMIT, never);
    expect(other).toMatchObject({ kind: 'pending' });
    const swapped = await finishBranch(answering({ command: 'COMMIT' }), ABORT, never);
    expect(swapped).toMatchObject({ kind: 'pending' });
  });

  it('a warning of the standby: pending', async () => {
    const answer = answering({ command: 'COMMIT', notices: ['01000'] });
    expect(await finishBranch(answer, COMMIT, never)).toMatchObject({ kind: 'pending' });
  });

  describe('42704, and the id of the branch is', () => {
    it('in progress: pending', async () => {
      for (const request of [COMMIT, ABORT]) {
        const result = await finishBranch(answering(ABSENT), request, says('in progress'));
        expect(result).toMatchObject({ kind: 'pending' });
      }
    });

    it('ended as decided: done; against it: heuristic', async () => {
      const ask = (request: FinishRequest, status: XactStatus): Promise<unknown> =>
        finishBranch(answering(ABSENT), request, says(status));
      expect(await ask(COMMIT, 'committed')).toEqual({ kind: 'done' });
      expect(await ask(ABORT, 'aborted')).toEqual({ kind: 'done' });
      expect(await ask(COMMIT, 'aborted')).toMatchObject({ heuristic: 'rollback' });
      expect(await ask(ABORT, 'committed')).toMatchObject({ heuristic: 'commit' });
      expect(await ask(COMMIT, 'no-information')).toMatchObject({ heuristic: 'hazard' });
    });

    it('told by another timeline: a hazard; by another server: pending', async () => {
      const promoted = says('committed', { ...SERVER, timeline: '00000002' });
      expect(await finishBranch(answering(ABSENT), COMMIT, promoted)).toMatchObject({
        heuristic: 'hazard',
      });
      const other = says('committed', { ...SERVER, systemIdentifier: '8' });
      expect(await finishBranch(answering(ABSENT), COMMIT, other)).toMatchObject({
        kind: 'pending',
      });
    });
  });

  it('absent, and never known to be prepared: "committed" counts only while the server has not crashed', async () => {
    const unsure = (incarnation: string): FinishRequest => ({
      ...COMMIT,
      evidence: { ...COMMIT.evidence, incarnation },
      absentMeansAborted: true,
    });
    const judge = (incarnation: string): Promise<unknown> =>
      finishBranch(answering(ABSENT), unsure(incarnation), says('committed'));
    expect(await judge('since then ')).toEqual({ kind: 'done' });
    expect(await judge('another ')).toMatchObject({ kind: 'heuristic', heuristic: 'hazard' });
  });
});
