/** What a new session of the log has to be before anything is asked of it. */
import { expect, it } from 'vitest';

import { setUpSession } from '../../src/decision-log/session.ts';
import { ConnectionLostError } from '../../src/postgres/connection-lost.ts';
import type { RunCommand } from '../../src/postgres/dedicated-connection.ts';

const answering = (standby: boolean): RunCommand =>
  (() => Promise.resolve({ rows: [{ standby }] })) as unknown as RunCommand;

it('a session that has landed on a standby is given up: it would show an old state for as long as it lives', async () => {
  await expect(setUpSession(answering(true))).rejects.toBeInstanceOf(ConnectionLostError);
  await expect(setUpSession(answering(false))).resolves.toBeUndefined();
});
