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

/**
 * Nobody but the operator is there: the daemons are frozen, and a coordinator is killed, or loses a participant when it
 * wants to carry out its decisions. What the operator finds then is decided and in doubt, or undecided.
 */
const leftToTheOperator: Fault = {
  name: 'left-to-the-operator',
  weight: 2,
  claim: (field) => {
    const daemons = workersOf(field, 'daemon').filter((one) => one.running);
    const coordinators = workersOf(field, 'coordinator').filter((one) => one.running);
    if (daemons.length < workersOf(field, 'daemon').length || coordinators.length === 0) return;
    const coordinator = field.random.pick(coordinators);
    return [coordinator, ...daemons].map(({ name }) => `worker ${name}`);
  },
  run: async (field, claimed) => {
    const workers = field.workers.filter(({ name }) => claimed.includes(`worker ${name}`));
    const [coordinator] = workers.filter(({ role }) => role === 'coordinator');
    const daemons = workers.filter(({ role }) => role === 'daemon');
    const link = coordinator?.links.get(field.random.pick(field.world.participants).name);
    if (coordinator === undefined || link === undefined) return;
    const armed = link.arm({ kind: 'finish-commit', nth: field.random.int(1, 8), action: 'cut-before', onFired: () => { link.refuse(); } }); // prettier-ignore
    for (const daemon of daemons) daemon.freeze();
    await field.wait(field.random.int(300, 1_500));
    armed.disarm();
    const isKilled = field.random.chance(0.5);
    if (isKilled) await coordinator.kill();
    field.fired('left-to-the-operator', 1, { killed: isKilled, refused: armed.fired() > 0 });
    await field.wait(field.random.int(5_000, 12_000));
    link.accept();
    for (const daemon of daemons) daemon.thaw();
    if (isKilled) coordinator.start();
  },
};

export const KILLS: readonly Fault[] = [killFault('coordinator', 1), killFault('daemon', 1)];
export const PROCESS_FAULTS: readonly Fault[] = [
  killFault('coordinator', 3),
  killFault('daemon', 2),
  killFault('operator', 1),
  freezeFault('coordinator', 2),
  freezeFault('daemon', 1),
  freezeFault('operator', 1),
  leftToTheOperator,
];
