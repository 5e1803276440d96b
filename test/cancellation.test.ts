import { once } from 'node:events';

import { describe, expect, it } from 'vitest';

import { Cancellation } from '../src/cancellation.ts';

describe('a cancellation', () => {
  it('tells all who listen, in their order, once, and the first reason', () => {
    const told: string[] = [];
    const cancellation = new Cancellation();
    cancellation.addEventListener('abort', () => told.push('one'));
    cancellation.addEventListener('abort', () => told.push('two'));
    const first = new Error('first');
    cancellation.abort(first);
    cancellation.abort(new Error('second'));
    expect(told).toEqual(['one', 'two']);
    expect(cancellation.aborted).toBe(true);
    expect(cancellation.reason).toBe(first);
  });

  it('does not tell who was removed, by a listener either, nor who comes later', () => {
    const told: string[] = [];
    const cancellation = new Cancellation();
    const second = (): void => void told.push('second');
    const third = (): void => void told.push('third');
    cancellation.addEventListener('abort', () => {
      cancellation.removeEventListener('abort', third);
    });
    cancellation.addEventListener('abort', second);
    cancellation.addEventListener('abort', third);
    cancellation.removeEventListener('abort', second);
    cancellation.abort(new Error('over'));
    cancellation.addEventListener('abort', () => void told.push('late'));
    expect(told).toEqual([]);
  });

  it('tells the others, and the real signal, when a listener throws, which nobody swallows', async () => {
    const told: string[] = [];
    const cancellation = new Cancellation();
    cancellation.addEventListener('abort', () => {
      throw new Error('of a listener');
    });
    cancellation.addEventListener('abort', () => void told.push('second'));
    cancellation.signal.addEventListener('abort', () => void told.push('signal'));
    const others = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    try {
      const uncaught = once(process, 'uncaughtException');
      cancellation.abort(new Error('over'));
      expect(told).toEqual(['second', 'signal']);
      expect(await uncaught).toMatchObject([{ message: 'of a listener' }, expect.anything()]);
    } finally {
      for (const listener of others) process.on('uncaughtException', listener);
    }
  });

  it.each(['before', 'after'])(
    'gives a real signal with the same reason, asked for %s the end',
    (when) => {
      const cancellation = new Cancellation();
      const reason = new Error('over');
      const early = when === 'before' ? cancellation.signal : undefined;
      expect(early?.aborted ?? false).toBe(false);
      cancellation.abort(reason);
      const { signal } = cancellation;
      if (early !== undefined) expect(signal).toBe(early);
      expect(signal).toBeInstanceOf(AbortSignal);
      expect(signal.aborted).toBe(true);
      expect(signal.reason).toBe(reason);
    },
  );
});
