/** Faults of the processes of pgxa itself. */
import { workersOf, type Fault } from './nemesis.ts';
import type { Role } from './workers.ts';

function killFault(role: Role, weight: number): Fault {
  const name = `${role}-kill9`;
  return {
    name,
    weight,
    claim: (field) => {
      const running = workersOf(field, role).filter((one) => one.running);
      return running.length === 0 ? undefined : [`worker ${field.random.pick(running).name}`];
    },
    run: async (field, [claimed]) => {
      const worker = workersOf(field, role).find((one) => `worker ${one.name}` === claimed);
      if (worker?.running !== true) return;
      await worker.kill();
      field.fired(name, 1, { who: worker.name });
      await field.wait(field.random.int(0, 2_000));
      worker.start();
    },
  };
}

/** SIGSTOP past the heartbeat limit, or shortly below, then SIGCONT: a zombie. */
function freezeFault(role: Role, weight: number): Fault {
  const name = `${role}-frozen`;
  return {
    name,
    weight,
    claim: (field) => {
      const running = workersOf(field, role).filter((one) => one.running);
      return running.length === 0 ? undefined : [`worker ${field.random.pick(running).name}`];
    },
    run: async (field, [claimed]) => {
      const worker = workersOf(field, role).find((one) => `worker ${one.name}` === claimed);
      if (worker?.running !== true) return;
      const ms = field.random.int(500, field.heartbeatLimitMs + 4_000);
      worker.freeze();
      field.fired(name, 1, { who: worker.name, ms });
      await field.wait(ms);
      worker.thaw();
    },
  };
}

export const PROCESS_FAULTS: readonly Fault[] = [
  killFault('coordinator', 3),
  killFault('daemon', 2),
  killFault('operator', 1),
  freezeFault('coordinator', 2),
  freezeFault('daemon', 1),
  freezeFault('operator', 1),
];
