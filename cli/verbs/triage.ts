import type { Survey, TransactionView } from '../../src/index.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { reportFailure } from '../failure.ts';
import { offersFor, type Offer } from '../guided/offers.ts';
import { choose, line, type Choice } from '../guided/prompts.ts';
import type { VerbContext } from '../program.ts';
import type { Terminal } from '../terminal.ts';
import { isInteractive } from '../triage/confirm.ts';
import { explanationText, showText } from '../triage/explanation-text.ts';
import { VERDICTS } from '../triage/list-text.ts';
import { codeOf, redacted, warnPartial, withTriage, type Session } from '../triage/session.ts';
import { age, name, oneLine } from '../triage/text.ts';
import { forceNow } from './force.ts';
import { forgetNow } from './forget.ts';
import { resolveNow } from './resolve.ts';

export interface GuidedOptions {
  /** Seconds. */
  readonly timeout?: number;
}

/** Nothing else can be a gid or an id: a gid has no NUL in it. */
const AGAIN = '\0again';
const QUIT = '\0quit';

export async function runTriage(context: VerbContext, options: GuidedOptions): Promise<ExitCode> {
  const { terminal } = context;
  if (!isInteractive(terminal)) {
    terminal.stderr.write(
      'pgxa: triage asks questions, and this is no terminal. Use pgxa list, pgxa explain ID, pgxa resolve ID --yes, ' +
        "pgxa force commit|rollback ID --yes --reason '…', pgxa forget ID --yes --reason '…'\n",
    );
    return EXIT.usage;
  }
  const guided = { ...context, terminal: askingGuided(terminal) };
  for (;;) {
    // Connections of its own for every round: people think long, and servers come and go meanwhile.
    const round = { isOver: false };
    const common = { output: 'table', ...options } as const;
    const code = await withTriage(guided, common, 'operator', async (session) => {
      const survey = redacted(await session.triage.survey(), session.redact);
      const id = await chooseOne(survey, session.terminal);
      round.isOver = id === undefined;
      if (id !== undefined && id !== AGAIN) await workOn(session, id);
      return codeOf(survey);
    });
    if (round.isOver) return code;
  }
}

/** The same questions as the verbs ask, put by the guide: Esc is "no" to every one of them. */
function askingGuided(terminal: Terminal): Terminal {
  const { stdout, stderr, stdin, env, cwd } = terminal;
  const guided = { stdout, stderr, env, cwd, ...(stdin === undefined ? {} : { stdin }) };
  return { ...guided, question: (text) => line(guided, text) };
}

/** An id, or AGAIN; undefined at the end. */
async function chooseOne(survey: Survey, terminal: Terminal): Promise<string | undefined> {
  warnPartial(survey, terminal);
  const { transactions, foreign, participants, complete } = survey;
  if (transactions.length + foreign.length === 0 && complete) {
    const names = participants.map((one) => one.name).join(', ');
    terminal.stderr.write(`nothing is in doubt on ${names}\n`);
    return undefined;
  }
  const choices: Choice<string>[] = [
    ...transactions.map((one) => ({ value: one.transactionId, label: summaryOf(one) })),
    ...[...new Set(foreign.map(({ gid }) => gid))].map((gid) => ({
      value: gid,
      label: `${oneLine(name(gid), 50)}  foreign, hands off`,
    })),
    { value: AGAIN, label: 'Look again' },
    { value: QUIT, label: 'Quit' },
  ];
  const chosen = await choose(terminal, `${transactions.length} in doubt. Which one?`, choices);
  return chosen === QUIT ? undefined : chosen;
}

function summaryOf({ transactionId, verdict, ageMs, blocked, label }: TransactionView): string {
  const parts = [
    transactionId,
    VERDICTS[verdict],
    age(ageMs),
    ...(blocked === 0 ? [] : [`${blocked} blocked`]),
    ...(label === undefined ? [] : [oneLine(name(label), 30)]),
  ];
  return parts.join('  ');
}

/** One transaction, until it is left or something has been done about it. */
async function workOn(session: Session, id: string): Promise<void> {
  const { triage, terminal, redact } = session;
  try {
    const found = await triage.find(id);
    const explanation = await triage.explain(found, { rows: false });
    terminal.stderr.write(`\n${redact(explanationText(explanation))}\n`);
    for (;;) {
      const offer = await choose(terminal, 'What is to be done?', offersFor(found, triage));
      if (offer === undefined || offer === 'leave') return;
      if (offer !== 'show') {
        await carryOut(session, offer, id);
        return;
      }
      const everything = await triage.explain(found, { rows: true });
      terminal.stderr.write(`\n${redact(await showText(everything))}\n`);
    }
  } catch (thrown) {
    // It may have ended meanwhile, or a server may have gone: the list tells.
    reportFailure(thrown, terminal);
  }
}

/** What the verb of that name does, from its own look to its own audit. */
async function carryOut(
  session: Session,
  offer: Exclude<Offer, 'show' | 'leave'>,
  id: string,
): Promise<void> {
  const options = { output: session.output };
  switch (offer) {
    case 'resolve':
      await resolveNow(session, [id], options);
      return;
    case 'force commit':
      await forceNow(session, 'commit', id, options);
      return;
    case 'force rollback':
      await forceNow(session, 'abort', id, options);
      return;
    case 'forget':
      await forgetNow(session, id, options);
  }
}
