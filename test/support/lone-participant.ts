import type pg from 'pg';

import { PostgresParticipant } from '../../src/participant/postgres-participant.ts';
import { systemRuntime } from '../../src/runtime.ts';

/** "orders" without a manager or a log: whatever it first looks at counts as registered. */
export function loneParticipant(
  pool: pg.Pool,
  connectionString: string,
  register: () => Promise<void> = () => Promise.resolve(),
): PostgresParticipant {
  return new PostgresParticipant({
    name: 'orders',
    pool,
    endPool: undefined,
    settings: { connectionString },
    connectTimeoutMs: 5_000,
    lockTimeoutMs: 5_000,
    timeoutMs: undefined,
    runtime: systemRuntime,
    register,
    meetOthers: () => Promise.resolve(),
    followRegister: false,
  });
}
