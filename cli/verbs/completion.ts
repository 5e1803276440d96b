import type { Command } from 'commander';

import { candidatesFor, type LiveValues } from '../completion/candidates.ts';
import { SCRIPTS, type Shell } from '../completion/scripts.ts';
import { harmless } from '../completion/words.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { VerbContext } from '../program.ts';

export function printCompletion({ terminal }: VerbContext, shell: Shell): ExitCode {
  terminal.stdout.write(SCRIPTS[shell]);
  return EXIT.fine;
}

/** Says on stdout what can stand at the end of `words`; on stderr nothing, ever. */
export async function complete(
  { terminal, configPath }: VerbContext,
  program: Command,
  words: readonly string[],
): Promise<ExitCode> {
  const { stdout, stderr, env, cwd } = terminal;
  // As it is typed in the line that is being completed.
  const asked = {
    terminal: { stdout, stderr, env, cwd },
    configPath: configIn(words) ?? configPath,
  };
  // A PostgreSQL client is loaded only if it is needed: most completions are of verbs and options.
  const open = async (): Promise<LiveValues> =>
    (await import('../completion/live-values.ts')).liveValues(asked);
  const live: LiveValues = {
    ids: async (verb) => (await open()).ids(verb),
    participants: async () => (await open()).participants(),
  };
  const found = await candidatesFor(program, words, live);
  stdout.write(
    found.map(({ value, description }) => `${value}\t${harmless(description)}\n`).join(''),
  );
  return EXIT.fine;
}

function configIn(words: readonly string[]): string | undefined {
  for (const [at, word] of words.slice(0, -1).entries()) {
    if (word === '-c' || word === '--config') return words[at + 1];
    if (word.startsWith('--config=')) return word.slice('--config='.length);
  }
  return undefined;
}
