import type { Survey } from '../../src/index.ts';
import type { ExitCode } from '../exit-codes.ts';
import type { VerbContext } from '../program.ts';
import { surveyText } from '../triage/list-text.ts';
import { print, type Output } from '../triage/output.ts';
import {
  codeOf,
  redacted,
  warnPartial,
  withTriage,
  type CommonOptions,
} from '../triage/session.ts';

export function runList(context: VerbContext, options: CommonOptions): Promise<ExitCode> {
  return withTriage(context, options, 'monitor', async ({ triage, terminal, output, redact }) => {
    const survey = redacted(await triage.survey(), redact);
    warnPartial(survey, terminal);
    const { transactions, foreign, complete } = survey;
    if (transactions.length + foreign.length === 0 && complete) {
      const names = survey.participants.map(({ name }) => name).join(', ');
      terminal.stderr.write(`nothing is in doubt on ${names}\n`);
    }
    await print(terminal, output, surveyOutput(survey));
    return codeOf(survey);
  });
}

export function surveyOutput(survey: Survey): Output {
  return {
    schema: 'pgxa.survey/1',
    data: { ...survey },
    lines: [
      ...survey.transactions.map((transaction) => ({ kind: 'transaction', ...transaction })),
      ...survey.foreign.map((foreign) => ({ kind: 'foreign', ...foreign })),
      ...survey.participants.map((participant) => ({ kind: 'participant', ...participant })),
    ],
    text: (wide) => surveyText(survey, wide),
  };
}
