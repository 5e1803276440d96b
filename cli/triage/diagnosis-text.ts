import type { Diagnosis, Finding, Severity } from '../../src/index.ts';
import type { paint, Style } from '../terminal.ts';
import { oneLine } from './text.ts';

type Paint = ReturnType<typeof paint>;

const STYLES: Readonly<Record<Severity, Style>> = {
  fault: 'red',
  warning: 'yellow',
  info: 'cyan',
  ok: 'green',
};
const TEXT_MAX = 1_000;

/** One paragraph for each finding, worst first: sentences fit no columns. What is right is only counted. */
export function diagnosisText({ findings }: Diagnosis, wide: boolean, painted: Paint): string {
  const shown = findings.filter(({ severity }) => wide || severity !== 'ok');
  const lines = shown.flatMap((one) => paragraph(one, painted));
  if (wide) return block(lines);
  const subjects = [...new Set(findings.map(subjectOf))];
  const fine = subjects.flatMap((subject) => {
    const checks = findings
      .filter((one) => one.severity === 'ok' && subjectOf(one) === subject)
      .map(({ check }) => check);
    return checks.length === 0 ? [] : [`${head('ok', subject, painted)}: ${checks.join(', ')}`];
  });
  return block([...lines, ...fine]);
}

function block(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join('');
}

function paragraph(finding: Finding, painted: Paint): string[] {
  const { severity, check, found, action } = finding;
  return [
    `${head(severity, subjectOf(finding), painted)}: ${check}: ${oneLine(found, TEXT_MAX)}`,
    ...(action === undefined ? [] : [`${' '.repeat(WIDTH)}  -> ${oneLine(action, TEXT_MAX)}`]),
  ];
}

const WIDTH = 'warning'.length;

function head(severity: Severity, subject: string, painted: Paint): string {
  return `${painted(STYLES[severity], severity.padEnd(WIDTH))}  ${subject}`;
}

function subjectOf({ subject, participant }: Finding): string {
  if (subject === 'log') return 'decision log';
  return participant === undefined ? subject : `${subject} ${participant}`;
}
