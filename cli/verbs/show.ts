import type { ExitCode } from '../exit-codes.ts';
import type { VerbContext } from '../program.ts';
import { explanationText, showText } from '../triage/explanation-text.ts';
import { print } from '../triage/output.ts';
import {
  codeOf,
  redacted,
  redactedData,
  warnPartial,
  withTriage,
  type CommonOptions,
} from '../triage/session.ts';

export interface ShowOptions extends CommonOptions {
  /** False: tables are not searched for the rows of the branch. */
  readonly rows: boolean;
}

export function runShow(
  context: VerbContext,
  id: string,
  options: ShowOptions,
  form: 'show' | 'explain',
): Promise<ExitCode> {
  return withTriage(context, options, 'monitor', async ({ triage, terminal, output, redact }) => {
    const found = await triage.find(id);
    const survey = redacted(found.survey, redact);
    warnPartial(survey, terminal);
    const rows = options.rows && form === 'show';
    const explanation = redactedData(await triage.explain(found, { rows }), redact);
    await print(terminal, output, {
      schema: 'pgxa.explanation/1',
      data: { ...explanation },
      text: () => (form === 'show' ? showText(explanation) : explanationText(explanation)),
    });
    return codeOf(survey);
  });
}
