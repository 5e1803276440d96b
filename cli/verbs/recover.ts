import { PgxaError, type RecoveryReport, type Survey } from '../../src/index.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { reportFailure } from '../failure.ts';
import type { VerbContext } from '../program.ts';
import type { Terminal } from '../terminal.ts';
import { observationTable, observedIn } from '../triage/observation-text.ts';
import { print, table } from '../triage/output.ts';
import {
  codeOf,
  redacted,
  warnPartial,
  withTriage,
  type CommonOptions,
  type Session,
} from '../triage/session.ts';
import { oneLine } from '../triage/text.ts';

export interface RecoverOptions extends CommonOptions {
  readonly dryRun?: true;
}

export async function runRecover(context: VerbContext, options: RecoverOptions): Promise<ExitCode> {
  const purpose = options.dryRun === true ? 'monitor' : 'operator';
  try {
    return await withTriage(context, options, purpose, (session) =>
      options.dryRun === true ? observe(session) : recover(session),
    );
  } catch (thrown) {
    const code = reportFailure(thrown, context.terminal);
    return thrown instanceof PgxaError && thrown.code === 'PGXA_LOG_UNREACHABLE'
      ? EXIT.partial
      : code;
  }
}

/** Each observation, and the row of the decision table that it meets; nothing is done. */
async function observe({ triage, terminal, output, redact }: Session): Promise<ExitCode> {
  const survey = redacted(await triage.survey(), redact);
  warnPartial(survey, terminal);
  const observations = observedIn(survey);
  if (survey.log.status !== 'reachable') sayUndecidable(survey, terminal);
  else if (observations.length === 0) terminal.stderr.write('nothing was observed\n');
  await print(terminal, output, {
    schema: 'pgxa.observations/1',
    data: { observations, complete: survey.complete },
    lines: observations.map((one) => ({ ...one })),
    text: () => observationTable(observations),
  });
  return codeOf(survey);
}

/** What the log holds of them is half of an observation: they meet no row while it is not known. */
function sayUndecidable({ transactions }: Survey, { stderr }: Terminal): void {
  const prepared = transactions
    .flatMap(({ branches }) => branches)
    .filter(({ state }) => state === 'prepared');
  stderr.write(
    `pgxa: ${prepared.length} prepared here by pgxa meet no row while the decision log does not answer: recovery ` +
      'leaves them\n',
  );
}

async function recover({ triage, terminal, output, redact }: Session): Promise<ExitCode> {
  const report = await triage.recover();
  for (const [name, { status, error }] of Object.entries(report.participants)) {
    if (error === undefined) continue;
    const text = oneLine(redact(error.message), 400);
    terminal.stderr.write(`pgxa: participant ${name} (${status}): ${text}\n`);
  }
  await print(terminal, output, {
    schema: 'pgxa.recovery/1',
    data: plain(report, redact),
    text: () => reportText(report),
  });
  if (Object.values(report.participants).some(({ error }) => error !== undefined))
    return EXIT.partial;
  return report.complete && report.heuristics === 0 ? EXIT.fine : EXIT.inDoubt;
}

function plain(
  report: RecoveryReport,
  redact: (text: string) => string,
): Readonly<Record<string, unknown>> {
  const text = (error: Error | undefined): object =>
    error === undefined ? {} : { error: redact(error.message) };
  const participants = Object.entries(report.participants).map(
    ([name, { error, left, ...one }]) => [
      name,
      {
        ...one,
        left: left.map(({ error: why, ...branch }) => ({ ...branch, ...text(why) })),
        ...text(error),
      },
    ],
  );
  return { ...report, participants: Object.fromEntries(participants) as unknown };
}

function reportText({ participants }: RecoveryReport): Promise<string> {
  return table(
    ['PARTICIPANT', 'STATUS', 'COMMITTED', 'ROLLED BACK', 'LEFT', 'HEURISTIC', 'FOREIGN'],
    Object.entries(participants).map(([name, one]) => [
      name,
      one.status,
      String(one.committed),
      String(one.rolledBack),
      one.left.map(({ row }) => row).join('') || '0',
      String(one.heuristics.length),
      String(one.foreign),
    ]),
  );
}
