import type { Diagnosis } from '../../src/index.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { VerbContext } from '../program.ts';
import { paint } from '../terminal.ts';
import { diagnosisText } from '../triage/diagnosis-text.ts';
import { print } from '../triage/output.ts';
import { redactedData, withTriage, type CommonOptions } from '../triage/session.ts';

const EXITS: Readonly<Record<Diagnosis['outcome'], ExitCode>> = {
  fine: EXIT.fine,
  fault: EXIT.failed,
  partial: EXIT.partial,
};

export function runDoctor(context: VerbContext, options: CommonOptions): Promise<ExitCode> {
  return withTriage(context, options, 'monitor', async ({ triage, terminal, output, redact }) => {
    const diagnosis = redactedData(await triage.examine(), redact);
    await print(terminal, output, {
      schema: 'pgxa.diagnosis/1',
      data: { ...diagnosis },
      lines: diagnosis.findings.map((finding) => ({ ...finding })),
      text: (wide) => diagnosisText(diagnosis, wide, paint(terminal.stdout, terminal.env)),
    });
    terminal.stderr.write(`${summaryOf(diagnosis)}\n`);
    return EXITS[diagnosis.outcome];
  });
}

function summaryOf({ counts, outcome }: Diagnosis): string {
  const number = (count: number, word: string): string =>
    `${count} ${word}${count === 1 ? '' : 's'}`;
  const looked = `${counts.ok} fine, ${number(counts.info, 'note')}`;
  const said = `${number(counts.fault, 'fault')}, ${number(counts.warning, 'warning')}, ${looked}`;
  return outcome === 'partial' ? `${said}; something did not answer` : said;
}
