/**
 * What goes wrong in a small world, and when. What is left out, and why nothing is lost by it:
 *  - A message is lost, and a process is killed, right after the process has moved: until it moves again nothing
 *    that happens elsewhere makes a difference to that, and what it has sent arrives also when it is dead.
 *  - A server crashes right after a statement was carried out on it, or somebody has connected to it, for the same reason.
 */
import type { Bounds, Choice } from './choice.ts';
import type { ChoiceLink } from './choice-link.ts';
import { isAnybodyAtWork, isAtWork } from './next-steps.ts';
import type { Member, Setting } from './setting.ts';
import type { SmallServer } from './small-server.ts';

/** What may go wrong now, and not later. */
type Fate =
  | { readonly of: 'process'; readonly actor: Member }
  | { readonly of: 'server'; readonly server: SmallServer }
  | { readonly of: 'message'; readonly link: ChoiceLink };

export class Fates {
  crashesLeft: number;
  lossesLeft: number;
  /** What went wrong in the last step. */
  struck: string | undefined;
  readonly #setting: Setting;
  readonly #fates: Fate[] = [];

  constructor(setting: Setting, bounds: Bounds) {
    this.#setting = setting;
    this.crashesLeft = bounds.crashes;
    this.lossesLeft = bounds.losses;
  }

  /** What goes wrong now is being decided: between two steps. */
  get isDeciding(): boolean {
    return this.#fates.length > 0;
  }

  clear(): void {
    this.#fates.length = 0;
  }

  /** It has moved: it may be killed now, and what it has sent may be lost. */
  expect(member: Member, links: readonly ChoiceLink[]): void {
    const isExpected = this.#fates.some((fate) => fate.of === 'process' && fate.actor === member);
    if (!isExpected) this.#fates.push({ of: 'process', actor: member });
    for (const link of links) {
      if (link.owner === member.process && link.toServer.length > 0) {
        this.#fates.push({ of: 'message', link });
      }
    }
  }

  /** A statement was carried out on it. */
  expectOf(server: SmallServer): void {
    this.#fates.push({ of: 'server', server });
  }

  /** Somebody has connected to it. */
  expectOnceOf(server: SmallServer): void {
    const isExpected = this.#fates.some((fate) => fate.of === 'server' && fate.server === server);
    if (!isExpected) this.expectOf(server);
  }

  /** Nobody is asked what goes wrong where nothing more can. */
  choices(): Choice[] {
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
        return this.crashesLeft > 0 && isAtWork(this.#setting, fate.actor) ? [{ do: 'kill' }] : [];
      case 'server':
        return this.crashesLeft > 0 && isAnybodyAtWork(this.#setting) ? [{ do: 'crash' }] : [];
      case 'message': {
        const { link } = fate;
        if (this.lossesLeft === 0 || link.toServer.length === 0) return [];
        if (!link.owner.alive) return [{ do: 'lose', how: 'reset' }];
        if (link.deaf) return [];
        return (['reset', 'unheard', 'late'] as const).map((how) => ({ do: 'lose', how }));
      }
    }
  }

  /** What is being decided does not go wrong. */
  spare(): void {
    this.choices();
    this.#fates.shift();
  }

  strike(choice: Extract<Choice, { do: 'lose' | 'kill' | 'crash' }>): void {
    this.choices();
    const { log, network } = this.#setting;
    const fate = this.#fates.shift();
    if (fate === undefined) throw new Error('nothing is to go wrong now');
    switch (fate.of) {
      case 'process':
        this.crashesLeft -= 1;
        this.struck = `kill ${fate.actor.process.name.replace(/\d/, '')}`;
        fate.actor.process.kill(true);
        return;
      case 'server':
        this.crashesLeft -= 1;
        this.struck = `crash ${fate.server === log ? 'log' : 'participant'}`;
        for (const link of network.links) if (link.server === fate.server) link.crash();
        fate.server.crashAndRestart();
        return;
      case 'message':
        if (choice.do !== 'lose') throw new Error('a message can only be lost');
        this.lossesLeft -= 1;
        this.struck = `lose ${choice.how}`;
        fate.link.lose(choice.how);
        return;
    }
  }

  describe(choice: Choice): string {
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
}
