import { expect, test } from 'vitest';
import { waitFor } from './wait.ts';

const soon = { timeoutMs: 100, intervalMs: 5 };

test('returns the first truthy answer, over false ones and errors', async () => {
  const answers = [0, new Error('not yet'), null, 'here'];
  const probe = (): unknown => {
    const answer = answers.shift();
    if (answer instanceof Error) throw answer;
    return answer;
  };
  expect(await waitFor('an answer', probe, soon)).toBe('here');
});

test('says what it waited for, and the last value', async () => {
  const waiting = waitFor('a long list', () => '', soon);
  await expect(waiting).rejects.toThrow(`waited 100 ms for: a long list; last value ''`);
});

test('gives the last error as the cause', async () => {
  const error = new Error('refused');
  const probe = (): never => {
    throw error;
  };
  await expect(waitFor('a connection', probe, soon)).rejects.toMatchObject({ cause: error });
});

test('does not wait for a probe that hangs', async () => {
  const waiting = waitFor('an answer', () => new Promise<boolean>(() => undefined), soon);
  await expect(waiting).rejects.toThrow('has not answered yet');
});
