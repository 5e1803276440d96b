/**
 * The command line: verbs, options, exit codes. Modules of verbs are loaded when they are run, so that
 * help and completion do not pay for a PostgreSQL client.
 */
import { Command, CommanderError } from 'commander';

import { VERSION } from '../src/version.ts';
import {
  CONFIG_CHECK_HELP,
  DAEMON_HELP,
  HEALTH_HELP,
  MIGRATE_HELP,
} from './administration-help.ts';
import { EXIT, EXIT_CODES_HELP, type ExitCode } from './exit-codes.ts';
import { addHandsOnVerbs } from './hands-on-verbs.ts';
import { seconds } from './seconds.ts';
import type { Terminal } from './terminal.ts';
import { addTriageVerbs } from './triage-verbs.ts';

/** What every verb gets. */
export interface VerbContext {
  readonly terminal: Terminal;
  /** `--config`; without it the file is searched for. */
  readonly configPath: string | undefined;
}

type Verb = (context: VerbContext) => Promise<ExitCode>;
export type Run = (verb: Verb) => Promise<void>;

/** Runs one command line and says how it ended; never rejects. */
export async function runProgram(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  let exitCode: ExitCode = EXIT.fine;
  const program = new Command('pgxa');
  const run: Run = async (verb) => {
    const { config } = program.opts<{ config?: string }>();
    exitCode = await verb({ terminal, configPath: config });
  };
  describeProgram(program, terminal);
  addDaemon(program, run);
  addMigrate(program, run);
  addConfig(program, run);
  addTriageVerbs(program, run);
  addHandsOnVerbs(program, run);
  try {
    await program.parseAsync(args, { from: 'user' });
  } catch (thrown) {
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? EXIT.fine : EXIT.usage;
    const { reportFailure } = await import('./failure.ts');
    return reportFailure(thrown, terminal);
  }
  return exitCode;
}

function describeProgram(program: Command, terminal: Terminal): void {
  program
    .description('Atomic commit across PostgreSQL databases: recovery and operation.')
    .version(VERSION, '-V, --version')
    .option('-c, --config <file>', 'configuration file (default: PGXA_CONFIG, ./pgxa.yaml, …)')
    .addHelpText('after', EXIT_CODES_HELP)
    // Verbs that are added later inherit these.
    .exitOverride()
    .configureOutput({
      writeOut: (text) => terminal.stdout.write(text),
      writeErr: (text) => terminal.stderr.write(text),
    })
    .showHelpAfterError('(pgxa --help tells what there is)');
}

function addDaemon(program: Command, run: Run): void {
  const daemon = program
    .command('daemon')
    .description('finish what coordinators leave in doubt, until SIGTERM; SIGHUP reloads the file')
    .addHelpText('after', DAEMON_HELP)
    .action(() => run(async (context) => (await import('./verbs/daemon.ts')).runDaemon(context)));
  daemon
    .command('health')
    .description('ask the daemon that this configuration describes whether it is alive (/livez)')
    .option('--ready', 'ask whether it is ready (/readyz)')
    .option('--timeout <seconds>', 'longest wait for its answer', seconds, 5)
    .addHelpText('after', HEALTH_HELP)
    .action(({ ready = false, timeout }: { ready?: boolean; timeout: number }) =>
      run(async (context) =>
        (await import('./verbs/daemon-health.ts')).askHealth(context, { ready, timeout }),
      ),
    );
}

function addMigrate(program: Command, run: Run): void {
  program
    .command('migrate')
    .description('create the schema pgxa in the decision log, or bring it up to this version')
    .option('--print', 'print the SQL that is missing there, and run nothing')
    .option('--timeout <seconds>', 'longest wait for a connection to the log', seconds, 10)
    .addHelpText('after', MIGRATE_HELP)
    .action(({ print = false, timeout }: { print?: boolean; timeout: number }) =>
      run(async (context) =>
        (await import('./verbs/migrate.ts')).runMigrate(context, { print, timeout }),
      ),
    );
}

function addConfig(program: Command, run: Run): void {
  program
    .command('config')
    .description('work on the configuration file')
    .command('check')
    .description('read the file and say everything that is wrong with it; connects to nothing')
    .addHelpText('after', CONFIG_CHECK_HELP)
    .action(() =>
      run(async (context) => (await import('./verbs/config-check.ts')).checkConfig(context)),
    );
}
