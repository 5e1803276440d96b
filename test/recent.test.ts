import { expect, it } from 'vitest';

import { Recent } from '../src/recent.ts';

it('the newest entries are kept, the older ones go', () => {
  const recent = new Recent<number>(3);
  for (let at = 1; at <= 100; at += 1) {
    recent.set(String(at), at);
    for (const kept of [at, at - 1, at - 2].filter((one) => one > 0)) {
      expect(recent.get(String(kept))).toBe(kept);
      expect(recent.has(String(kept))).toBe(true);
    }
    expect(recent.has(String(at - 6))).toBe(false);
  }
});

it('what was set again counts as it was set last, and what was deleted is gone from both generations', () => {
  const recent = new Recent<string>(1);
  recent.set('a', 'old');
  recent.set('b', 'b');
  recent.set('a', 'new');
  expect(recent.get('a')).toBe('new');
  recent.delete('a');
  recent.delete('b');
  expect([recent.get('a'), recent.get('b')]).toEqual([undefined, undefined]);
});
