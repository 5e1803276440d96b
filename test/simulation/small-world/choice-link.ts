/**
 * The network of the small world: nothing arrives by itself. A connection is two queues, and whoever explores says
 * which of them moves next.
 *
 * What is one step here:
 *  - A request reaches its server, which carries it out, flushes it and answers. Between its arrival and its flush a
 *    statement holds locks and shows nothing: whoever waits for them comes as if it had come later.
 *  - Connecting, and the statements that set a session up, belong to the request for whose sake they are sent: they
 *    change nothing outside of their session.
 *  - All replies that have come on one connection are read at once, each in its own turn of the event loop.
 */
import type { SimulatedProcess } from '../process.ts';
import type { Session, SessionLink } from '../postgres/session.ts';
import { kindOfUnit } from '../postgres/statement.ts';
import type { ClientEnd, Link, Network, WireMessage, WireUnit } from '../wire.ts';
import type { SmallServer } from './small-server.ts';

/** Who is told of what goes on. */
export interface Witness {
  /** More than what sets a session up. */
  sent(link: ChoiceLink): void;
  opened(link: ChoiceLink): void;
}

/** How a message is lost. A reply that is lost is the same as a request that nobody hears of. */
export type Loss =
  /** The request never arrives, and the client is told that its connection is lost. */
  | 'reset'
  /** The client is told the same, and the request still arrives. */
  | 'unheard'
  /** Request and reply arrive later than any time limit. */
  | 'late';

type ToServer = { readonly unit: WireUnit; readonly kind: string } | 'fin';
type ToClient = readonly WireMessage[] | 'end' | 'reset';

/**
 * Statements that change nothing but their session, sent before or behind the one that is meant. Among them the
 * barrier: without a standby it proves nothing.
 */
export const SET_UP = new Set([
  'set-path',
  'set-up',
  'show-warnings',
  'facts',
  'lock-epoch',
  'barrier',
]);

export class ChoiceNetwork implements Network {
  readonly links: ChoiceLink[] = [];
  readonly #servers: ReadonlyMap<string, SmallServer>;
  readonly #witness: Witness;

  constructor(servers: ReadonlyMap<string, SmallServer>, witness: Witness) {
    this.#servers = servers;
    this.#witness = witness;
  }

  open(process: SimulatedProcess, client: ClientEnd, host: string): Link {
    const server = this.#servers.get(host);
    if (server === undefined) throw new Error(`no server is called ${host}`);
    const own = this.links.filter((link) => link.owner === process);
    const link = new ChoiceLink(this.#witness, process, client, server, own.length);
    this.links.push(link);
    link.open();
    this.#witness.opened(link);
    return link;
  }
}

export class ChoiceLink implements Link, SessionLink {
  readonly owner: SimulatedProcess;
  readonly server: SmallServer;
  /** Among those of its process. */
  readonly ordinal: number;
  readonly toServer: ToServer[] = [];
  readonly toClient: ToClient[] = [];
  session: Session | undefined;
  /** The client has closed it, or knows that it is lost. */
  deaf = false;
  /**
   * Its server has crashed since. The client learns of it when it uses it; or it has learned of it before, and has
   * connected anew: not from within a transaction.
   */
  broken: 'no' | 'idle' | 'in-transaction' = 'no';
  /** What is under way on it is slower than any time limit. */
  late = false;
  /** What the server answers from now on is lost. */
  #unheard = false;
  #inUse = false;
  readonly #client: ClientEnd;
  readonly #witness: Witness;

  constructor(
    witness: Witness,
    owner: SimulatedProcess,
    client: ClientEnd,
    server: SmallServer,
    ordinal: number,
  ) {
    this.#witness = witness;
    this.owner = owner;
    this.#client = client;
    this.server = server;
    this.ordinal = ordinal;
  }

  get process(): string {
    return this.owner.name;
  }

  /** Without its process: two recoverers that have done the same are the same. */
  get name(): string {
    return `${this.server.name}${this.ordinal}`;
  }

  /** Kind of the next request. */
  get head(): string | undefined {
    const [head] = this.toServer;
    return typeof head === 'object' ? head.kind : head;
  }

  get isEmpty(): boolean {
    return this.toServer.length + this.toClient.length === 0;
  }

  /** The client waits for something on it. */
  get isAwaited(): boolean {
    return !this.deaf && !this.isEmpty;
  }

  get holdsTransaction(): boolean {
    return this.session !== undefined && !this.session.gone && this.session.status !== 'I';
  }

  /** What happens without a choice, since it does not matter to anybody when it does. */
  get forced(): 'arrive' | 'read' | undefined {
    const { head } = this;
    if (head === 'fin') return this.holdsTransaction ? undefined : 'arrive';
    if (this.late || this.broken !== 'no') return undefined;
    if (head !== undefined) return SET_UP.has(head) ? 'arrive' : undefined;
    return !this.#inUse && this.toClient.length > 0 ? 'read' : undefined;
  }

  open(): void {
    this.session = this.server.connect(this);
    const { pid: processID } = this.session;
    this.toClient.push([
      ['backendKeyData', { processID, secretKey: 0 }],
      ['readyForQuery', { status: 'I' }],
    ]);
  }

  send(unit: WireUnit): void {
    const kind = (unit.kind ??= kindOfUnit(unit));
    const isRequest = !SET_UP.has(kind);
    this.#inUse ||= isRequest;
    this.toServer.push({ unit, kind });
    if (isRequest) this.#witness.sent(this);
  }

  close(): void {
    if (this.deaf) return;
    this.#turnDeaf();
  }

  answer(messages: readonly WireMessage[]): void {
    if (!this.deaf && !this.#unheard) this.toClient.push(messages);
  }

  /** `noticed` false: its machine has crashed, see `broken`. */
  shut(noticed: boolean): void {
    if (noticed && !this.deaf && !this.#unheard) this.toClient.push('end');
  }

  /** The first of the requests arrives. */
  arrive(): void {
    const head = this.toServer.shift();
    if (head === undefined) throw new Error(`nothing arrives on ${this.name}`);
    if (head === 'fin') this.session?.clientGone();
    else if (this.session === undefined || this.session.gone) this.#tellLoss();
    else this.session.receive(head.unit);
    this.server.settle();
    if (this.session?.gone === false && this.session.active) {
      throw new Error(`a statement of ${this.process} waits: every statement is one step here`);
    }
  }

  /** What has come is read. */
  read(): void {
    this.late = false;
    for (const chunk of this.toClient.splice(0)) {
      if (typeof chunk !== 'string') this.#client.receive(chunk);
      else if (!this.deaf) {
        this.#turnDeaf();
        this.#client.lose(chunk === 'end' ? undefined : resetError());
      }
    }
  }

  /** The server crashes: this is about its session. What is under way stays where it is. */
  crash(): void {
    if (this.broken === 'no') this.broken = this.holdsTransaction ? 'in-transaction' : 'idle';
    if (this.deaf) this.toServer.length = 0;
  }

  /** The client uses a connection that its server knows nothing of any more. */
  breakOff(): void {
    this.toServer.length = 0;
    this.broken = 'no';
    this.session = undefined;
    this.#tellLoss();
  }

  /** The client had noticed the crash before it sent this, and had connected anew. */
  connectAnew(): void {
    const before = this.session;
    this.session = this.server.connect(this);
    if (before !== undefined) {
      Object.assign(this.session.sessionSettings, before.sessionSettings);
      this.session.resetLocal();
    }
    this.broken = 'no';
  }

  lose(how: Loss): void {
    if (how === 'late') {
      this.late = true;
      return;
    }
    if (how === 'reset') this.toServer.length = 0;
    if (this.toServer.at(-1) !== 'fin') this.toServer.push('fin');
    this.#tellLoss();
  }

  #tellLoss(): void {
    if (this.deaf || this.#unheard) return;
    this.toClient.push('reset');
    this.#unheard = true;
  }

  #turnDeaf(): void {
    this.deaf = true;
    this.late = false;
    this.toClient.length = 0;
    if (this.broken !== 'no') this.toServer.length = 0;
    else if (this.toServer.at(-1) !== 'fin') this.toServer.push('fin');
  }
}

function resetError(): Error {
  return Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
}
