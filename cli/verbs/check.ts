import { checkSurvey, type CheckResult, type Survey } from '../../src/index.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { reportFailure } from '../failure.ts';
import type { VerbContext } from '../program.ts';
import { VERDICTS } from '../triage/list-text.ts';
import { print } from '../triage/output.ts';
import { redacted, warnPartial, withTriage, type CommonOptions } from '../triage/session.ts';
import { age, name } from '../triage/text.ts';

export interface CheckOptions extends CommonOptions {
  /** Milliseconds. */
  readonly age: number;
  readonly criticalAge?: number;
  readonly count: number;
  readonly foreign?: true;
  readonly nagios?: true;
}

/** The states of monitoring plugins: https://www.monitoring-plugins.org/doc/guidelines.html */
const NAGIOS = { ok: 0, warning: 1, critical: 2, unknown: 3 } as const;

const CRITICAL_AGE_MS = 600_000;

export async function runCheck(context: VerbContext, options: CheckOptions): Promise<ExitCode> {
  const criticalAgeMs = options.criticalAge ?? Math.max(options.age, CRITICAL_AGE_MS);
  if (criticalAgeMs < options.age) {
    const why = '--critical-age is below --age: what is younger than --age does not count at all';
    // To a plugin's caller the exit code of wrong usage is "critical".
    if (options.nagios === true) {
      context.terminal.stdout.write(`PGXA UNKNOWN - ${why}\n`);
      return NAGIOS.unknown;
    }
    context.terminal.stderr.write(`pgxa: ${why}\n`);
    return EXIT.usage;
  }
  const limits = {
    ageMs: options.age,
    criticalAgeMs,
    count: options.count,
    foreign: options.foreign === true,
  };
  const { terminal } = context;
  try {
    return await withTriage(context, options, 'monitor', async ({ triage, output, redact }) => {
      const survey = redacted(await triage.survey(), redact);
      const result = checkSurvey(survey, limits);
      if (options.nagios === true) {
        terminal.stdout.write(nagiosLine(result, limits));
        return NAGIOS[nagiosState(result)];
      }
      warnPartial(survey, terminal);
      await print(terminal, output, {
        schema: 'pgxa.check/1',
        data: { ...result },
        text: () => checkText(result, survey),
      });
      return { fine: EXIT.fine, found: EXIT.inDoubt, partial: EXIT.partial }[result.state];
    });
  } catch (thrown) {
    if (options.nagios !== true) throw thrown;
    reportFailure(thrown, terminal);
    terminal.stdout.write('PGXA UNKNOWN - it could not be looked (see stderr)\n');
    return NAGIOS.unknown;
  }
}

function nagiosState({ state, isCritical }: CheckResult): keyof typeof NAGIOS {
  if (state === 'found') return isCritical ? 'critical' : 'warning';
  return state === 'partial' ? 'unknown' : 'ok';
}

/** A bar begins the performance data: no name is in the text, so none can be in the way. */
function nagiosLine(result: CheckResult, limits: { readonly foreign: boolean }): string {
  const { summary, inDoubt, oldestMs, blocked, foreign } = result;
  const data = [
    `in_doubt=${inDoubt}`,
    `oldest=${Math.round(oldestMs / 1_000)}s`,
    `blocked=${blocked}`,
    // Without the option nobody has counted them.
    ...(limits.foreign ? [`foreign=${foreign.length}`] : []),
  ].join(' ');
  return `PGXA ${nagiosState(result).toUpperCase()} - ${summary} | ${data}\n`;
}

function checkText({ summary, transactions, foreign }: CheckResult, survey: Survey): string {
  const lines = [
    ...transactions.map(
      (one) => `${one.transactionId}  ${VERDICTS[one.verdict]}  ${age(one.ageMs)}`,
    ),
    ...foreign.map((one) => `${name(one.gid)} on ${one.participant}  foreign  ${age(one.ageMs)}`),
  ];
  const names = survey.participants.map((one) => one.name).join(', ');
  return `${[`${summary} (${names})`, ...lines].join('\n')}\n`;
}
