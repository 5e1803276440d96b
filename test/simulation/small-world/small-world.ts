/**
 * One run of the small world: a coordinator whose transaction has two branches and is being committed, and two
 * recoverers, over three servers. Between two steps everybody has run until nothing is left to do; then whoever explores
 * chooses the next step, or what goes wrong.
 *
 * A process and its servers meet only in messages, so that steps of different ones can be exchanged, and much need not be
 * tried in every order. What is left out, and why nothing is lost by it, is said at the heads of `next-steps.ts` and
 * `fates.ts`.
 */
import { CoordinatorActor } from '../actors.ts';
import type { Oracle } from '../oracle.ts';
import type { SimulatedProcess } from '../process.ts';
import type { Bounds, Choice } from './choice.ts';
import type { ChoiceLink } from './choice-link.ts';
import { Fates } from './fates.ts';
import { nextSteps } from './next-steps.ts';
import { HEARTBEAT_LIMIT_MS, Setting, TRANSACTION } from './setting.ts';
import { SmallRecoverer } from './small-recoverer.ts';

export class SmallWorld {
  readonly #setting = new Setting();
  readonly #fates: Fates;
  readonly #readsAreSteps: boolean;

  /** `readsAreSteps`: a reply that has come is read at any time later. */
  constructor(bounds: Bounds, readsAreSteps = false) {
    this.#readsAreSteps = readsAreSteps;
    this.#fates = new Fates(this.#setting, bounds);
    this.#open(bounds.recoverers);
  }

  get oracle(): Oracle {
    return this.#setting.oracle;
  }

  /** Everybody is connected, both branches have written, and nothing of the commit has arrived yet. */
  #open(recoverers: number): void {
    const process = this.#setting.process('coordinator');
    const coordinator = new CoordinatorActor(process, this.#setting.stage);
    this.#setting.join(process, () => this.oracle.told[0]?.answer !== undefined);
    this.#setting.drain([]);
    coordinator.run(TRANSACTION, 0);
    this.#setting.drain(['prepare']);
    const all = Array.from({ length: recoverers }, (_, index) => {
      const own = this.#setting.process(`recoverer${index}`);
      const recoverer = new SmallRecoverer(own, this.#setting.stage);
      this.#setting.join(own, () => recoverer.isDone);
      this.#setting.drain(['prepare']);
      return recoverer;
    });
    for (const recoverer of all) {
      recoverer.begin();
      this.#setting.drain(['prepare', 'list']);
    }
    this.#fates.clear();
    for (const member of this.#setting.members)
      this.#fates.expect(member, this.#setting.network.links);
    for (const server of this.#setting.servers) this.#fates.expectOf(server);
    this.#setting.sentOn.clear();
    this.#setting.connectedTo.clear();
  }

  /** What may happen next; nothing when all has come to its end. */
  choices(): Choice[] {
    const fates = this.#fates.choices();
    return fates.length > 0 ? fates : nextSteps(this.#setting);
  }

  apply(choice: Choice): void {
    this.#setting.sentOn.clear();
    this.#setting.connectedTo.clear();
    this.#fates.struck = undefined;
    if (this.#applyFate(choice)) return;
    this.#fates.clear();
    this.#applyStep(choice);
    this.#settle();
  }

  #applyStep(choice: Choice): void {
    switch (choice.do) {
      case 'read':
        this.#step(this.#setting.linkAt(choice.link).owner, () => {
          this.#setting.linkAt(choice.link).read();
        });
        break;
      case 'time':
        this.#passTime(choice.actor);
        break;
      case 'arrive-without-heartbeat':
        this.#setting.log.jump(2 * HEARTBEAT_LIMIT_MS);
        this.#arrive(this.#setting.linkAt(choice.link));
        break;
      case 'break-off':
        this.#setting.linkAt(choice.link).breakOff();
        this.#readAll();
        break;
      case 'anew':
        this.#setting.linkAt(choice.link).connectAnew();
        this.#arrive(this.#setting.linkAt(choice.link));
        break;
      case 'arrive':
        this.#arrive(this.#setting.linkAt(choice.link));
        break;
      case 'nothing':
      case 'lose':
      case 'kill':
      case 'crash':
        throw new Error('what goes wrong is no step');
    }
  }

  #arrive(link: ChoiceLink): void {
    link.arrive();
    this.#fates.expectOf(link.server);
    this.#readAll();
  }

  /**
   * A reply is read when it has come, unless time matters. That this loses nothing is tried: with `readsAreSteps` small
   * bounds come to the same ends.
   */
  #readAll(): void {
    this.#setting.forced();
    if (this.#readsAreSteps) return;
    for (const member of this.#setting.members) {
      const own = this.#setting.linksOf(member);
      if (own.some(({ late }) => late)) continue;
      for (const link of own) {
        if (link.toClient.length > 0)
          this.#step(link.owner, () => {
            link.read();
          });
      }
    }
  }

  #applyFate(choice: Choice): boolean {
    switch (choice.do) {
      case 'nothing':
        this.#fates.spare();
        return true;
      case 'lose':
      case 'kill':
      case 'crash':
        this.#fates.strike(choice);
        this.#readAll();
        this.#settle();
        return true;
      default:
        return false;
    }
  }

  #passTime(actor: number): void {
    const member = this.#setting.members[actor];
    if (member === undefined) throw new Error(`there is no actor ${actor}`);
    const { process } = member;
    this.#step(process, () => {
      process.scheduler.step();
    });
  }

  /** A process moves, and then all that happens without a choice. */
  #step(process: SimulatedProcess, move: () => void): void {
    move();
    this.#setting.runSoon(process);
    this.#setting.forced();
    const member = this.#setting.members.find((one) => one.process === process);
    if (member !== undefined) this.#fates.expect(member, [...this.#setting.sentOn]);
    this.#setting.sentOn.clear();
  }

  #settle(): void {
    this.#setting.forced();
    for (const server of this.#setting.connectedTo) this.#fates.expectOnceOf(server);
  }

  /**
   * All has come to its end. Whoever looks now, and there is always somebody in the end, has to leave nothing in doubt;
   * then everything is judged.
   */
  end(): void {
    // Broken on the way: this is not its end.
    if (this.oracle.violations.length > 0) return;
    const [told] = this.oracle.told;
    const [coordinator] = this.#setting.members;
    if (told?.answer === undefined && coordinator?.process.alive === true) {
      this.oracle.violated('no-answer', 'the coordinator lives, and nothing is under way');
    }
    if (this.oracle.violations.length > 0) return;
    this.#setting.log.jump(2 * HEARTBEAT_LIMIT_MS);
    const healer = new SmallRecoverer(this.#setting.process('healer'), this.#setting.stage);
    this.#setting.drain([]);
    healer.begin();
    this.#setting.drain([]);
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
        const link = this.#setting.linkAt(choice.link);
        return `${link.process}: ${link.head ?? ''} on ${link.name} ${WORDS[choice.do]}`;
      }
      case 'read': {
        const link = this.#setting.linkAt(choice.link);
        return `${link.process} reads from ${link.name}`;
      }
      case 'time':
        return `${this.#setting.members[choice.actor]?.process.name ?? ''}: a time limit runs out`;
      case 'nothing':
        return '';
      case 'kill':
      case 'crash':
      case 'lose':
        return this.#fates.describe(choice);
    }
  }
}

export const WORDS = {
  arrive: 'arrives',
  'arrive-without-heartbeat': 'arrives when the heartbeat has run out',
  anew: 'is sent anew: the client had noticed the crash',
  'break-off': 'meets no session',
} as const;
