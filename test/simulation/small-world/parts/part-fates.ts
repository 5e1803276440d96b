/** What goes wrong between the parts, and when: as in `fates.ts`. */
import type { Bounds, Choice } from '../choice.ts';
import type { Loss } from '../choice-link.ts';
import type { PartLink } from './part-link.ts';
import { isAnybodyAtWork, isAtWork } from './part-steps.ts';
import type { PartWorld } from './part-world.ts';
import { RESET } from './words.ts';

/** What may go wrong now, and not later. */
export type Fate =
  | { readonly of: 'process'; readonly member: number }
  | { readonly of: 'server'; readonly server: number }
  | { readonly of: 'message'; readonly link: number };

interface Saved {
  readonly fates: readonly Fate[];
  readonly crashesLeft: number;
  readonly lossesLeft: number;
}

const LOSSES = (['reset', 'unheard', 'late'] as const).map((how) => ({ do: 'lose', how }) as const);

export class PartFates {
  crashesLeft: number;
  lossesLeft: number;
  struck: string | undefined;
  readonly #world: PartWorld;
  #fates: readonly Fate[] = [];

  constructor(world: PartWorld, bounds: Bounds) {
    this.#world = world;
    this.crashesLeft = bounds.crashes;
    this.lossesLeft = bounds.losses;
  }

  get isDeciding(): boolean {
    return this.#fates.length > 0;
  }

  get all(): readonly Fate[] {
    return this.#fates;
  }

  restore({ fates, crashesLeft, lossesLeft }: Saved): void {
    this.#fates = fates;
    this.crashesLeft = crashesLeft;
    this.lossesLeft = lossesLeft;
  }

  clear(): void {
    this.#fates = [];
  }

  expect(member: number, links: readonly number[]): void {
    const isExpected = this.#fates.some((one) => one.of === 'process' && one.member === member);
    const fates: Fate[] = isExpected ? [] : [{ of: 'process', member }];
    for (const link of links) {
      const { owner, toServer } = this.#world.link(link);
      if (owner === member && toServer.length > 0) fates.push({ of: 'message', link });
    }
    this.#fates = [...this.#fates, ...fates];
  }

  expectOf(server: number): void {
    this.#fates = [...this.#fates, { of: 'server', server }];
  }

  expectOnceOf(server: number): void {
    const isExpected = this.#fates.some((one) => one.of === 'server' && one.server === server);
    if (!isExpected) this.expectOf(server);
  }

  choices(): Choice[] {
    for (let [fate] = this.#fates; fate !== undefined; [fate] = this.#fates) {
      const options = this.#optionsOf(fate);
      if (options.length > 0) return [{ do: 'nothing' }, ...options];
      this.#fates = this.#fates.slice(1);
    }
    return [];
  }

  #optionsOf(fate: Fate): readonly Choice[] {
    const { crashesLeft, lossesLeft } = this;
    switch (fate.of) {
      case 'process':
        return crashesLeft > 0 && isAtWork(this.#world, fate.member) ? [{ do: 'kill' }] : [];
      case 'server':
        return crashesLeft > 0 && isAnybodyAtWork(this.#world) ? [{ do: 'crash' }] : [];
      case 'message': {
        if (lossesLeft === 0) return [];
        const { owner, toServer, isDeaf } = this.#world.link(fate.link);
        if (toServer.length === 0) return [];
        if (this.#world.node(owner) === undefined) return [{ do: 'lose', how: 'reset' }];
        return isDeaf ? [] : LOSSES;
      }
    }
  }

  spare(): void {
    this.choices();
    this.#fates = this.#fates.slice(1);
  }

  strike(choice: Extract<Choice, { do: 'lose' | 'kill' | 'crash' }>): void {
    this.choices();
    const [fate] = this.#fates;
    if (fate === undefined) throw new Error('nothing is to go wrong now');
    this.#fates = this.#fates.slice(1);
    switch (fate.of) {
      case 'process':
        this.crashesLeft -= 1;
        this.struck = `kill ${fate.member === 0 ? 'coordinator' : 'recoverer'}`;
        kill(this.#world, fate.member);
        return;
      case 'server':
        this.crashesLeft -= 1;
        this.struck = `crash ${fate.server === 0 ? 'log' : 'participant'}`;
        crash(this.#world, fate.server);
        return;
      case 'message':
        if (choice.do !== 'lose') throw new Error('a message can only be lost');
        this.lossesLeft -= 1;
        this.struck = `lose ${choice.how}`;
        lose(this.#world.edit(fate.link), choice.how);
    }
  }
}

function kill(world: PartWorld, member: number): void {
  world.members[member] = undefined;
  for (const at of world.links.keys()) {
    const { owner, isDeaf } = world.link(at);
    if (owner === member && !isDeaf) world.edit(at).turnDeaf();
  }
}

function crash(world: PartWorld, server: number): void {
  for (const at of world.links.keys()) {
    const link = world.edit(at);
    if (link.server === server) link.crash(world.isBusy(link));
  }
  world.serve(server, { do: 'crash' });
}

function lose(link: PartLink, how: Loss): void {
  if (how === 'late') {
    link.isLate = true;
    return;
  }
  if (how === 'reset') link.toServer = [];
  link.end();
  link.tellLoss(RESET);
}
