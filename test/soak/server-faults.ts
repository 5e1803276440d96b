/** Faults of whole servers that lose nothing: what was acknowledged is there when they are back. */
import { databaseOf, databases, serverClaim, type Fault, type Field } from './nemesis.ts';
import type { SoakDatabase } from './world.ts';

function ofServer(
  name: string,
  weight: number,
  candidates: (field: Field) => readonly SoakDatabase[],
  act: (field: Field, one: SoakDatabase) => Promise<void>,
): Fault {
  return {
    name,
    weight,
    claim: (field) => [serverClaim(field.random.pick(candidates(field)))],
    run: (field, claimed) => act(field, databaseOf(field, claimed)),
  };
}

const log = ({ world }: Field): readonly SoakDatabase[] => [world.log];
const participants = ({ world }: Field): readonly SoakDatabase[] => world.participants;

/**
 * PostgreSQL may not survive a crash while all slots are taken: redo of a PREPARE then finds none free ("maximum
 * number of prepared transactions reached"), and the server does not start. Its hint is followed.
 */
export async function startAgain(
  field: Field,
  { server, name: where }: SoakDatabase,
): Promise<void> {
  try {
    await server.start();
  } catch (error) {
    if (!String(error).includes('maximum number of prepared transactions')) throw error;
    field.fired('more-slots-to-start', 1, { where });
    // It is not running, so there is nothing to restart; the setting is kept for the start.
    await server.reconfigure({ max_prepared_transactions: '400' }).catch(() => undefined);
    await server.start();
  }
}

const restart =
  (mode: 'fast' | 'immediate', name: string) =>
  async (field: Field, one: SoakDatabase): Promise<void> => {
    await one.server.stop(mode);
    field.fired(name, 1, { where: one.name });
    await field.wait(field.random.int(0, 1_500));
    await startAgain(field, one);
  };

const kill9 =
  (name: string) =>
  async (field: Field, one: SoakDatabase): Promise<void> => {
    await one.server.kill9();
    field.fired(name, 1, { where: one.name });
    await field.wait(field.random.int(0, 1_500));
    await startAgain(field, one);
  };

const hang =
  (name: string) =>
  async (field: Field, { server, name: where }: SoakDatabase): Promise<void> => {
    const ms = field.random.int(100, field.random.chance(0.25) ? 8_000 : 1_500);
    server.pause();
    field.fired(name, 1, { where, ms });
    await field.wait(ms);
    server.resume();
  };

export const LOG_OUTAGES: readonly Fault[] = [
  ofServer('log-immediate-stop', 2, log, restart('immediate', 'log-immediate-stop')),
  ofServer('log-hung', 2, log, hang('log-hung')),
];

export const SERVER_FAULTS: readonly Fault[] = [
  ...LOG_OUTAGES,
  ofServer('log-kill9', 1, log, kill9('log-kill9')),
  ofServer(
    'participant-immediate-stop',
    2,
    participants,
    restart('immediate', 'participant-immediate-stop'),
  ),
  ofServer('participant-fast-stop', 1, participants, restart('fast', 'participant-fast-stop')),
  ofServer('participant-kill9', 2, participants, kill9('participant-kill9')),
  ofServer('participant-hung', 2, participants, hang('participant-hung')),
  ofServer('checkpoint', 1, databases, async (field, { server, name: where }) => {
    await server.query('postgres', 'checkpoint');
    field.fired('checkpoint', 1, { where });
  }),
];
