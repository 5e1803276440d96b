/** A connection between the parts, as `choice-link.ts` has it, but nothing than data: what is under way, and who knows what. */
import { SET_UP } from '../choice-link.ts';
import { FIN, kindAt } from './words.ts';

export type Broken = 'no' | 'idle' | 'in-transaction';

const kindsOfSetUp = new Map<number, boolean>();

function isSetUp(request: number): boolean {
  let is = kindsOfSetUp.get(request);
  if (is === undefined) {
    is = SET_UP.has(kindAt(request));
    kindsOfSetUp.set(request, is);
  }
  return is;
}

export class PartLink {
  readonly owner: number;
  readonly slot: number;
  /** By its place among all. */
  readonly server: number;
  /** Replaced, never changed: others share them. */
  toServer: readonly number[] = [];
  toClient: readonly number[] = [];
  hasSession = true;
  isDeaf = false;
  broken: Broken = 'no';
  isLate = false;
  isUnheard = false;
  isInUse = false;
  settings: number;
  /** Others may look at it: it is copied before it is changed. */
  isShared = false;
  #number: number | undefined;

  constructor(owner: number, slot: number, server: number, settings: number) {
    this.owner = owner;
    this.slot = slot;
    this.server = server;
    this.settings = settings;
  }

  copy(): PartLink {
    const copy = new PartLink(this.owner, this.slot, this.server, this.settings);
    copy.toServer = this.toServer;
    copy.toClient = this.toClient;
    copy.hasSession = this.hasSession;
    copy.isDeaf = this.isDeaf;
    copy.broken = this.broken;
    copy.isLate = this.isLate;
    copy.isUnheard = this.isUnheard;
    copy.isInUse = this.isInUse;
    return copy;
  }

  get head(): number | undefined {
    return this.toServer[0];
  }

  get isEmpty(): boolean {
    return this.toServer.length === 0 && this.toClient.length === 0;
  }

  get isAwaited(): boolean {
    return !this.isDeaf && !this.isEmpty;
  }

  /** `isBusy`: its session is in a transaction. */
  forced(isBusy: boolean): 'arrive' | 'read' | undefined {
    const { head } = this;
    if (head === FIN) return isBusy ? undefined : 'arrive';
    if (this.isLate || this.broken !== 'no') return undefined;
    if (head !== undefined) return isSetUp(head) ? 'arrive' : undefined;
    return !this.isInUse && this.toClient.length > 0 ? 'read' : undefined;
  }

  /** True if it is more than what sets a session up. */
  send(request: number): boolean {
    const isRequest = !isSetUp(request);
    this.isInUse ||= isRequest;
    this.toServer = [...this.toServer, request];
    return isRequest;
  }

  /** Something comes back, if anybody hears it. */
  answer(reply: number): void {
    if (!this.isDeaf && !this.isUnheard) this.toClient = [...this.toClient, reply];
  }

  tellLoss(reset: number): void {
    if (this.isDeaf || this.isUnheard) return;
    this.toClient = [...this.toClient, reset];
    this.isUnheard = true;
  }

  turnDeaf(): void {
    this.isDeaf = true;
    this.isLate = false;
    this.toClient = [];
    if (this.broken !== 'no') this.toServer = [];
    else this.end();
  }

  end(): void {
    if (this.toServer.at(-1) !== FIN) this.toServer = [...this.toServer, FIN];
  }

  crash(isBusy: boolean): void {
    if (this.broken === 'no') this.broken = isBusy ? 'in-transaction' : 'idle';
    if (this.isDeaf) this.toServer = [];
  }

  /** The same number, the same future. */
  get number(): number {
    this.#number ??= numberOf(this.#words(this.isDeaf && this.owner > 0 ? -1 : this.slot));
    return this.#number;
  }

  #words(slot: number): string {
    const flags =
      (this.hasSession ? 1 : 0) +
      (this.isDeaf ? 2 : 0) +
      (this.isLate ? 4 : 0) +
      (this.isUnheard ? 8 : 0) +
      (this.isInUse ? 16 : 0) +
      (this.broken === 'no' ? 0 : this.broken === 'idle' ? 32 : 64);
    const owner = this.owner === 0 ? 'c' : 'r';
    return (
      `${owner}${slot} ${this.server} ${flags} ${this.settings} ` +
      `${this.toServer.join()};${this.toClient.join()}`
    );
  }
}

const numbers = new Map<string, number>();

function numberOf(words: string): number {
  let number = numbers.get(words);
  if (number === undefined) {
    number = numbers.size + 1;
    numbers.set(words, number);
  }
  return number;
}
