import type { PlannedStep, Resolution, Survey, TransactionView } from '../../src/index.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { VerbContext } from '../program.ts';
import type { Terminal } from '../terminal.ts';
import { ask, isInteractive } from '../triage/confirm.ts';
import { print } from '../triage/output.ts';
import { planText, resolutionText } from '../triage/plan-text.ts';
import { plainResolution } from '../triage/resolution.ts';
import { warnPartial, withTriage, type CommonOptions, type Session } from '../triage/session.ts';
import { name, oneLine } from '../triage/text.ts';

export interface ResolveOptions extends CommonOptions {
  readonly all?: true;
  readonly dryRun?: true;
  readonly yes?: true;
}

export function runResolve(
  context: VerbContext,
  ids: readonly string[],
  options: ResolveOptions,
): Promise<ExitCode> {
  const { terminal } = context;
  if ((ids.length === 0) === (options.all !== true)) {
    terminal.stderr.write('pgxa: name what to resolve, or give --all (not both)\n');
    return Promise.resolve(EXIT.usage);
  }
  const purpose = options.dryRun === true ? 'monitor' : 'operator';
  return withTriage(context, options, purpose, (session) => resolveNow(session, ids, options));
}

interface Choice {
  readonly survey: Survey;
  readonly transactions: readonly TransactionView[];
  readonly foreign: readonly string[];
}

/** The verb in a session that is open. */
export async function resolveNow(
  session: Session,
  ids: readonly string[],
  options: ResolveOptions,
): Promise<ExitCode> {
  const { triage, terminal, output } = session;
  const { survey, transactions, foreign } = await choose(session, ids);
  warnPartial(survey, terminal);
  if (foreign.length > 0) {
    terminal.stderr.write(
      `pgxa: refused: ${foreign.map(name).join(', ')} was not prepared through ` +
        'this decision log, which knows nothing of its outcome (pgxa explain tells whose it is)\n',
    );
    return EXIT.refused;
  }
  if (survey.log.status !== 'reachable') {
    terminal.stderr.write('pgxa: nothing can be resolved while the decision log does not answer\n');
    return EXIT.partial;
  }
  const plan = triage.planOf(transactions);
  if (options.dryRun === true || !plan.some(triage.isActive)) {
    const found = options.dryRun === true ? [] : await triage.recordContradictions(transactions);
    for (const { participant, evidence } of found) {
      terminal.stderr.write(`pgxa: recorded: ${oneLine(`${participant}: ${evidence}`, 400)}\n`);
    }
    await printPlan(session, plan, survey);
    if (!survey.complete) return EXIT.partial;
    if (found.length > 0) return EXIT.inDoubt;
    return plan.length > 0 && options.dryRun !== true ? EXIT.inDoubt : EXIT.fine;
  }
  if (!(await mayAct(terminal, plan, options))) return EXIT.refused;
  const resolution = await triage.resolve(transactions);
  await print(terminal, output, {
    schema: 'pgxa.resolution/1',
    data: { ...plainResolution(resolution, session.redact), complete: survey.complete },
    text: () => resolutionText(resolution).then(session.redact),
  });
  return codeOf(resolution, survey);
}

async function choose({ triage }: Session, ids: readonly string[]): Promise<Choice> {
  if (ids.length === 0) {
    const survey = await triage.survey();
    return { survey, transactions: survey.transactions, foreign: [] };
  }
  const found = await Promise.all(ids.map((id) => triage.find(id)));
  const [first] = found;
  if (first === undefined) throw new Error('unreachable: there is at least one id');
  const complete = found.every(({ survey }) => survey.complete);
  return {
    survey: { ...(found.find(({ survey }) => !survey.complete) ?? first).survey, complete },
    transactions: found.flatMap(({ transaction }) => transaction ?? []),
    foreign: found.flatMap(({ foreign }) => foreign?.gid ?? []),
  };
}

async function printPlan(
  { terminal, output }: Session,
  plan: readonly PlannedStep[],
  { complete }: Survey,
): Promise<void> {
  if (plan.length === 0)
    terminal.stderr.write('nothing of it is in doubt: there is nothing to do\n');
  await print(terminal, output, {
    schema: 'pgxa.plan/1',
    data: { steps: plan, complete },
    lines: plan.map((step) => ({ ...step })),
    text: () => planText(plan),
  });
}

async function mayAct(
  terminal: Terminal,
  plan: readonly PlannedStep[],
  { yes }: ResolveOptions,
): Promise<boolean> {
  if (yes === true) return true;
  terminal.stderr.write(await planText(plan));
  if (!isInteractive(terminal)) {
    terminal.stderr.write(
      'pgxa: refused: off a terminal this needs --yes (or look with --dry-run)\n',
    );
    return false;
  }
  const answer = await ask(terminal, 'Do this? [y/N] ');
  if (/^y(es)?$/i.test(answer ?? '')) return true;
  terminal.stderr.write('nothing was done\n');
  return false;
}

function codeOf({ left, failed, heuristics }: Resolution, { complete }: Survey): ExitCode {
  if (left.some(({ error }) => error !== undefined)) return EXIT.failed;
  if (!complete || failed.length > 0) return EXIT.partial;
  return left.length + heuristics.length > 0 ? EXIT.inDoubt : EXIT.fine;
}
