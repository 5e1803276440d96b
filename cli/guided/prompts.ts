/** Questions on a terminal, on stderr like all that is said to people. Undefined: cancelled. */
import { Writable } from 'node:stream';

import { isCancel, select, text, type CommonOptions } from '@clack/prompts';

import type { Terminal } from '../terminal.ts';

export interface Choice<T extends string> {
  readonly value: T;
  readonly label: string;
  readonly hint?: string;
}

export async function choose<T extends string>(
  terminal: Terminal,
  message: string,
  choices: readonly Choice<T>[],
): Promise<T | undefined> {
  const options = choices.map(({ value, label, hint }) =>
    hint === undefined ? { value, label } : { value, label, hint },
  );
  const answer = await select<string>({ message, options, ...streams(terminal) });
  return isCancel(answer) ? undefined : (answer as T);
}

/** A line; may be empty. */
export async function line(terminal: Terminal, message: string): Promise<string | undefined> {
  const answer = await text({ message: message.trim(), ...streams(terminal) });
  // An empty line comes as undefined, against its type.
  return isCancel(answer) ? undefined : answer || '';
}

function streams({ stdin, stderr }: Terminal): CommonOptions {
  if (!(stderr instanceof Writable)) throw new Error('unreachable: it is a terminal');
  return stdin === undefined ? { output: stderr } : { input: stdin, output: stderr };
}
