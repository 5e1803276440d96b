/** Faults of the network: single messages, and whole links. */
import { REQUEST_KINDS, type RequestKind } from '../support/wire-messages.ts';
import {
  WIRE_ACTIONS,
  type Silence,
  type WireAction,
  type WireProxy,
} from '../support/wire-proxy.ts';
import type { Fault, Field } from './nemesis.ts';

/** How long a rule waits for a message of its kind. */
const RULE_MS = 2_500;

/** Requests that carry the protocol; the others are drawn less often. */
const TELLING: readonly RequestKind[] = [
  'vote', 'vote', 'vote', 'decide', 'decide', 'decide',
  'finish-commit', 'finish-commit', 'finish-commit',
  'finish-rollback', 'commit', 'settle', 'heartbeat', 'list', 'xact-status', 'read-decisions',
]; // prettier-ignore

/** The n-th message of a kind on one link of one worker. */
function messageFault(action: WireAction): Fault {
  const name = `message-${action}`;
  return {
    name,
    weight: 3,
    claim: () => [],
    run: async (field) => {
      const { random } = field;
      const kind = random.chance(0.8) ? random.pick(TELLING) : random.pick(REQUEST_KINDS);
      const { link, where } = drawLink(field, kind);
      let report = (): void => undefined;
      const happened = new Promise<void>((resolve) => {
        report = resolve;
      });
      const holdMs = random.int(1, random.chance(0.3) ? 6_000 : 400);
      const armed = link.arm({ kind, nth: random.int(1, 5), action, holdMs, onFired: report });
      await Promise.race([happened, field.wait(RULE_MS)]);
      armed.disarm();
      if (armed.fired() > 0) field.fired(name, armed.fired(), { kind, where });
      // A connection that lost bytes stays silent for a while; then TCP itself would give it up.
      if (armed.fired() > 0 && action.startsWith('drop')) {
        await field.wait(random.int(100, 4_000));
        link.cutAll();
      }
    },
  };
}

function drawLink(field: Field, kind?: RequestKind): { link: WireProxy; where: string } {
  const { random, workers } = field;
  const ofLog: readonly RequestKind[] = [
    'decide',
    'settle',
    'heartbeat',
    'read-decisions',
    'retire',
  ];
  const worker = random.pick(workers);
  const names = [...worker.links.keys()];
  const name = kind !== undefined && ofLog.includes(kind) ? 'log' : random.pick(names);
  const link = worker.links.get(name);
  if (link === undefined) throw new Error(`no link to ${name}`);
  return { link, where: `${worker.name} to ${name}` };
}

const cutLink: Fault = {
  name: 'link-cut',
  weight: 3,
  claim: () => [],
  run: async (field) => {
    const { link, where } = drawLink(field);
    const connections = link.cutAll();
    if (connections > 0) field.fired('link-cut', 1, { where, connections });
  },
};

const refuseLink: Fault = {
  name: 'link-refused',
  weight: 2,
  claim: () => [],
  run: async (field) => {
    const { link, where } = drawLink(field);
    const ms = field.random.int(50, 3_000);
    link.refuse();
    field.fired('link-refused', 1, { where, ms });
    await field.wait(ms);
    link.accept();
  },
};

/** A black hole without a reset, in one direction or in both. */
function silentLink(way: Exclude<Silence, 'none'>): Fault {
  const name = `link-silent-${way}`;
  return {
    name,
    weight: 1,
    claim: () => [],
    run: async (field) => {
      const { link, where } = drawLink(field);
      const ms = field.random.int(50, field.random.chance(0.2) ? 7_000 : 1_500);
      link.silence(way);
      field.fired(name, 1, { where, ms });
      await field.wait(ms);
      link.heal();
    },
  };
}

/** Every worker loses the log at once. */
const logAway: Fault = {
  name: 'log-unreachable-for-all',
  weight: 2,
  claim: () => ['server log'],
  run: async (field) => {
    const ms = field.random.int(100, field.random.chance(0.4) ? 8_000 : 1_500);
    const links = field.workers.flatMap(({ links: all }) => all.get('log') ?? []);
    for (const link of links) link.refuse();
    field.fired('log-unreachable-for-all', 1, { ms });
    await field.wait(ms);
    for (const link of links) link.accept();
  },
};

export const NETWORK_FAULTS: readonly Fault[] = [
  ...WIRE_ACTIONS.map(messageFault),
  cutLink,
  refuseLink,
  silentLink('requests'),
  silentLink('replies'),
  silentLink('both'),
  logAway,
];
