/**
 * One run of the small world: a coordinator whose transaction has two branches and is being committed, and two
 * recoverers, over three servers. Between two steps everybody has run until nothing is left to do; then whoever explores
 * chooses the next step, or what goes wrong.
 *
 * A process and its servers meet only in messages, so that steps of different ones can be exchanged, and much need not be
 * tried in every order. What is left out, and why nothing is lost by it:
 *  - A process that waits for no request that is still under way is moved on at once (`#mover`): nobody else can tell
 *    when it reads what has come, nor can anything that others do change what it will read.
 *  - A message is lost, and a process is killed, right after the process has moved: until it moves again nothing
 *    that happens elsewhere makes a difference to that, and what it has sent arrives also when it is dead.
 *  - A server crashes right after a statement was carried out on it, or somebody has connected to it, for the same reason.
 *  - Time limits run out when nothing is under way, or when what is under way is late, which counts as lost. The clock
 *    of each process is its own.
 *  - That the heartbeats of the coordinator have been missing for too long shows in two statements of the log alone:
 *    each of them may be the first to find it so.
 */
import { CoordinatorActor, type Stage } from '../actors.ts';
import { Oracle } from '../oracle.ts';
import { SimulatedProcess } from '../process.ts';
import { Random } from '../random.ts';
import { Scheduler } from '../scheduler.ts';
import { accessOf, ANSWER, crashOf, NO_ACCESS, SILENCE, type Access } from './access.ts';
import { ChoiceNetwork, type ChoiceLink, type Loss } from './choice-link.ts';
import { History } from './history.ts';
import { Digest } from './digest.ts';
import { SmallRecoverer } from './small-recoverer.ts';
import { SmallServer } from './small-server.ts';

export interface Bounds {
  readonly crashes: number;
  readonly losses: number;
  readonly recoverers: number;
}

/** What happens next, in the words of the trace. */
export type Choice =
  | {
      readonly do: 'arrive' | 'arrive-without-heartbeat' | 'anew' | 'break-off';
      readonly link: number;
    }
  | { readonly do: 'read'; readonly link: number }
  | { readonly do: 'time'; readonly actor: number }
  | { readonly do: 'nothing' }
  | { readonly do: 'lose'; readonly how: Loss }
  | { readonly do: 'kill' }
  | { readonly do: 'crash' };

/** What may go wrong now, and not later. */
type Fate =
  | { readonly of: 'process'; readonly actor: Member }
  | { readonly of: 'server'; readonly server: SmallServer }
  | { readonly of: 'message'; readonly link: ChoiceLink };

interface Member {
  readonly process: SimulatedProcess;
  readonly history: History;
  /** Its program has nothing more to do. */
  readonly isThrough: () => boolean;
}

const INSTALLATION = 'c0ffee123456';
const PARTICIPANTS = ['orders', 'billing'];
const HEARTBEAT_LIMIT_MS = 3_600_000;
/** Later than this only the next heartbeat is due. */
const FAR_MS = 300_000;

/** The middle of everything: which retry comes first is the order of their limits. */
class Middle extends Random {
  override readonly next = (): number => 0.5;
}

export class SmallWorld {
  readonly oracle: Oracle;
  crashesLeft: number;
  lossesLeft: number;
  /** What went wrong in the last step. */
  struck: string | undefined;
  readonly #log: SmallServer;
  readonly #servers: SmallServer[];
  readonly #network: ChoiceNetwork;
  readonly #stage: Stage;
  readonly #members: Member[] = [];
  readonly #fates: Fate[] = [];
  /** Of this step: connections with a new request, and servers with a new connection. */
  readonly #sentOn = new Set<ChoiceLink>();
  readonly #connectedTo = new Set<SmallServer>();
  /** Of the last step: what it has touched, and who it was. */
  access: Access = NO_ACCESS;
  actor = -1;
  #isOpen = false;

  constructor(bounds: Bounds) {
    this.crashesLeft = bounds.crashes;
    this.lossesLeft = bounds.losses;
    this.#log = this.#server('log');
    const participants = PARTICIPANTS.map((name) => this.#server(name));
    this.#servers = [this.#log, ...participants];
    this.#network = new ChoiceNetwork(
      new Map(this.#servers.map((server) => [server.name, server])),
      {
        sent: (link, text, isRequest) => {
          this.#write(link, `< ${text}`);
          if (isRequest) this.#sentOn.add(link);
        },
        read: (link, text) => {
          this.#write(link, `> ${text}`);
        },
        opened: (link) => {
          this.#write(link, 'opened');
          this.#connectedTo.add(link.server);
        },
      },
    );
    this.oracle = new Oracle(
      this.#log,
      new Map(participants.map((server) => [server.name, server])),
      INSTALLATION,
    );
    this.#stage = {
      oracle: this.oracle,
      participants: PARTICIPANTS,
      heartbeatLimitMs: HEARTBEAT_LIMIT_MS,
      recovererLimitMs: HEARTBEAT_LIMIT_MS,
      lockTimeoutMs: 2_000,
      poolMax: 1,
      recoveryIntervalMs: 0,
      managersRecover: false,
    };
    this.#open(bounds.recoverers);
  }

  /** Everybody is connected, both branches have written, and nothing of the commit has arrived yet. */
  #open(recoverers: number): void {
    const process = this.#process('coordinator');
    const coordinator = new CoordinatorActor(process, this.#stage);
    this.#join(process, () => this.oracle.told[0]?.answer !== undefined);
    this.#drain([]);
    coordinator.run(TRANSACTION, 0);
    this.#drain(['prepare']);
    const all = Array.from({ length: recoverers }, (_, index) => {
      const own = this.#process(`recoverer${index}`);
      const recoverer = new SmallRecoverer(own, this.#stage);
      const member = this.#join(own, () => recoverer.isDone);
      this.#drain(['prepare']);
      return { recoverer, member };
    });
    this.#isOpen = true;
    for (const { history } of this.#members) history.begin('the commit');
    for (const { recoverer, member } of all) {
      recoverer.begin(() => {
        this.#forgetPast(member);
      });
      this.#drain(['prepare', 'list']);
    }
    this.#fates.length = 0;
    for (const member of this.#members) this.#expect(member, this.#network.links);
    for (const server of this.#servers) this.#fates.push({ of: 'server', server });
    this.#sentOn.clear();
    this.#connectedTo.clear();
  }

  /** What goes wrong now is being decided: between two steps. */
  get isDeciding(): boolean {
    return this.#fates.length > 0;
  }

  /** What may happen next; nothing when all has come to its end. */
  choices(): Choice[] {
    const fates = this.#fateChoices();
    if (fates.length > 0) return fates;
    const mover = this.#mover();
    if (mover !== undefined) return this.#ownChoices(mover);
    return [
      ...this.#network.links.flatMap((link, index) => this.#arrivals(link, index)),
      ...this.#members.flatMap((member) => this.#ownChoices(member)),
    ];
  }

  /** Nobody is asked what goes wrong where nothing more can. */
  #fateChoices(): Choice[] {
    for (let [fate] = this.#fates; fate !== undefined; [fate] = this.#fates) {
      const options = this.#optionsOf(fate);
      if (options.length > 0) return [{ do: 'nothing' }, ...options];
      this.#fates.shift();
    }
    return [];
  }

  #optionsOf(fate: Fate): Choice[] {
    switch (fate.of) {
      case 'process':
        return this.crashesLeft > 0 && this.#isAtWork(fate.actor) ? [{ do: 'kill' }] : [];
      case 'server':
        return this.crashesLeft > 0 && this.#isAnybodyAtWork() ? [{ do: 'crash' }] : [];
      case 'message': {
        const { link } = fate;
        if (this.lossesLeft === 0 || link.toServer.length === 0) return [];
        if (!link.owner.alive) return [{ do: 'lose', how: 'reset' }];
        if (link.deaf) return [];
        return (['reset', 'unheard', 'late'] as const).map((how) => ({ do: 'lose', how }));
      }
    }
  }

  /** Somebody who is not waiting for anything that has not arrived yet. */
  #mover(): Member | undefined {
    return this.#members.find((member) => {
      const own = this.#linksOf(member).filter((link) => link.isAwaited);
      if (own.some(({ late, toServer }) => late || toServer.length > 0)) return false;
      return this.#ownChoices(member).length > 0;
    });
  }

  #ownChoices(member: Member): Choice[] {
    if (!member.process.alive) return [];
    const reads = this.#network.links.flatMap((link, index): Choice[] =>
      link.owner === member.process && link.toClient.length > 0
        ? [{ do: 'read', link: index }]
        : [],
    );
    const waits = this.#linksOf(member).some((link) => link.isAwaited && !link.late);
    const { next } = member.process.scheduler;
    if (waits || next === undefined || next.at > FAR_MS) return reads;
    return [...reads, { do: 'time', actor: this.#members.indexOf(member) }];
  }

  #arrivals({ head, broken, late, deaf }: ChoiceLink, link: number): Choice[] {
    if (head === undefined) return [];
    if (broken !== 'no') {
      if (broken === 'in-transaction' || late || deaf) return [{ do: 'break-off', link }];
      return [
        { do: 'break-off', link },
        { do: 'anew', link },
      ];
    }
    const showsHeartbeat = head === 'epochs' || head === 'retire';
    if (!showsHeartbeat || this.#log.clockMs > 0) return [{ do: 'arrive', link }];
    return [
      { do: 'arrive', link },
      { do: 'arrive-without-heartbeat', link },
    ];
  }

  /** Whose step it is. What goes wrong is part of the step before it. */
  actorOf(choice: Choice): number {
    if ('actor' in choice) return choice.actor;
    if (!('link' in choice)) return this.actor;
    const { owner } = this.#linkAt(choice.link);
    return this.#members.findIndex(({ process }) => process === owner);
  }

  /** Where else the same state was reached, its recoverers may have changed places. */
  get ranks(): readonly number[] {
    const [, ...recoverers] = this.#members.map((member, index) => ({
      index,
      state: this.#anonymous(this.#stateOf(member)),
    }));
    recoverers.sort((a, b) => (a.state < b.state ? -1 : a.state > b.state ? 1 : a.index - b.index));
    return [0, ...recoverers.map(({ index }) => index)];
  }

  apply(choice: Choice): void {
    this.#sentOn.clear();
    this.#connectedTo.clear();
    this.access = NO_ACCESS;
    this.struck = undefined;
    if (this.#applyFate(choice)) return;
    this.#fates.length = 0;
    this.actor = this.actorOf(choice);
    const answer = this.oracle.told[0]?.answer;
    this.#applyStep(choice);
    if (this.oracle.told[0]?.answer !== answer) this.access |= ANSWER;
    this.#settle();
  }

  #applyStep(choice: Choice): void {
    switch (choice.do) {
      case 'read':
        this.#step(this.#linkAt(choice.link).owner, () => {
          this.#linkAt(choice.link).read();
        });
        break;
      case 'time':
        this.#passTime(choice.actor);
        break;
      case 'arrive-without-heartbeat':
        this.#log.jump(2 * HEARTBEAT_LIMIT_MS);
        this.access |= SILENCE;
        this.#arrive(this.#linkAt(choice.link));
        break;
      case 'break-off':
        this.#linkAt(choice.link).breakOff();
        this.#readAll();
        break;
      case 'anew':
        this.#linkAt(choice.link).connectAnew();
        this.#arrive(this.#linkAt(choice.link));
        break;
      case 'arrive':
        this.#arrive(this.#linkAt(choice.link));
        break;
      case 'nothing':
      case 'lose':
      case 'kill':
      case 'crash':
        throw new Error('what goes wrong is no step');
    }
  }

  #arrive(link: ChoiceLink): void {
    this.access |= accessOf(link.head ?? '', this.#participantOf(link.server));
    link.arrive();
    this.#fates.push({ of: 'server', server: link.server });
    this.#readAll();
  }

  /**
   * A reply is read when it has come, unless time matters: on which of two connections somebody reads first makes no
   * difference but to the order of a history.
   */
  #readAll(): void {
    this.#forced();
    if (History.exact) return;
    for (const member of this.#members) {
      const own = this.#linksOf(member);
      if (own.some(({ late }) => late)) continue;
      for (const link of own) {
        if (link.toClient.length > 0)
          this.#step(link.owner, () => {
            link.read();
          });
      }
    }
  }

  /** Undefined for the log. */
  #participantOf(server: SmallServer): number | undefined {
    const at = PARTICIPANTS.indexOf(server.name);
    return at === -1 ? undefined : at;
  }

  #applyFate(choice: Choice): boolean {
    switch (choice.do) {
      case 'nothing':
        this.#fateChoices();
        this.#fates.shift();
        return true;
      case 'lose':
      case 'kill':
      case 'crash':
        this.#fateChoices();
        this.#strike(choice);
        return true;
      default:
        return false;
    }
  }

  #passTime(actor: number): void {
    const member = this.#members[actor];
    if (member === undefined) throw new Error(`there is no actor ${actor}`);
    const { process, history } = member;
    history.passTime();
    this.#step(process, () => {
      process.scheduler.step();
    });
  }

  /** A process moves, and then all that happens without a choice. */
  #step(process: SimulatedProcess, move: () => void): void {
    move();
    this.#runSoon(process);
    this.#forced();
    const member = this.#members.find((one) => one.process === process);
    if (member !== undefined) this.#expect(member, [...this.#sentOn]);
    this.#sentOn.clear();
  }

  #settle(): void {
    this.#forced();
    for (const server of this.#connectedTo) {
      const isExpected = this.#fates.some((fate) => fate.of === 'server' && fate.server === server);
      if (!isExpected) this.#fates.push({ of: 'server', server });
    }
  }

  /** It has moved: it may be killed now, and what it has sent may be lost. */
  #expect(member: Member, links: readonly ChoiceLink[]): void {
    const isExpected = this.#fates.some((fate) => fate.of === 'process' && fate.actor === member);
    if (!isExpected) this.#fates.push({ of: 'process', actor: member });
    for (const link of links) {
      if (link.owner === member.process && link.toServer.length > 0) {
        this.#fates.push({ of: 'message', link });
      }
    }
  }

  #strike(choice: Extract<Choice, { do: 'lose' | 'kill' | 'crash' }>): void {
    const fate = this.#fates.shift();
    if (fate === undefined) throw new Error('nothing is to go wrong now');
    switch (fate.of) {
      case 'process':
        this.crashesLeft -= 1;
        this.struck = `kill ${fate.actor.process.name.replace(/\d/, '')}`;
        fate.actor.process.kill(true);
        break;
      case 'server':
        this.crashesLeft -= 1;
        this.struck = `crash ${fate.server === this.#log ? 'log' : 'participant'}`;
        this.access |= crashOf(this.#participantOf(fate.server));
        for (const link of this.#network.links) if (link.server === fate.server) link.crash();
        fate.server.crashAndRestart();
        break;
      case 'message':
        if (choice.do !== 'lose') throw new Error('a message can only be lost');
        this.lossesLeft -= 1;
        this.struck = `lose ${choice.how}`;
        fate.link.lose(choice.how);
    }
    this.#readAll();
    this.#settle();
  }

  /** The same value, the same future: see `digest.ts` for how sure that is. */
  get key(): number {
    const parts = this.#members.map((member) => this.#stateOf(member));
    const [coordinator = '', ...recoverers] = parts;
    // Who of two that are alike is the first makes no difference.
    const all = [coordinator, ...recoverers.sort(), ...this.#servers.map(({ state }) => state)];
    const [told] = this.oracle.told;
    const digest = new Digest();
    for (const part of all) digest.add(this.#anonymous(part));
    return digest.add(`${told?.answer ?? ''} ${this.oracle.violations.length}`).value;
  }

  #stateOf(member: Member): string {
    const links = this.#linksOf(member);
    if (!this.#isAtWork(member)) {
      const open = links.filter(({ isEmpty, holdsTransaction }) => !isEmpty || holdsTransaction);
      return `through ${open.map(({ state }) => state).join(';')}`;
    }
    const open = links.filter(({ deaf, isEmpty }) => !deaf || !isEmpty);
    return `${member.history.value} ${open.map(({ state }) => state).join(';')}`;
  }

  /** It may still do something by itself. */
  #isAtWork(member: Member): boolean {
    if (!member.process.alive) return false;
    if (!member.isThrough()) return true;
    return (
      this.#linksOf(member).some((link) => link.isAwaited) || this.#ownChoices(member).length > 0
    );
  }

  #isAnybodyAtWork(): boolean {
    return this.#members.some((member) => this.#isAtWork(member));
  }

  /** Ids are new in every run. */
  #anonymous(text: string): string {
    const id = this.oracle.told[0]?.id ?? '';
    if (id === '') return text;
    return text.replaceAll(id, 'id').replaceAll(id.replaceAll('-', ''), 'id');
  }

  #write({ owner, name }: ChoiceLink, what: string): void {
    if (!this.#isOpen) return;
    const member = this.#members.find(({ process }) => process === owner);
    member?.history.add(name, this.#anonymous(what));
  }

  /**
   * Between two passes a recoverer remembers nothing but its connections, unless something that it does not wait for
   * is still under way, or a time limit has run out on it.
   */
  #forgetPast(member: Member): void {
    const isIdle = this.#linksOf(member).every(({ isAwaited }) => !isAwaited);
    if (isIdle && !member.history.timePassed) member.history.begin('a pass');
  }

  #linksOf({ process }: Member): ChoiceLink[] {
    return this.#network.links.filter((link) => link.owner === process);
  }

  #linkAt(index: number): ChoiceLink {
    const link = this.#network.links[index];
    if (link === undefined) throw new Error(`there is no connection ${index}`);
    return link;
  }

  #forced(): void {
    for (let moved = true; moved;) {
      moved = false;
      for (const link of [...this.#network.links]) {
        const { forced } = link;
        if (forced === undefined) continue;
        moved = true;
        link[forced]();
        this.#runSoon(link.owner);
      }
    }
  }

  /** What the process has called for the next turn of its loop. */
  #runSoon({ scheduler }: SimulatedProcess): void {
    while (scheduler.next !== undefined && scheduler.next.at <= scheduler.now) scheduler.step();
  }

  /** Everything arrives in order, but for requests of these kinds. */
  #drain(except: readonly string[]): void {
    for (let moved = true; moved;) {
      moved = false;
      for (const link of [...this.#network.links]) {
        const { head } = link;
        if (link.toClient.length > 0) link.read();
        else if (head !== undefined && !except.includes(head)) {
          if (link.broken !== 'no') link.breakOff();
          else link.arrive();
        } else continue;
        moved = true;
        this.#runSoon(link.owner);
      }
    }
  }

  /**
   * All has come to its end. Whoever looks now, and there is always somebody in the end, has to leave nothing in doubt;
   * then everything is judged.
   */
  end(): void {
    // Broken on the way: this is not its end.
    if (this.oracle.violations.length > 0) return;
    const [told] = this.oracle.told;
    const [coordinator] = this.#members;
    if (told?.answer === undefined && coordinator?.process.alive === true) {
      this.oracle.violated('no-answer', 'the coordinator lives, and nothing is under way');
    }
    if (this.oracle.violations.length > 0) return;
    this.#log.jump(2 * HEARTBEAT_LIMIT_MS);
    const healer = new SmallRecoverer(this.#process('healer'), this.#stage);
    this.#drain([]);
    healer.begin(() => undefined);
    this.#drain([]);
    if (!healer.isDone) this.oracle.violated('no-answer', 'the last pass does not end');
    for (const { gid, participant } of this.oracle.inDoubt()) {
      this.oracle.violated('still-in-doubt', `${gid} on ${participant}`);
    }
    this.oracle.judgeEnd();
  }

  /** How it has ended: what the servers hold, and what the caller was told. */
  get outcome(): string {
    const [told] = this.oracle.told;
    const isThere = this.oracle.participants.get('orders')?.data.markers.has(told?.id ?? '');
    return `${isThere === true ? 'committed' : 'aborted'}, told ${told?.answer ?? 'nothing'}`;
  }

  describe(choice: Choice): string {
    switch (choice.do) {
      case 'arrive':
      case 'arrive-without-heartbeat':
      case 'anew':
      case 'break-off': {
        const link = this.#linkAt(choice.link);
        return `${link.process}: ${link.head ?? ''} on ${link.name} ${WORDS[choice.do]}`;
      }
      case 'read': {
        const link = this.#linkAt(choice.link);
        return `${link.process} reads from ${link.name}`;
      }
      case 'time':
        return `${this.#members[choice.actor]?.process.name ?? ''}: a time limit runs out`;
      case 'nothing':
        return '';
      case 'kill':
      case 'crash':
      case 'lose':
        return this.#describeFate(choice);
    }
  }

  #describeFate(choice: Choice): string {
    const [fate] = this.#fates;
    switch (fate?.of) {
      case 'process':
        return `FAULT ${fate.actor.process.name} is killed`;
      case 'server':
        return `FAULT ${fate.server.name} crashes and restarts`;
      case 'message': {
        const { process, head = '', name } = fate.link;
        return `FAULT ${process}: ${head} on ${name} is lost: ${'how' in choice ? choice.how : ''}`;
      }
      case undefined:
        return '';
    }
  }

  #process(name: string): SimulatedProcess {
    return new SimulatedProcess(name, new Scheduler(), new Middle(1), this.#network);
  }

  #join(process: SimulatedProcess, isThrough: () => boolean): Member {
    const member = { process, isThrough, history: new History() };
    this.#members.push(member);
    return member;
  }

  #server(name: string): SmallServer {
    return new SmallServer({
      name,
      databaseName: name === 'log' ? 'log' : 'app',
      systemIdentifier: `70000000000000${name.length}${name.charCodeAt(0)}`,
      replication: 'none',
      maxPrepared: 8,
      hidesWarnings: false,
      installation: name === 'log' ? INSTALLATION : undefined,
      scheduler: new Scheduler(),
      random: new Middle(1),
      observer: {
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
      },
    });
  }
}

const WORDS = {
  arrive: 'arrives',
  'arrive-without-heartbeat': 'arrives when the heartbeat has run out',
  anew: 'is sent anew: the client had noticed the crash',
  'break-off': 'meets no session',
} as const;

const TRANSACTION = {
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
