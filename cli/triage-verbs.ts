/** The verbs of triage as commander knows them: what they take, and their help. Each loads its own module. */
import { InvalidArgumentError, Option, type Command } from 'commander';

import { addDoctor } from './doctor-verb.ts';
import type { Run } from './program.ts';
import { seconds } from './seconds.ts';
import { FORMATS } from './triage/output.ts';
import type { CommonOptions } from './triage/session.ts';
import type { CheckOptions } from './verbs/check.ts';
import type { CoordinatorsOptions } from './verbs/coordinators.ts';
import type { ForceOptions } from './verbs/force.ts';
import type { ForgetOptions } from './verbs/forget.ts';
import type { HistoryOptions } from './verbs/history.ts';
import type { RecoverOptions } from './verbs/recover.ts';
import type { ResolveOptions } from './verbs/resolve.ts';
import type { ShowOptions } from './verbs/show.ts';

const ID_HELP = 'ID is a transaction id, a gid, or the beginning of one that fits nothing else.';

export function addTriageVerbs(program: Command, run: Run): void {
  addList(program, run);
  addShow(
    program,
    run,
    'show',
    'everything about one transaction: branches, locks, who is blocked, what to do',
  );
  addShow(
    program,
    run,
    'explain',
    'one transaction in plain words: verdict, reason, consequence, safe command',
  );
  addResolve(program, run);
  addForce(program, run);
  addForget(program, run);
  addCheck(program, run);
  addRecover(program, run);
  addCoordinators(program, run);
  addHistory(program, run);
  addDoctor(program, run);
}

function addResolve(program: Command, run: Run): void {
  common(program.command('resolve').argument('[id...]', 'which ones'))
    .description(
      'do what the log decided, or win the abort and roll back; never anything heuristic',
    )
    .option('--all', 'everything that is in doubt')
    .option('-n, --dry-run', 'print the plan, and do nothing')
    .option('-y, --yes', 'do not ask')
    .addHelpText(
      'after',
      `
${ID_HELP}

It does what a pass of the recovery daemon would do: a branch is committed because the log holds that
decision, and rolled back because the log holds that one, or because it could be written there. Transactions
of live coordinators are left alone, and so are those of which the log knows nothing. It is safe beside
coordinators, daemons and other operators.

Exit codes: 0 all of it is finished; 1 a branch could not be finished (it may be tried again); 3 something is
left in doubt; 4 refused: not confirmed, or not of this log; 5 a participant or the log did not answer.

Examples:
  pgxa resolve --all --dry-run
  pgxa resolve 0199d3f2-7c1a
  pgxa resolve --all --yes          from a script
`,
    )
    .action((ids: string[], options: ResolveOptions) =>
      run(async (context) =>
        (await import('./verbs/resolve.ts')).runResolve(context, ids, options),
      ),
    );
}

function addForce(program: Command, run: Run): void {
  const force = program
    .command('force')
    .description(
      'decide by hand, ahead of the log or against it; shows the evidence, asks, is audited',
    );
  addForceWay(force, run, 'commit');
  addForceWay(force, run, 'rollback');
}

function addForceWay(force: Command, run: Run, way: 'commit' | 'rollback'): void {
  common(force.command(way).argument('<id>', 'which one'))
    .description(`${way === 'commit' ? 'commit' : 'roll back'} a transaction by hand`)
    .option('--reason <text>', 'why; kept in the audit')
    .option('-y, --yes', 'off a terminal: do not ask (needs --reason)')
    .option('--override', 'act against the objections that are shown: the last resort')
    .addHelpText(
      'after',
      `
${ID_HELP}

The evidence is shown first, on stderr. On a terminal the transaction id has to be typed back; off a terminal
--yes and --reason are needed. An undecided transaction is decided in the log, for all of its branches: if the
coordinator or recovery was faster, theirs stands. Its coordinator is retired first, if it is silent or with --override:
then it stays retired, whatever comes after.

Refused unless --override is given: a live coordinator holds it; the log decided otherwise; a participant does
not answer, is a standby, or is another server than the registered one; the log does not know its epoch, or has
forgotten its day. Refused in any case: the log does not answer; it is not of this log; nothing is prepared.

Exit codes: 0 done; 1 a branch could not be finished, or what was done could not be recorded; 3 a heuristic outcome was found;
4 refused, not confirmed, not proven, or somebody else was faster.

Examples:
  pgxa force ${way} 0199d3f2-7c1a
  pgxa force ${way} 0199d3f2-7c1a --yes --reason 'incident 4711'
`,
    )
    .action((id: string, options: ForceOptions) =>
      run(async (context) => {
        const decision = way === 'commit' ? 'commit' : 'abort';
        return (await import('./verbs/force.ts')).runForce(context, decision, id, options);
      }),
    );
}

function addForget(program: Command, run: Run): void {
  common(program.command('forget').argument('<id>', 'which one'))
    .description('acknowledge the heuristic outcome of a transaction: it is no alarm any more')
    .option('--reason <text>', 'what was found and mended; kept in the audit')
    .option('-y, --yes', 'do not ask')
    .addHelpText(
      'after',
      `
${ID_HELP}

It changes no data and ends no branch. Compare the rows of all participants, and mend them, before.

Exit codes: 0 acknowledged; 4 refused: not confirmed, or there is nothing to acknowledge; 5 the log did not answer.

Example:
  pgxa forget 0199d3f2-7c1a --reason 'billing mended by hand, incident 4711'
`,
    )
    .action((id: string, options: ForgetOptions) =>
      run(async (context) => (await import('./verbs/forget.ts')).runForget(context, id, options)),
    );
}

function addCheck(program: Command, run: Run): void {
  common(program.command('check'))
    .description('for cron and monitoring: is anything in doubt that should not be?')
    .option('--age <duration>', 'what is younger does not count', duration, 60_000)
    .option('--count <number>', 'so many are tolerated', whole, 0)
    .option('--foreign', 'prepared transactions of others count too')
    .option('--nagios', 'one line and the exit codes of a monitoring plugin: 0, 1, 2, 3')
    .option(
      '--critical-age <duration>',
      'with --nagios: critical from this age on (default: 10min, and never less than --age)',
      duration,
    )
    .addHelpText(
      'after',
      `
A duration is a number of seconds, or one with a unit: 90s, 5min, 2h, 1d. The default of --age is 60s. A contradictory
transaction or a hazard counts whatever its age, and is critical.

Exit codes: 0 nothing; 3 found; 5 nothing found, and something did not answer; 1 failed.
With --nagios: 0 ok, 1 warning, 2 critical, 3 unknown.

Examples:
  pgxa check --age 5min || mail -s 'in doubt' oncall < /dev/null
  pgxa check --nagios --age 30s --critical-age 5min
`,
    )
    .action((options: CheckOptions) =>
      run(async (context) => (await import('./verbs/check.ts')).runCheck(context, options)),
    );
}

function addRecover(program: Command, run: Run): void {
  common(program.command('recover'))
    .description('one pass of recovery over all participants, as the daemon makes it')
    .option(
      '-n, --dry-run',
      'print each observation and the row of the decision table that it meets',
    )
    .addHelpText(
      'after',
      `
It finishes what the log decided, and aborts what nobody can decide any more; it is safe at any time, and asks
nothing. A coordinator that has only just fallen silent is left for a later pass.

Exit codes: 0 nothing is left in doubt; 3 something is; 5 a participant or the log did not answer. With --dry-run
0 whatever is in doubt, or 5.

Examples:
  pgxa recover --dry-run
  pgxa recover -o json
`,
    )
    .action((options: RecoverOptions) =>
      run(async (context) => (await import('./verbs/recover.ts')).runRecover(context, options)),
    );
}

function addCoordinators(program: Command, run: Run): void {
  common(program.command('coordinators'))
    .description('the programs that have registered in the log, and whether they are alive')
    .option('-a, --all', 'retired ones too')
    .addHelpText(
      'after',
      `
States, as recovery sees them: live; silent (its heartbeat or its session is gone, and recovery retires it);
retired (it can decide no more).

Exit codes: 0; 1 when the log does not answer.

Examples:
  pgxa coordinators
  pgxa coordinators --all -o wide
`,
    )
    .action((options: CoordinatorsOptions) =>
      run(async (context) =>
        (await import('./verbs/coordinators.ts')).runCoordinators(context, options),
      ),
    );
}

function addHistory(program: Command, run: Run): void {
  common(program.command('history'))
    .description('decisions, newest first; with --audit what was done by hand')
    .option('--audit', 'what operators did, and servers that changed')
    .option(
      '--since <time>',
      'a time, or so long ago: 2026-11-21T03:00Z, 2h; default: 1d, or 1d before --until',
      moment,
    )
    .option('--until <time>', 'a time, or so long ago', moment)
    .addOption(new Option('--outcome <decision>', 'of these alone').choices(['commit', 'abort']))
    .addOption(
      new Option('--by <who>', 'who decided').choices(['coordinator', 'recovery', 'operator']),
    )
    .option('--label <text>', 'those whose label has this text in it')
    .option('--id <id>', 'of one transaction, by its whole id', uuid)
    .option('--limit <number>', 'at most so many', whole, 100)
    .addHelpText(
      'after',
      `
The log remembers decisions for its retention (daemon.retentionDays, 7 by default), and the audit for ever.
With --audit only --since, --until, --id and --limit choose.

Exit codes: 0; 1 when the log does not answer.

Examples:
  pgxa history --since 1h --outcome abort
  pgxa history --audit --id 0199d3f2-7c1a-7000-8000-000000000000 -o wide
`,
    )
    .action((options: HistoryOptions) =>
      run(async (context) => (await import('./verbs/history.ts')).runHistory(context, options)),
    );
}

/** Options that all of them have. */
export function common(command: Command): Command {
  return command
    .addOption(
      new Option('-o, --output <format>', 'form of the data on stdout')
        .choices(FORMATS)
        .default('table'),
    )
    .option('--timeout <seconds>', 'longest wait for any one server', seconds);
}

function addList(program: Command, run: Run): void {
  common(program.command('list'))
    .alias('ls')
    .description('all that is in doubt on all participants, with the right outcome of each')
    .addHelpText(
      'after',
      `
Verdicts:
  commit, abort                  what the log decided; recovery, or pgxa resolve, carries it out
  undecided, live coordinator    it will decide by itself: leave it alone
  undecided, dead coordinator    recovery, or pgxa resolve, wins the abort and rolls back
  contradictory                  a branch has ended against the decision: pgxa show ID
  hazard                         nobody can tell from here: pgxa show ID
Prepared transactions of others are listed apart, and never touched.

Exit codes: 0, or 5 when a participant or the log did not answer (what is printed is then not all).

Examples:
  pgxa list
  pgxa list -o wide                a line for every branch, with gids
  pgxa list -o json | jq '.transactions[] | select(.blocked > 0)'
`,
    )
    .action((options: CommonOptions) =>
      run(async (context) => (await import('./verbs/list.ts')).runList(context, options)),
    );
}

function addShow(program: Command, run: Run, form: 'show' | 'explain', description: string): void {
  const command = common(program.command(form).argument('<id>', 'which one')).description(
    description,
  );
  if (form === 'show')
    command.option('--no-rows', 'do not search tables for the rows of the branch');
  command
    .addHelpText(
      'after',
      `
${ID_HELP}

Exit codes: 0; 1 when nothing, or more than one, is called that; 5 when something did not answer.

Examples:
  pgxa ${form} 0199d3f2
  pgxa ${form} pgxa_4f1c... -o yaml
`,
    )
    .action((id: string, options: ShowOptions) =>
      run(async (context) => (await import('./verbs/show.ts')).runShow(context, id, options, form)),
    );
}

const UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** In milliseconds. */
function duration(text: string): number {
  const [, digits = '', unit = ''] = /^(\d+(?:\.\d+)?)\s*(ms|s|min|h|d)?$/.exec(text) ?? [];
  if (digits === '')
    throw new InvalidArgumentError('expected a duration such as 90s, 5min, 2h, 1d');
  return Number(digits) * (UNITS[unit === '' ? 's' : unit] ?? 1_000);
}

function whole(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('expected a whole number');
  return Number(text);
}

/** A time of the calendar, or a duration before now. */
function moment(text: string): Date {
  if (/^\d{4}-\d\d-\d\d/.test(text)) {
    const time = new Date(text);
    if (!Number.isNaN(time.getTime())) return time;
    throw new InvalidArgumentError('expected a time such as 2026-11-21T03:00Z, or a duration');
  }
  return new Date(Date.now() - duration(text));
}

function uuid(text: string): string {
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) return text.toLowerCase();
  throw new InvalidArgumentError('expected a whole transaction id');
}
