/** One process, run by itself: it is told what it reads, and what it does is written down. */
import { CoordinatorActor } from '../../actors.ts';
import { Oracle, type Answer, type Told } from '../../oracle.ts';
import { SimulatedProcess } from '../../process.ts';
import { Scheduler } from '../../scheduler.ts';
import type { ClientEnd, Link, WireUnit } from '../../wire.ts';
import { Digest } from '../digest.ts';
import { FAR_MS } from '../next-steps.ts';
import {
  INSTALLATION,
  LOG,
  Middle,
  PARTICIPANTS,
  smallServer,
  stageOf,
  TRANSACTION,
} from '../setting.ts';
import { SmallRecoverer } from '../small-recoverer.ts';
import type { ProcessEffect, ProcessInput, Role } from './process-part.ts';
import { SILENT } from './silent.ts';
import {
  Alias,
  END,
  FIN,
  isReady,
  replyAt,
  requestAt,
  requestOf,
  RESET,
  textOfReply,
} from './words.ts';

interface RunLink extends Link {
  /** Of two recoverers that have done the same, the same: the lowest that is free. */
  readonly slot: number;
  readonly host: string;
  readonly name: string;
  readonly client: ClientEnd;
  isDeaf: boolean;
  /** Requests that are not answered yet; the first may be the opening. */
  readonly requests: number[];
}

/** What a process waits for on one connection. */
export interface Asked {
  readonly slot: number;
  readonly host: string;
  readonly requests: readonly number[];
}

export class ProcessRun {
  /** Whose code is running, for whom a rejection is unhandled. */
  static current: ProcessRun | undefined;
  isRemembering = false;
  readonly #role: Role;
  readonly #isWritten: boolean;
  readonly #process: SimulatedProcess;
  readonly #history = new Digest();
  readonly #links: RunLink[] = [];
  readonly #oracle: ListeningOracle;
  readonly #coordinator: CoordinatorActor | undefined;
  readonly #recoverer: SmallRecoverer | undefined;
  #effects: ProcessEffect[] = [];
  #alias: Alias | undefined;

  /** `isWritten`: its history is kept. */
  constructor(role: Role, isWritten: boolean) {
    this.#role = role;
    this.#isWritten = isWritten;
    ProcessRun.current = this;
    this.#oracle = new ListeningOracle((effect) => this.#effects.push(effect));
    const stage = stageOf(this.#oracle);
    this.#process = new SimulatedProcess(role, new Scheduler(), new Middle(1), {
      open: (_process, client, host) => this.#open(client, host),
    });
    if (role === 'coordinator') this.#coordinator = new CoordinatorActor(this.#process, stage);
    else this.#recoverer = new SmallRecoverer(this.#process, stage);
    this.#runSoon();
  }

  get isTimed(): boolean {
    const { next } = this.#process.scheduler;
    return next !== undefined && next.at <= FAR_MS;
  }

  get isThrough(): boolean {
    return this.#recoverer?.isDone ?? this.#oracle.told[0]?.answer !== undefined;
  }

  /** What it has done and seen, in its order: its code is deterministic, so this is its state. */
  get key(): string {
    return `${this.#history.value} ${this.face}`;
  }

  get asked(): Asked[] {
    return this.#links.filter(({ isDeaf }) => !isDeaf).sort((a, b) => a.slot - b.slot);
  }

  /** What can be seen of it from outside. */
  get face(): string {
    const open = this.asked.map(({ slot, requests }) => `${slot} ${requests.join()}`);
    return `${open.join(';')} ${this.isThrough} ${this.isTimed}`;
  }

  takeEffects(): ProcessEffect[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  violate(kind: string, message: string): void {
    this.#effects.push({ do: 'violate', kind, message });
  }

  feed(input: ProcessInput): void {
    ProcessRun.current = this;
    switch (input.do) {
      case 'remember':
        this.isRemembering = true;
        break;
      case 'begin':
        this.#coordinator?.run(TRANSACTION, 0);
        this.#recoverer?.begin();
        break;
      case 'read':
        this.#read(input.slot, input.replies);
        break;
      case 'time':
        this.#history.add('time');
        this.#process.scheduler.step();
        break;
    }
    this.#runSoon();
  }

  /** What it has called for the next turn of its loop. */
  #runSoon(): void {
    const { scheduler } = this.#process;
    while (scheduler.next !== undefined && scheduler.next.at <= scheduler.now) scheduler.step();
  }

  #read(slot: number, replies: readonly number[]): void {
    const link = this.#links.find((one) => one.slot === slot && !one.isDeaf);
    if (link === undefined) throw new Error(`nobody listens to ${slot}`);
    for (const reply of replies) {
      if (this.#isWritten) this.#write(link, `> ${textOfReply(reply)}`);
      if (isReady(reply)) link.requests.shift();
      if (reply > RESET) link.client.receive(replyAt(reply, this.#aliasNow()));
      else if (!link.isDeaf) {
        link.isDeaf = true;
        this.#effects.push({ do: 'close', slot });
        link.client.lose(reply === END ? undefined : resetError());
      }
    }
  }

  #open(client: ClientEnd, host: string): Link {
    const slot = this.#freeSlot(host);
    const link: RunLink = {
      slot,
      host,
      name: `${host}${slot}`,
      client,
      isDeaf: false,
      requests: [FIN],
      send: (unit) => {
        this.#send(link, unit);
      },
      close: () => {
        if (link.isDeaf) return;
        link.isDeaf = true;
        this.#write(link, '< close');
        this.#effects.push({ do: 'close', slot });
      },
    };
    this.#links.push(link);
    this.#write(link, 'opened');
    this.#effects.push({ do: 'open', slot, host });
    return link;
  }

  /**
   * A coordinator is asked about its backends by number: none is used twice. On each server they are counted by
   * themselves: with whom it connected first does not show.
   */
  #freeSlot(host: string): number {
    if (this.#role === 'coordinator') {
      const before = this.#links.filter(({ name }) => name.startsWith(host)).length;
      return HOST_COUNT * before + hostAt(host);
    }
    const taken = new Set(this.#links.flatMap(({ isDeaf, slot }) => (isDeaf ? [] : [slot])));
    let slot = 0;
    while (taken.has(slot)) slot += 1;
    return slot;
  }

  #send(link: RunLink, unit: WireUnit): void {
    const request = requestOf(unit, this.#aliasNow());
    link.requests.push(request);
    this.#write(link, `< ${requestAt(request).text}`);
    this.#effects.push({ do: 'send', slot: link.slot, request });
  }

  #aliasNow(): Alias | undefined {
    const id = this.#oracle.told[0]?.id ?? '';
    if (id !== '') this.#alias ??= new Alias(id);
    return this.#alias;
  }

  #write(link: RunLink, what: string): void {
    if (this.isRemembering && this.#isWritten) this.#history.add(`${link.name} ${what}`);
  }
}

/** Hears what the caller is told, and judges nothing: it sees one process alone. */
class ListeningOracle extends Oracle {
  readonly #hear: (effect: ProcessEffect) => void;

  constructor(hear: (effect: ProcessEffect) => void) {
    super(smallServer(LOG, SILENT), new Map(), INSTALLATION);
    this.#hear = hear;
  }

  override tell(told: Told, answer: Answer, pending: readonly string[]): void {
    if (told.answer !== undefined) {
      this.#hear({ do: 'violate', kind: 'answered-twice', message: told.id });
    }
    told.answer = answer;
    this.#hear({ do: 'tell', answer, pending });
  }
}

const HOST_COUNT = 3;

function hostAt(host: string): number {
  return [LOG, ...PARTICIPANTS].indexOf(host);
}

function resetError(): Error {
  return Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
}
