import { daemonConfigOf, loadConfigFile } from '../config-file.ts';
import { VERDICTS } from '../triage/list-text.ts';
import { openSession } from '../triage/session.ts';
import type { VerbContext } from '../program.ts';
import type { Candidate, LiveValues } from './candidates.ts';
import { isPlainWord } from './words.ts';

/** A person waits with a finger on the key. */
const ANSWER_WITHIN_S = 1;
/** Verbs for which a prepared transaction of others is worth naming. */
const LOOKING = new Set(['show', 'explain']);

/** From the configuration and the servers, or nothing: a completion has nobody to complain to. */
export function liveValues(context: VerbContext): LiveValues {
  const { terminal, configPath } = context;
  return {
    participants: () =>
      silently(async () => {
        const file = loadConfigFile(configPath, terminal);
        const names = Object.keys(daemonConfigOf(file).participants);
        return names.map((value) => ({ value, description: 'participant' }));
      }),
    ids: (verb) => silently(() => idsFor(verb, context)),
  };
}

async function idsFor(verb: string, context: VerbContext): Promise<readonly Candidate[]> {
  const common = { output: 'table', timeout: ANSWER_WITHIN_S } as const;
  const session = openSession(context, common, 'monitor');
  try {
    const { transactions, foreign } = await session.triage.survey();
    const wanted =
      verb === 'forget'
        ? transactions.filter(({ heuristics }) =>
            heuristics.some(({ acknowledged }) => acknowledged === undefined),
          )
        : transactions;
    return [
      ...wanted.map(({ transactionId, verdict, label }) => ({
        value: transactionId,
        description: [VERDICTS[verdict], label ?? ''].filter(Boolean).join(', '),
      })),
      ...(LOOKING.has(verb) ? foreign : [])
        .filter(({ gid }) => isPlainWord(gid))
        .map(({ gid, participant }) => ({ value: gid, description: `foreign, on ${participant}` })),
    ];
  } finally {
    await session.triage.close();
  }
}

async function silently<T>(ask: () => Promise<readonly T[]>): Promise<readonly T[]> {
  try {
    return await ask();
  } catch {
    return [];
  }
}
