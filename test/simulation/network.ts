/**
 * The network between processes and servers. TCP as both ends see it: in one connection bytes come in order or
 * the connection is lost; between connections there is no order. What a connection had sent before it was lost may
 * still arrive, long after.
 */
import type { SimulatedProcess } from './process.ts';
import { kindOfUnit } from './postgres/statement.ts';
import type { Session, SessionLink } from './postgres/session.ts';
import type { SimulatedServer } from './postgres/server.ts';
import type { Random } from './random.ts';
import type { Scheduler } from './scheduler.ts';
import type { ClientEnd, Link, Network, WireMessage, WireUnit } from './wire.ts';

export interface NetworkOptions {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly servers: ReadonlyMap<string, SimulatedServer>;
  /** Latency of one way: shortest and longest, and how often it is ten times that. */
  readonly latencyMs: readonly [number, number];
  readonly slow: number;
  /** A detour leads astray also who has never met the right server: what it writes is written elsewhere then. */
  readonly detoursStrangers: boolean;
  /** A client is about to send. */
  readonly sending: (link: SimulatedLink, kind: string) => void;
}

/** How a connection is lost. */
export type Cut =
  /** At once, on both sides; what was under way is lost. */
  | 'reset'
  /** The client sees the end; what it had sent still arrives, and its replies go nowhere. */
  | 'reply-lost'
  /** Nobody is told. */
  | 'silence';

/** After this long the system of a server notices that a client is gone without a word. */
const KEEPALIVE_MS = 12_000;

export class SimulatedNetwork implements Network {
  readonly options: NetworkOptions;
  readonly links = new Set<SimulatedLink>();
  /** Names that lead to another server now, for whoever has met the right one before. */
  readonly detours = new Map<string, string>();
  /** `program server`: has looked at it, and registered it. */
  readonly acquainted = new Set<string>();
  /** Names whose new connections land on the standby now. */
  readonly toStandby = new Set<string>();
  readonly #clogged = new Map<string, number>();
  /** By `process server`: what was sent, and waits until it is released. */
  readonly #held = new Map<string, (() => void)[]>();

  constructor(options: NetworkOptions) {
    this.options = options;
  }

  open(process: SimulatedProcess, client: ClientEnd, host: string): Link {
    const isLed =
      this.options.detoursStrangers || this.acquainted.has(`${programOf(process)} ${host}`);
    const detour = isLed ? this.detours.get(host) : undefined;
    const server = this.options.servers.get(detour ?? host);
    if (server === undefined) throw new Error(`no server is called ${host}`);
    const link = new SimulatedLink(this, process, client, server);
    this.links.add(link);
    link.open(this.toStandby.has(host) && server.hasStandby);
    return link;
  }

  latency(): number {
    const { random, latencyMs, slow } = this.options;
    const ms = random.between(latencyMs[0], latencyMs[1]);
    return random.chance(slow) ? ms * 10 : ms;
  }

  /** Nothing gets through between the two until then; what is sent waits. */
  clog(process: string, server: string, ms: number): void {
    this.#clogged.set(`${process} ${server}`, this.options.scheduler.now + ms);
  }

  clogEnd(process: string, server: string): number {
    return this.#clogged.size === 0 ? 0 : (this.#clogged.get(`${process} ${server}`) ?? 0);
  }

  /** Connections of a process that are lost, and of which it has not heard: whoever uses one first waits in vain. */
  lostUnheard(process: string): number {
    let lost = 0;
    for (const link of this.links) if (link.process === process && link.isLost) lost += 1;
    return lost;
  }

  /** From here on nothing of the process gets through to the server; what comes back does. */
  hold(process: string, server: string): void {
    const key = `${process} ${server}`;
    if (!this.#held.has(key)) this.#held.set(key, []);
  }

  release(process: string, server: string): void {
    const key = `${process} ${server}`;
    const held = this.#held.get(key) ?? [];
    this.#held.delete(key);
    for (const send of held) send();
  }

  /** Where to put what is sent while the process is held. */
  heldOf(process: string, server: string): (() => void)[] | undefined {
    return this.#held.size === 0 ? undefined : this.#held.get(`${process} ${server}`);
  }

  /** All is well from here on; connections that are lost stay lost. */
  heal(): void {
    this.#clogged.clear();
    for (const key of [...this.#held.keys()]) {
      const [process = '', server = ''] = key.split(' ');
      this.release(process, server);
    }
    this.detours.clear();
    this.toStandby.clear();
  }
}

/** A manager that is made anew in the same process has met nobody yet. */
function programOf({ name, beginnings }: SimulatedProcess): string {
  return `${name}/${beginnings}`;
}

export class SimulatedLink implements Link, SessionLink {
  readonly process: string;
  readonly program: string;
  readonly server: SimulatedServer;
  session: Session | undefined;
  lastUnit: WireUnit | undefined;
  readonly #network: SimulatedNetwork;
  readonly #client: ClientEnd;
  /** Names whose registration is not answered yet. */
  readonly #met: string[] = [];
  /** Nothing arrives at the client any more. */
  #deaf = false;
  /** Nothing arrives at the server any more. */
  #mute = false;
  #serverFree = 0;
  #clientFree = 0;

  constructor(
    network: SimulatedNetwork,
    process: SimulatedProcess,
    client: ClientEnd,
    server: SimulatedServer,
  ) {
    this.#network = network;
    this.process = process.name;
    this.program = programOf(process);
    this.#client = client;
    this.server = server;
  }

  /** The log has the server that this program found behind a name; the program knows once it has the answer. */
  meets(participant: string): void {
    this.#met.push(participant);
  }

  /** Nothing that is sent is answered any more. */
  get isLost(): boolean {
    return this.#mute || this.session?.gone === true;
  }

  open(onStandby: boolean): void {
    this.#toServer(() => {
      if (!this.server.up) {
        this.#refuse('ECONNREFUSED');
        return;
      }
      this.server.accept(() => {
        this.session = this.server.connect(this, onStandby);
        this.answer([
          ['backendKeyData', { processID: this.session.pid, secretKey: 0 }],
          ['readyForQuery', { status: 'I' }],
        ]);
      });
    });
  }

  send(unit: WireUnit): void {
    this.lastUnit = unit;
    this.#network.options.sending(this, (unit.kind ??= kindOfUnit(unit)));
    this.#toServer(() => {
      if (!this.server.up) return;
      this.server.accept(() => {
        const { session } = this;
        // A session that has ended answers with a reset.
        if (session === undefined || session.gone) this.#refuse('ECONNRESET');
        else session.receive(unit);
      });
    });
  }

  /** The client closes; the news comes behind all that it has sent. */
  close(noticed: boolean): void {
    this.#deaf = true;
    this.#network.links.delete(this);
    const tell = (): void => {
      this.session?.clientGone();
    };
    if (noticed) this.#toServer(tell);
    else this.#network.options.scheduler.after(KEEPALIVE_MS, tell);
  }

  answer(messages: readonly WireMessage[]): void {
    const met = this.#met.splice(0);
    this.#toClient(() => {
      for (const name of met) this.#network.acquainted.add(`${this.program} ${name}`);
      this.#client.receive(messages);
    });
  }

  shut(noticed: boolean): void {
    if (noticed) this.#refuse(undefined);
  }

  cut(how: Cut): void {
    const { scheduler } = this.#network.options;
    const end = (): void => {
      this.session?.clientGone();
    };
    switch (how) {
      case 'reset':
        this.#mute = true;
        this.#refuse('ECONNRESET', true);
        scheduler.after(this.#network.latency(), end);
        break;
      case 'reply-lost':
        this.#refuse('ECONNRESET', true);
        this.#toServer(end);
        break;
      case 'silence':
        this.#mute = true;
        scheduler.after(KEEPALIVE_MS, end);
        break;
    }
    this.#deaf = true;
  }

  #refuse(code: string | undefined, atOnce = false): void {
    const error =
      code === undefined ? undefined : Object.assign(new Error(`read ${code}`), { code });
    const tell = (): void => {
      this.#network.links.delete(this);
      this.#client.lose(error);
    };
    if (atOnce) this.#network.options.scheduler.after(0, tell);
    else this.#toClient(tell);
  }

  #toServer(arrive: () => void): void {
    if (this.#mute) return;
    const held = this.#network.heldOf(this.process, this.server.name);
    if (held !== undefined) {
      held.push(() => {
        this.#toServer(arrive);
      });
      return;
    }
    this.#serverFree = this.#arrival(this.#serverFree);
    const { scheduler } = this.#network.options;
    scheduler.after(this.#serverFree - scheduler.now, () => {
      if (!this.#mute) arrive();
    });
  }

  #toClient(arrive: () => void): void {
    if (this.#deaf) return;
    this.#clientFree = this.#arrival(this.#clientFree);
    const { scheduler } = this.#network.options;
    scheduler.after(this.#clientFree - scheduler.now, () => {
      if (!this.#deaf) arrive();
    });
  }

  #arrival(earliest: number): number {
    const { now } = this.#network.options.scheduler;
    const clogged = this.#network.clogEnd(this.process, this.server.name);
    return Math.max(now, earliest, clogged) + this.#network.latency();
  }
}
