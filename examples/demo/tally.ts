/** Keeps the books: what was said about every transfer, to be compared with what the databases hold. */
import type { InDoubt } from './bank.ts';
import type { Message } from './coordinator.ts';

export interface Totals {
  readonly started: number;
  readonly committed: number;
  readonly rolledBack: number;
  readonly recoveredByCommit: number;
  readonly recoveredByRollback: number;
  /** At work when the coordinator was killed, but not prepared yet: the servers rolled them back. */
  readonly cutOff: number;
  /** Transfers of which the databases hold something else than was said. */
  readonly contradictions: readonly string[];
}

export class Tally {
  readonly #said = new Map<string, Message['event']>();
  readonly #inDoubt = new Map<string, InDoubt['decision']>();

  get started(): number {
    return this.#said.size;
  }

  /** Transfers whose caller has an answer. */
  count(event: 'committed' | 'rolled-back'): number {
    return [...this.#said.values()].filter((said) => said === event).length;
  }

  note({ id, event }: Message): void {
    this.#said.set(id, event);
  }

  noteInDoubt(branches: readonly InDoubt[]): void {
    for (const { transactionId, decision } of branches) this.#inDoubt.set(transactionId, decision);
  }

  totals(standing: ReadonlySet<string>): Totals {
    const sums = {
      committed: 0,
      rolledBack: 0,
      recoveredByCommit: 0,
      recoveredByRollback: 0,
      cutOff: 0,
    };
    const contradictions = [...standing].filter((id) => !this.#said.has(id));
    for (const [id, said] of this.#said) {
      const stands = standing.has(id);
      const decision = this.#inDoubt.get(id);
      if (decision !== undefined) {
        sums[stands ? 'recoveredByCommit' : 'recoveredByRollback'] += 1;
        if (stands !== (decision === 'commit')) contradictions.push(id);
      } else if (said === 'begun') {
        // It may have committed just before the kill, without time to say so.
        sums[stands ? 'committed' : 'cutOff'] += 1;
      } else {
        sums[said === 'committed' ? 'committed' : 'rolledBack'] += 1;
        if (stands !== (said === 'committed')) contradictions.push(id);
      }
    }
    return { started: this.started, ...sums, contradictions };
  }
}
