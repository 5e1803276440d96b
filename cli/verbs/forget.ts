import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { VerbContext } from '../program.ts';
import { ask, isInteractive } from '../triage/confirm.ts';
import { print, table } from '../triage/output.ts';
import { warnPartial, withTriage, type CommonOptions, type Session } from '../triage/session.ts';

export interface ForgetOptions extends CommonOptions {
  readonly yes?: true;
  readonly reason?: string;
}

export function runForget(
  context: VerbContext,
  id: string,
  options: ForgetOptions,
): Promise<ExitCode> {
  return withTriage(context, options, 'operator', (session) => forgetNow(session, id, options));
}

/** The verb in a session that is open. */
export async function forgetNow(
  session: Session,
  id: string,
  options: ForgetOptions,
): Promise<ExitCode> {
  const { triage, terminal, output } = session;
  const { survey, transaction } = await triage.find(id);
  warnPartial(survey, terminal);
  const open = (transaction?.heuristics ?? []).filter((one) => one.acknowledged === undefined);
  if (survey.log.status !== 'reachable') {
    terminal.stderr.write(
      'pgxa: nothing can be acknowledged while the decision log does not answer\n',
    );
    return EXIT.partial;
  }
  if (transaction === undefined || open.length === 0) {
    terminal.stderr.write(
      'pgxa: refused: there is no heuristic outcome to acknowledge (what is in doubt is never forgotten: ' +
        'pgxa resolve, or pgxa force)\n',
    );
    return EXIT.refused;
  }
  terminal.stderr.write(await heuristicsTable(open));
  const reason = await confirm(session, options);
  if (reason === undefined) return EXIT.refused;
  const forgotten = await triage.forget(transaction, reason);
  await print(terminal, output, {
    schema: 'pgxa.forgotten/1',
    data: { forgotten },
    lines: forgotten.map((one) => ({ ...one })),
    text: () => `${forgotten.length} acknowledged\n`,
  });
  return EXIT.fine;
}

function heuristicsTable(
  open: readonly {
    readonly participant: string;
    readonly kind: string;
    readonly decision: string;
    readonly evidence: string;
  }[],
): Promise<string> {
  return table(
    ['PARTICIPANT', 'KIND', 'DECISION', 'EVIDENCE'],
    open.map(({ participant, kind, decision, evidence }) => [
      participant,
      kind,
      decision,
      evidence,
    ]),
  );
}

async function confirm(
  { terminal }: Session,
  { yes, reason }: ForgetOptions,
): Promise<string | undefined> {
  const given = reason?.trim() ?? '';
  const asks = isInteractive(terminal);
  const why = given === '' && asks ? await ask(terminal, 'Reason, for the audit: ') : given;
  if (why === undefined || why === '') {
    terminal.stderr.write('pgxa: refused: this needs --reason\n');
    return undefined;
  }
  if (yes === true) return why;
  if (!asks) {
    terminal.stderr.write('pgxa: refused: off a terminal this needs --yes\n');
    return undefined;
  }
  const answer = await ask(terminal, 'Somebody has looked at the data of all participants? [y/N] ');
  if (/^y(es)?$/i.test(answer ?? '')) return why;
  terminal.stderr.write('nothing was done\n');
  return undefined;
}
