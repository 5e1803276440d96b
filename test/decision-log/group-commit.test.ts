/** Which decisions share a statement: nobody waits alone, and those that come together go together. */
import { describe, expect, it } from 'vitest';

import { GroupCommit } from '../../src/decision-log/group-commit.ts';

/** A log whose writes end when they are told to. */
function slowLog(): {
  commits: GroupCommit<number, number>;
  batches: number[][];
  written: () => Promise<void>;
} {
  const batches: number[][] = [];
  const ends: (() => void)[] = [];
  const begun: (() => void)[] = [];
  const commits = new GroupCommit<number, number>(async (batch) => {
    batches.push([...batch]);
    await new Promise<void>((resolve) => {
      ends.push(resolve);
      begun.shift()?.();
    });
    return batch;
  }, 100);
  const written = async (): Promise<void> => {
    if (ends.length === 0) await new Promise<void>((resolve) => begun.push(resolve));
    ends.shift()?.();
  };
  return { commits, batches, written };
}

describe('group commit', () => {
  it('one at a time: each is written by itself', async () => {
    const { commits, batches, written } = slowLog();
    for (const request of [1, 2, 3]) {
      const reply = commits.submit(request);
      await written();
      expect(await reply).toBe(request);
    }
    expect(batches).toEqual([[1], [2], [3]]);
  });

  it('many came while the last batch was written: the next one waits a moment for those that follow', async () => {
    const { commits, batches, written } = slowLog();
    const replies = [commits.submit(1)];
    await written();
    await replies[0];
    replies.push(commits.submit(2), commits.submit(3), commits.submit(4));
    await written();
    await replies[3];
    replies.push(commits.submit(5));
    // A turn of the event loop later, and still in time.
    await new Promise((resolve) => setImmediate(resolve));
    replies.push(commits.submit(6));
    await written();
    expect(await Promise.all(replies)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(batches).toEqual([[1], [2, 3, 4], [5, 6]]);
  });
});
