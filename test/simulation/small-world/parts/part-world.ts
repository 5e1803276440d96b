/**
 * The small world as nothing than data: for everybody the state that he is in, and what is under way. What a step does
 * is looked up in what was learned of the parts (`process-part.ts`, `server-part.ts`). The same choices in the same order
 * as in `small-world.ts`, where whole processes and servers run: a test goes the same ways in both.
 */
import type { Answer } from '../../oracle.ts';
import type { Bounds, Choice } from '../choice.ts';
import { HEARTBEAT_LIMIT_MS } from '../setting.ts';
import type { Broken } from './judge.ts';
import { PartFates, type Fate } from './part-fates.ts';
import { PartLink } from './part-link.ts';
import { judgeAnswer, judgeFinish, judgeVotes } from './part-oracle.ts';
import { nextSteps } from './part-steps.ts';
import { HOSTS, type Parts } from './parts.ts';
import type { ProcessEffect, ProcessInput, ProcessNode } from './process-part.ts';
import type { ServerEffect, ServerInput, ServerNode } from './server-part.ts';
import { NEW_SETTINGS } from './server-run.ts';
import { END, FIN, greetingOf, kindAt, RESET } from './words.ts';

/** Everything that may change. */
export interface PartState {
  /** Undefined: killed. */
  readonly members: readonly (ProcessNode | undefined)[];
  readonly servers: readonly ServerNode[];
  readonly links: readonly PartLink[];
  readonly answer: Answer | undefined;
  readonly fates: readonly Fate[];
  readonly crashesLeft: number;
  readonly lossesLeft: number;
}

export class PartWorld {
  readonly parts: Parts;
  members: (ProcessNode | undefined)[] = [];
  servers: ServerNode[];
  links: PartLink[] = [];
  answer: Answer | undefined;
  readonly fates: PartFates;
  broken: Broken[] = [];
  /** Of this step: connections with a new request, and servers with a new connection. */
  readonly #sentOn = new Set<number>();
  readonly #connectedTo = new Set<number>();

  readonly #readsAreSteps: boolean;

  /** `readsAreSteps`: as in `SmallWorld`. */
  constructor(parts: Parts, bounds: Bounds, readsAreSteps = false) {
    this.parts = parts;
    this.#readsAreSteps = readsAreSteps;
    this.servers = parts.servers.map((part) => part.birth());
    this.fates = new PartFates(this, bounds);
    this.#open(bounds.recoverers);
  }

  /** As `SmallWorld` does it. */
  #open(recoverers: number): void {
    this.join();
    this.drain([]);
    this.move(0, { do: 'begin' });
    this.drain(['prepare']);
    for (let member = 1; member <= recoverers; member += 1) {
      this.join();
      this.drain(['prepare']);
    }
    for (const member of this.members.keys()) this.move(member, { do: 'remember' });
    for (let member = 1; member <= recoverers; member += 1) {
      this.move(member, { do: 'begin' });
      this.drain(['prepare', 'list']);
    }
    this.fates.clear();
    for (const member of this.members.keys()) this.fates.expect(member, [...this.links.keys()]);
    for (const server of this.servers.keys()) this.fates.expectOf(server);
    this.#sentOn.clear();
    this.#connectedTo.clear();
  }

  join(): number {
    const member = this.members.length;
    const { to, effects } = this.parts.of(member).birth();
    this.members.push(to);
    this.#carryOut(member, effects);
    return member;
  }

  choices(): Choice[] {
    const fates = this.fates.choices();
    return fates.length > 0 ? fates : nextSteps(this);
  }

  apply(choice: Choice): void {
    this.#sentOn.clear();
    this.#connectedTo.clear();
    this.fates.struck = undefined;
    switch (choice.do) {
      case 'nothing':
        this.fates.spare();
        return;
      case 'lose':
      case 'kill':
      case 'crash':
        this.fates.strike(choice);
        this.#readAll();
        break;
      default:
        this.fates.clear();
        this.#applyStep(choice);
    }
    this.forced();
    for (const server of this.#connectedTo) this.fates.expectOnceOf(server);
  }

  #applyStep(choice: Choice): void {
    switch (choice.do) {
      case 'read':
        this.#readAndSettle(choice.link);
        break;
      case 'time':
        this.move(choice.actor, { do: 'time' });
        this.#settled(choice.actor);
        break;
      case 'arrive-without-heartbeat':
        this.serve(0, { do: 'jump', ms: 2 * HEARTBEAT_LIMIT_MS });
        this.#arriveAndRead(choice.link);
        break;
      case 'break-off':
        this.#breakOff(choice.link);
        this.#readAll();
        break;
      case 'anew':
        this.#connectAnew(choice.link);
        this.#arriveAndRead(choice.link);
        break;
      case 'arrive':
        this.#arriveAndRead(choice.link);
        break;
      default:
        throw new Error('what goes wrong is no step');
    }
  }

  #arriveAndRead(at: number): void {
    this.#arrive(at);
    this.fates.expectOf(this.link(at).server);
    this.#readAll();
  }

  link(at: number): PartLink {
    const link = this.links[at];
    if (link === undefined) throw new Error(`there is no connection ${at}`);
    return link;
  }

  /** One that may be changed. */
  edit(at: number): PartLink {
    const link = this.link(at);
    if (!link.isShared) return link;
    const copy = link.copy();
    this.links[at] = copy;
    return copy;
  }

  node(member: number): ProcessNode | undefined {
    return this.members[member];
  }

  isBusy({ owner, slot, server, hasSession }: PartLink): boolean {
    return owner === 0 && hasSession && this.servers[server]?.sessions.get(slot) === true;
  }

  #isGone({ owner, slot, server, hasSession }: PartLink): boolean {
    return !hasSession || (owner === 0 && this.servers[server]?.sessions.has(slot) !== true);
  }

  serve(server: number, input: ServerInput): readonly ServerEffect[] {
    const [part, node] = [this.parts.servers[server], this.servers[server]];
    if (part === undefined || node === undefined) throw new Error(`there is no server ${server}`);
    const step = part.step(node, input);
    this.servers[server] = step.to;
    return step.effects;
  }

  move(member: number, input: ProcessInput): void {
    const node = this.members[member];
    if (node === undefined) throw new Error(`${member} is dead`);
    const { to, effects } = this.parts.of(member).step(node, input);
    this.members[member] = to;
    this.#carryOut(member, effects);
  }

  #carryOut(member: number, effects: readonly ProcessEffect[]): void {
    for (const effect of effects) {
      switch (effect.do) {
        case 'open':
          this.#connect(member, effect.slot, HOSTS.indexOf(effect.host));
          break;
        case 'send': {
          const at = this.#ownLink(member, effect.slot);
          if (this.edit(at).send(effect.request)) this.#sentOn.add(at);
          break;
        }
        case 'close':
          this.edit(this.#ownLink(member, effect.slot)).turnDeaf();
          break;
        case 'tell':
          this.answer = effect.answer;
          judgeAnswer(this, effect.pending);
          break;
        case 'violate':
          this.broken.push({ kind: effect.kind, message: effect.message });
      }
    }
  }

  /** The one that the process still listens to. */
  #ownLink(member: number, slot: number): number {
    const at = this.links.findIndex(
      (link) => link.owner === member && link.slot === slot && !link.isDeaf,
    );
    if (at === -1) throw new Error(`${member} has no connection ${slot}`);
    return at;
  }

  #connect(member: number, slot: number, server: number): void {
    const at = this.links.push(new PartLink(member, slot, server, NEW_SETTINGS)) - 1;
    if (member === 0) this.#hear(at, this.serve(server, { do: 'connect', slot }));
    else this.edit(at).answer(greetingOf(slot));
    this.#connectedTo.add(server);
  }

  #arrive(at: number): void {
    const link = this.edit(at);
    const [head, ...rest] = link.toServer;
    if (head === undefined) throw new Error(`nothing arrives on ${at}`);
    link.toServer = rest;
    const { server, slot, settings } = link;
    const isCoordinators = link.owner === 0;
    if (head === FIN) {
      if (isCoordinators && !this.#isGone(link))
        this.#hear(at, this.serve(server, { do: 'fin', slot }));
      link.hasSession = false;
    } else if (this.#isGone(link)) link.tellLoss(RESET);
    else {
      const of = isCoordinators ? slot : undefined;
      this.#hear(at, this.serve(server, { do: 'request', slot: of, request: head, settings }));
    }
  }

  /** `at`: whose request it was. */
  #hear(at: number, effects: readonly ServerEffect[]): void {
    for (const effect of effects) {
      switch (effect.do) {
        case 'answer':
          this.#toClient(at, effect.slot)?.answer(effect.reply);
          break;
        case 'shut': {
          const link = this.#toClient(at, effect.slot);
          link?.answer(END);
          if (link !== undefined) link.hasSession = false;
          break;
        }
        case 'settings':
          this.edit(at).settings = effect.settings;
          break;
        case 'finish':
          judgeFinish(this, effect.gid, effect.decision);
          break;
        case 'decide':
          if (effect.outcome === 'commit') judgeVotes(this, effect.branches);
          break;
        case 'register':
          for (const server of [1, 2]) this.serve(server, { do: 'plant', epoch: effect.epoch });
          break;
        case 'violate':
          this.broken.push({ kind: effect.kind, message: effect.message });
      }
    }
  }

  #toClient(at: number, slot: number | undefined): PartLink | undefined {
    if (slot === undefined || this.link(at).slot === slot) return this.edit(at);
    const other = this.links.findIndex((link) => link.owner === 0 && link.slot === slot);
    return other === -1 ? undefined : this.edit(other);
  }

  /** What has come is read. */
  #read(at: number): void {
    const { owner, slot } = this.link(at);
    const link = this.edit(at);
    const replies = link.toClient;
    link.isLate = false;
    link.toClient = [];
    this.move(owner, { do: 'read', slot, replies });
  }

  #readAndSettle(at: number): void {
    const { owner } = this.link(at);
    this.#read(at);
    this.#settled(owner);
  }

  /** A process has moved, and then all happens that happens without a choice. */
  #settled(member: number): void {
    this.forced();
    this.fates.expect(member, [...this.#sentOn]);
    this.#sentOn.clear();
  }

  #readAll(): void {
    this.forced();
    if (this.#readsAreSteps) return;
    for (const member of this.members.keys()) {
      const own = [...this.links.keys()].filter((at) => this.link(at).owner === member);
      if (own.some((at) => this.link(at).isLate)) continue;
      for (const at of own) if (this.link(at).toClient.length > 0) this.#readAndSettle(at);
    }
  }

  forced(): void {
    for (let moved = true; moved;) {
      moved = false;
      const count = this.links.length;
      for (let at = 0; at < count; at += 1) {
        const link = this.link(at);
        const forced = link.forced(this.isBusy(link));
        if (forced === undefined) continue;
        moved = true;
        if (forced === 'read') this.#read(at);
        else this.#arrive(at);
      }
    }
  }

  /** Everything arrives in order, but for requests of these kinds. */
  drain(except: readonly string[]): void {
    for (let moved = true; moved;) {
      moved = false;
      for (const at of [...this.links.keys()]) {
        const { head, toClient, broken } = this.link(at);
        if (toClient.length > 0) this.#read(at);
        else if (head === undefined || except.includes(kindAt(head))) continue;
        else if (broken !== 'no') this.#breakOff(at);
        else this.#arrive(at);
        moved = true;
      }
    }
  }

  #breakOff(at: number): void {
    const link = this.edit(at);
    link.toServer = [];
    link.broken = 'no';
    link.hasSession = false;
    link.tellLoss(RESET);
  }

  #connectAnew(at: number): void {
    const link = this.edit(at);
    const { owner, server, slot, settings } = link;
    if (owner === 0) this.serve(server, { do: 'anew', slot, settings });
    link.hasSession = true;
    link.broken = 'no';
  }

  /** Connections that are over are forgotten. True if there was one: choices have other numbers then. */
  tidy(): boolean {
    const { length } = this.links;
    if (!this.fates.isDeciding) {
      this.links = this.links.filter(({ isDeaf, isEmpty }) => !isDeaf || !isEmpty);
    }
    return this.links.length < length;
  }

  save(): PartState {
    for (const link of this.links) link.isShared = true;
    const { members, servers, links, answer, fates } = this;
    return {
      members: [...members],
      servers: [...servers],
      links: [...links],
      answer,
      fates: fates.all,
      crashesLeft: fates.crashesLeft,
      lossesLeft: fates.lossesLeft,
    };
  }

  restore(state: PartState): void {
    this.members = [...state.members];
    this.servers = [...state.servers];
    this.links = [...state.links];
    this.answer = state.answer;
    this.fates.restore(state);
    this.broken = [];
  }
}
