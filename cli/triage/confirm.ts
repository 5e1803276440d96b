import { createInterface } from 'node:readline/promises';

import type { Terminal } from '../terminal.ts';

/** Questions can be asked: there is somebody to read them and somebody to answer. */
export function isInteractive({ stdin, stderr }: Terminal): boolean {
  return stdin?.isTTY === true && (stderr as Partial<NodeJS.WriteStream>).isTTY === true;
}

/** Asks on stderr, because stdout is for data. Undefined when the input ends. */
export async function ask(
  { stdin, stderr, question: put }: Terminal,
  question: string,
): Promise<string | undefined> {
  if (put !== undefined) return (await put(question))?.trim();
  if (stdin === undefined) return undefined;
  const lines = createInterface({ input: stdin, output: stderr });
  const ended = new AbortController();
  lines.once('close', () => {
    ended.abort();
  });
  try {
    return (await lines.question(question, { signal: ended.signal })).trim();
  } catch {
    // Ctrl-C, Ctrl-D: no is the answer.
    return undefined;
  } finally {
    lines.close();
  }
}
