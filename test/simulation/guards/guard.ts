import type { Direction } from '../directed.ts';
import type { Patch } from '../patch.ts';

/** What the protocol must not be without, and a change of src that takes it away. */
export interface Guard {
  readonly name: string;
  /** Invariant of ARCHITECTURE.md that it serves. */
  readonly invariant: number;
  readonly patches: readonly Patch[];
  /** Schedules that lead to what it is for; without it any schedules do. */
  readonly direction?: Direction;
  /** What it guards does not run in the simulation. */
  readonly notSimulated?: boolean;
  /** Why the simulation cannot miss it. */
  readonly unseen?: string;
  /** The test on real servers, or of the function alone, that fails without it. */
  readonly heldBy?: { readonly file: string; readonly test: string };
}

export function without(file: string, from: string, to: string): Patch {
  return { file, from, to };
}
