/**
 * What can stand at the end of a command line that is being typed. Walks commander's own tree, so that a
 * verb or an option that is added later is completed without a word here.
 */
import type { Command, Option } from 'commander';

export interface Candidate {
  readonly value: string;
  readonly description: string;
}

/** What only the configuration and the servers know. */
export interface LiveValues {
  /** Ids of what is in doubt, for a verb. */
  ids(verb: string): Promise<readonly Candidate[]>;
  participants(): Promise<readonly Candidate[]>;
}

/** @param words all that is typed behind `pgxa`, the unfinished one last. */
export async function candidatesFor(
  program: Command,
  words: readonly string[],
  live: LiveValues,
): Promise<readonly Candidate[]> {
  const typed = words.slice(0, -1);
  const current = words.at(-1) ?? '';
  const { command, options, waiting, isLiteral } = walk(program, typed);
  if (waiting !== undefined) return starting(current, await valuesOf(waiting, live));
  const [, long = '', value] = /^(--[^=]+)=(.*)$/.exec(current) ?? [];
  const assigned = options.find((option) => option.long === long);
  if (value !== undefined && assigned !== undefined) {
    const values = await valuesOf(assigned, live);
    return starting(
      current,
      values.map((one) => ({ ...one, value: `${long}=${one.value}` })),
    );
  }
  if (current.startsWith('-') && !isLiteral) return starting(current, optionsAsCandidates(options));
  const verbs = command.commands.filter((one) => !isHidden(one)).map(asCandidate);
  return starting(current, [...verbs, ...(await argumentsOf(command, live))]);
}

interface Place {
  readonly command: Command;
  /** Those of the command, and those of the program. */
  readonly options: readonly Option[];
  /** The option whose value comes next. */
  readonly waiting: Option | undefined;
  /** Behind `--`, where nothing is an option any more. */
  readonly isLiteral: boolean;
}

function walk(program: Command, typed: readonly string[]): Place {
  let command = program;
  let waiting: Option | undefined;
  let isLiteral = false;
  for (const word of typed) {
    if (isLiteral) continue;
    if (waiting?.variadic === true && !word.startsWith('-')) continue;
    if (waiting !== undefined && !waiting.variadic) {
      waiting = undefined;
      continue;
    }
    waiting = undefined;
    if (word === '--') isLiteral = true;
    else if (word.startsWith('-')) waiting = optionThatWaits(program, command, word);
    else command = childOf(command, word) ?? command;
  }
  const options = [...new Set([...command.options, ...program.options])];
  return { command, options, waiting, isLiteral };
}

function optionThatWaits(program: Command, command: Command, word: string): Option | undefined {
  const options = [...command.options, ...program.options];
  const option = options.find(({ short, long }) => word === short || word === long);
  return option !== undefined && (option.required || option.optional) ? option : undefined;
}

function childOf(command: Command, word: string): Command | undefined {
  return command.commands.find((one) => one.name() === word || one.aliases().includes(word));
}

async function valuesOf(option: Option, live: LiveValues): Promise<readonly Candidate[]> {
  if (option.argChoices !== undefined) {
    return option.argChoices.map((value) => ({ value, description: '' }));
  }
  return option.attributeName() === 'participant' ? live.participants() : [];
}

async function argumentsOf(command: Command, live: LiveValues): Promise<readonly Candidate[]> {
  const found: Candidate[] = [];
  for (const argument of command.registeredArguments) {
    for (const value of argument.argChoices ?? []) found.push({ value, description: '' });
    const name = argument.name();
    if (name === 'id') found.push(...(await live.ids(pathOf(command))));
    if (name === 'participant') found.push(...(await live.participants()));
  }
  return found;
}

/** `force commit` */
function pathOf(command: Command): string {
  const parent = command.parent;
  return parent?.parent === null || parent === null
    ? command.name()
    : `${parent.name()} ${command.name()}`;
}

function optionsAsCandidates(options: readonly Option[]): Candidate[] {
  return options
    .filter(({ hidden }) => !hidden)
    .flatMap(({ long, short, description }) => {
      const value = long ?? short;
      return value === undefined ? [] : [{ value, description }];
    })
    .concat({ value: '--help', description: 'help for this verb' });
}

function asCandidate(command: Command): Candidate {
  return { value: command.name(), description: command.description() };
}

function isHidden(command: Command): boolean {
  return command.name().startsWith('_');
}

function starting(prefix: string, candidates: readonly Candidate[]): Candidate[] {
  const seen = new Set<string>();
  return candidates.filter(({ value }) => {
    if (!value.startsWith(prefix) || seen.has(value)) return false;
    seen.add(value);
    return true;
  });
}
