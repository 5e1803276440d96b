/** Who and what is in a small world, and what happens there when nobody has a choice. */
import type { Stage } from '../actors.ts';
import { Oracle } from '../oracle.ts';
import type { ServerObserver } from '../postgres/server.ts';
import { SimulatedProcess } from '../process.ts';
import { Random } from '../random.ts';
import { Scheduler } from '../scheduler.ts';
import { ChoiceNetwork, type ChoiceLink } from './choice-link.ts';
import { SmallServer } from './small-server.ts';

export interface Member {
  readonly process: SimulatedProcess;
  /** Its program has nothing more to do. */
  readonly isThrough: () => boolean;
}

export const INSTALLATION = 'c0ffee123456';
export const PARTICIPANTS = ['orders', 'billing'];
export const LOG = 'log';
export const HEARTBEAT_LIMIT_MS = 3_600_000;

/** The middle of everything: which retry comes first is the order of their limits. */
export class Middle extends Random {
  override readonly next = (): number => 0.5;
}

export class Setting {
  readonly oracle: Oracle;
  readonly log: SmallServer;
  readonly servers: readonly SmallServer[];
  readonly network: ChoiceNetwork;
  readonly stage: Stage;
  readonly members: Member[] = [];
  /** Of this step: connections with a new request, and servers with a new connection. */
  readonly sentOn = new Set<ChoiceLink>();
  readonly connectedTo = new Set<SmallServer>();

  constructor() {
    this.log = this.#server(LOG);
    const participants = PARTICIPANTS.map((name) => this.#server(name));
    this.servers = [this.log, ...participants];
    this.network = new ChoiceNetwork(new Map(this.servers.map((server) => [server.name, server])), {
      sent: (link) => {
        this.sentOn.add(link);
      },
      opened: (link) => {
        this.connectedTo.add(link.server);
      },
    });
    this.oracle = new Oracle(
      this.log,
      new Map(participants.map((server) => [server.name, server])),
      INSTALLATION,
    );
    this.stage = stageOf(this.oracle);
  }

  process(name: string): SimulatedProcess {
    return new SimulatedProcess(name, new Scheduler(), new Middle(1), this.network);
  }

  join(process: SimulatedProcess, isThrough: () => boolean): Member {
    const member = { process, isThrough };
    this.members.push(member);
    return member;
  }

  linksOf({ process }: Member): ChoiceLink[] {
    return this.network.links.filter((link) => link.owner === process);
  }

  linkAt(index: number): ChoiceLink {
    const link = this.network.links[index];
    if (link === undefined) throw new Error(`there is no connection ${index}`);
    return link;
  }

  forced(): void {
    for (let moved = true; moved;) {
      moved = false;
      for (const link of [...this.network.links]) {
        const { forced } = link;
        if (forced === undefined) continue;
        moved = true;
        link[forced]();
        this.runSoon(link.owner);
      }
    }
  }

  /** What the process has called for the next turn of its loop. */
  runSoon({ scheduler }: SimulatedProcess): void {
    while (scheduler.next !== undefined && scheduler.next.at <= scheduler.now) scheduler.step();
  }

  /** Everything arrives in order, but for requests of these kinds. */
  drain(except: readonly string[]): void {
    for (let moved = true; moved;) {
      moved = false;
      for (const link of [...this.network.links]) {
        const { head } = link;
        if (link.toClient.length > 0) link.read();
        else if (head !== undefined && !except.includes(head)) {
          if (link.broken !== 'no') link.breakOff();
          else link.arrive();
        } else continue;
        moved = true;
        this.runSoon(link.owner);
      }
    }
  }

  #server(name: string): SmallServer {
    return smallServer(name, {
      at: () => undefined,
      meeting: () => undefined,
      finishing: (server, session, gid, decision) => {
        this.oracle.finishing(server, session, gid, decision);
      },
      registering: (epoch) => {
        this.oracle.plantCanaries(epoch);
      },
      decidedLate: (epoch) => {
        this.oracle.violated('decided-after-retirement', `epoch ${epoch}`);
      },
      deciding: (session, transactionId, outcome, branches) => {
        this.oracle.deciding(session, transactionId, outcome, branches);
      },
    });
  }
}

export function stageOf(oracle: Oracle): Stage {
  return {
    oracle,
    participants: PARTICIPANTS,
    heartbeatLimitMs: HEARTBEAT_LIMIT_MS,
    recovererLimitMs: HEARTBEAT_LIMIT_MS,
    lockTimeoutMs: 2_000,
    poolMax: 1,
    recoveryIntervalMs: 0,
    managersRecover: false,
  };
}

export function smallServer(name: string, observer: ServerObserver): SmallServer {
  return new SmallServer({
    name,
    databaseName: name === LOG ? 'log' : 'app',
    systemIdentifier: `70000000000000${name.length}${name.charCodeAt(0)}`,
    replication: 'none',
    maxPrepared: 8,
    hidesWarnings: false,
    installation: name === LOG ? INSTALLATION : undefined,
    scheduler: new Scheduler(),
    random: new Middle(1),
    observer,
  });
}

/** Writes in both branches. */
export const TRANSACTION = {
  coordinator: 0,
  atMs: 0,
  writes: [0, 1],
  reads: undefined,
  account: 1,
  timeoutMs: 5_000,
  thinkMs: 0,
  idempotencyKey: undefined,
  throws: false,
} as const;
