import type { Assessment, Decision, ForceResult, Found } from '../../src/index.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { VerbContext } from '../program.ts';
import { ask, isInteractive } from '../triage/confirm.ts';
import { showText } from '../triage/explanation-text.ts';
import { print } from '../triage/output.ts';
import { resolutionText } from '../triage/plan-text.ts';
import { plainResolution } from '../triage/resolution.ts';
import { warnPartial, withTriage, type CommonOptions, type Session } from '../triage/session.ts';
import { oneLine } from '../triage/text.ts';

export interface ForceOptions extends CommonOptions {
  readonly yes?: true;
  readonly reason?: string;
  readonly override?: true;
}

export function runForce(
  context: VerbContext,
  decision: Decision,
  id: string,
  options: ForceOptions,
): Promise<ExitCode> {
  return withTriage(context, options, 'operator', (session) =>
    forceNow(session, decision, id, options),
  );
}

/** The verb in a session that is open. */
export async function forceNow(
  session: Session,
  decision: Decision,
  id: string,
  options: ForceOptions,
): Promise<ExitCode> {
  const { triage, terminal } = session;
  const found = await triage.find(id);
  warnPartial(found.survey, terminal);
  const assessment = triage.assess(found, decision);
  await showEvidence(session, found, assessment);
  if (assessment.way === 'as-decided') return asDecided(session, found);
  const { transaction } = found;
  const isRefused = assessment.way === 'refused' || transaction === undefined;
  if (isRefused || (assessment.objections.length > 0 && options.override !== true)) {
    const more = isRefused ? '' : ' (--override with a reason, as the last resort)';
    return refuse(session, `refused: ${assessment.objections.join('; ')}${more}`);
  }
  const reason = await confirm(session, transaction.transactionId, decision, options);
  if (reason === undefined) return EXIT.refused;
  const override = options.override === true;
  const result = await triage.force({ transaction, decision, assessment, reason, override });
  await report(session, result);
  const missing = whatIsMissing(result);
  for (const what of missing) {
    terminal.stderr.write(`pgxa: ${oneLine(session.redact(what), 400)}\n`);
  }
  return missing.length > 0 ? EXIT.failed : codeOf(result);
}

/** On stderr: whoever decides has to have seen it, whatever becomes of stdout. */
async function showEvidence(
  { triage, terminal, redact }: Session,
  found: Found,
  { objections, notes }: Assessment,
): Promise<void> {
  const explanation = await triage.explain(found, { rows: true });
  terminal.stderr.write(`${redact(await showText(explanation))}\n`);
  for (const note of notes) terminal.stderr.write(`Note: ${oneLine(note, 400)}\n`);
  for (const objection of objections) {
    terminal.stderr.write(`Objection: ${oneLine(redact(objection), 400)}\n`);
  }
}

function refuse({ terminal }: Session, text: string): ExitCode {
  terminal.stderr.write(`pgxa: ${oneLine(text, 2_000)}\n`);
  return EXIT.refused;
}

/** It is no heuristic outcome at all: what resolve would do. */
async function asDecided(session: Session, { transaction }: Found): Promise<ExitCode> {
  session.terminal.stderr.write('that is what the log decided: nothing has to be forced\n');
  const resolution = await session.triage.resolve(transaction === undefined ? [] : [transaction]);
  await report(session, { kind: 'decided', resolution });
  return codeOf({ kind: 'decided', resolution });
}

/** The reason, once it is confirmed; undefined when it is not. */
async function confirm(
  session: Session,
  id: string,
  decision: Decision,
  { yes, reason }: ForceOptions,
): Promise<string | undefined> {
  const { terminal } = session;
  const given = reason?.trim() ?? '';
  if (!isInteractive(terminal)) {
    if (yes === true && given !== '') return given;
    refuse(session, 'refused: off a terminal this needs --yes and --reason');
    return undefined;
  }
  const why = given === '' ? await ask(terminal, 'Reason, for the audit: ') : given;
  if (why === undefined || why === '') {
    refuse(session, 'refused: a reason is needed; nothing was done');
    return undefined;
  }
  const verb = decision === 'commit' ? 'COMMITS' : 'ROLLS BACK';
  const typed = await ask(terminal, `This ${verb} by hand. Type the transaction id to go on: `);
  if (typed === id) return why;
  refuse(session, 'refused: that is not the id; nothing was done');
  return undefined;
}

async function report({ terminal, output, redact }: Session, result: ForceResult): Promise<void> {
  const data =
    result.kind === 'decided'
      ? { kind: result.kind, resolution: plainResolution(result.resolution, redact) }
      : { ...result };
  await print(terminal, output, {
    schema: 'pgxa.force/1',
    data,
    text: () => resultText(result).then(redact),
  });
}

async function resultText(result: ForceResult): Promise<string> {
  switch (result.kind) {
    case 'decided':
      return `decided in the log, for all branches: ${await resolutionText(result.resolution)}`;
    case 'lost':
      return `not forced: ${oneLine(result.why)}\n`;
    case 'branches':
      return result.branches
        .map(({ participant, result: end, detail }) => {
          const more = detail === undefined ? '' : ` (${oneLine(detail)})`;
          return `${participant}: ${WORDS[end]}${more}\n`;
        })
        .join('');
  }
}

const WORDS = {
  forced: 'forced',
  lost: 'too late, somebody else has ended it the other way',
  pending: 'not known to be done: look at it again',
  unknown: 'gone, and nobody can tell how it has ended',
} as const;

/** What was done and could not be written down. */
function whatIsMissing(result: ForceResult): string[] {
  const { unaudited } = result;
  const audit =
    unaudited === undefined ? [] : [`its end is not in the audit of the log: ${unaudited}`];
  if (result.kind !== 'branches') return audit;
  const unrecorded = result.branches.flatMap(({ participant, result: end, detail }) =>
    end === 'forced' && detail !== undefined ? [`${participant}: ${detail}`] : [],
  );
  return [...audit, ...unrecorded];
}

function codeOf(result: ForceResult): ExitCode {
  if (result.kind === 'lost') return EXIT.refused;
  if (result.kind === 'decided') {
    const { left, failed, heuristics } = result.resolution;
    if (left.length + failed.length > 0) return EXIT.failed;
    return heuristics.length > 0 ? EXIT.inDoubt : EXIT.fine;
  }
  if (result.branches.some((one) => one.result === 'pending')) return EXIT.failed;
  if (result.branches.some((one) => one.result === 'unknown')) return EXIT.inDoubt;
  return result.branches.some((one) => one.result === 'lost') ? EXIT.refused : EXIT.fine;
}
