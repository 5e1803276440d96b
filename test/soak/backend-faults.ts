/** Faults of single backends: what an administrator, or the kernel, does to them. */
import { databaseOf, databases, serverClaim, type Fault } from './nemesis.ts';

/** The harness's own sessions are called this (sql-server.ts): they are spared. */
const OWN = 'pgxa test support';

const VICTIMS = `
  from (select pid, query, state from pg_stat_activity
         where datname = current_database() and pid <> pg_backend_pid()
           and application_name <> '${OWN}' and ($2 = 'any' or state = $2)
         order by random() limit $1) victim`;

/** Some backends of one database, some of them in mid-command. */
const terminate: Fault = {
  name: 'backend-terminated',
  weight: 12,
  claim: () => [],
  run: async (field) => {
    const { random } = field;
    const one = random.chance(0.2) ? field.world.log : random.pick(field.world.participants);
    for (let burst = random.int(1, 8); burst > 0 && !field.ending.aborted; burst -= 1) {
      const rows = await one.server
        .query(one.database, `select pg_terminate_backend(pid) as done, state, query ${VICTIMS}`, [
          random.int(1, 4),
          random.chance(0.7) ? 'active' : 'any',
        ])
        // The server itself may be away.
        .catch(() => []);
      const times = rows.filter(({ done }) => done === true).length;
      if (times > 0)
        field.fired('backend-terminated', times, {
          where: one.name,
          states: rows.map(({ state }) => state),
        });
      await field.wait(random.int(0, 40));
    }
  },
};

/** The sessions in which coordinators decide: whole batches of transactions lose their answer, and settle. */
const terminateLog: Fault = {
  name: 'log-backend-terminated',
  weight: 4,
  claim: () => [],
  run: async (field) => {
    const { log } = field.world;
    for (let burst = field.random.int(1, 10); burst > 0 && !field.ending.aborted; burst -= 1) {
      const rows = await log.server
        .query(log.database, `select pg_terminate_backend(pid) as done ${VICTIMS}`, [2, 'active'])
        .catch(() => []);
      const times = rows.filter(({ done }) => done === true).length;
      if (times > 0) field.fired('log-backend-terminated', times);
      await field.wait(field.random.int(0, 60));
    }
  },
};

const cancel: Fault = {
  name: 'backend-cancelled',
  weight: 5,
  claim: () => [],
  run: async (field) => {
    const one = field.random.pick(databases(field));
    const rows = await one.server
      .query(one.database, `select pg_cancel_backend(pid) as done, query ${VICTIMS}`, [
        field.random.int(1, 5),
        'active',
      ])
      .catch(() => []);
    const times = rows.filter(({ done }) => done === true).length;
    if (times > 0) field.fired('backend-cancelled', times, { where: one.name });
  },
};

/** SIGSTOP of one backend in mid-command: its client waits, and the command completes much later. */
const freeze: Fault = {
  name: 'backend-frozen',
  weight: 2,
  claim: (field) => [serverClaim(field.random.pick(databases(field)))],
  run: async (field, claimed) => {
    const one = databaseOf(field, claimed);
    const [row] = await one.server
      .query<{ pid: number }>(one.database, `select pid ${VICTIMS}`, [1, 'active'])
      .catch(() => []);
    if (row === undefined) return;
    try {
      one.server.signalBackend(row.pid, 'SIGSTOP');
    } catch {
      // It has ended by itself since.
      return;
    }
    field.fired('backend-frozen', 1, { where: one.name });
    await field.wait(field.random.int(50, 5_000));
    try {
      one.server.signalBackend(row.pid, 'SIGCONT');
    } catch {
      // A panic of the server, or a full stop, has ended it.
    }
  },
};

export const TERMINATE_FAULTS: readonly Fault[] = [terminate, terminateLog, cancel];
export const BACKEND_FAULTS: readonly Fault[] = [...TERMINATE_FAULTS, freeze];
