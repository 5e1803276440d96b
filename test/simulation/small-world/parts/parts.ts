/** What was learned of everybody, for all explorations of one process. */
import { LOG, PARTICIPANTS } from '../setting.ts';
import type { Verdict } from './judge.ts';
import { ProcessPart } from './process-part.ts';
import { ServerPart } from './server-part.ts';

export const HOSTS = [LOG, ...PARTICIPANTS];

export class Parts {
  readonly coordinator = new ProcessPart('coordinator');
  readonly recoverer = new ProcessPart('recoverer');
  /** Of runs that ended so. */
  readonly verdicts = new Map<string, Verdict>();
  readonly servers = HOSTS.map((name) => new ServerPart(name));

  /** `tests`: by how many the states of processes are told apart. */
  constructor(tests = 0) {
    this.coordinator.tests = tests;
    this.recoverer.tests = tests;
  }

  /** Of the member with this number: the first is the coordinator. */
  of(member: number): ProcessPart {
    return member === 0 ? this.coordinator : this.recoverer;
  }

  /** How often real code was run, and states that it was in. */
  get learned(): string {
    const all = [this.coordinator, this.recoverer, ...this.servers];
    const names = ['coordinator', 'recoverer', ...HOSTS];
    return all
      .map(({ nodes, runs }, at) => `${names[at] ?? ''} ${nodes.length} states ${runs} steps`)
      .join(', ');
  }
}
