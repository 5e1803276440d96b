/** What is asked of an exploration, and what it has found. */
export interface Found {
  readonly kind: string;
  readonly message: string;
  /** The choices that lead there, by their index. */
  readonly path: readonly number[];
}

export interface Exploration {
  readonly isComplete: boolean;
  readonly states: number;
  /** Steps that led to a state that was known. */
  readonly merged: number;
  readonly steps: number;
  readonly deepest: number;
  /** Of the parts: states of the coordinator, of a recoverer and of the servers, and steps of real code. */
  readonly learned: string;
  /** Ends that differ. */
  readonly ends: number;
  /** A hash of all of them. */
  readonly endsHash: number;
  /** In how many states a run came to its end, by how it ended. */
  readonly outcomes: readonly (readonly [string, number])[];
  /** How often each was tried, in states that differ. */
  readonly faults: readonly (readonly [string, number])[];
  readonly found: readonly Found[];
  readonly ms: number;
  readonly cpuMs: number;
}

export interface Limits {
  readonly ms?: number | undefined;
  readonly stopAtFirst?: boolean;
  /** By how many tests states of a process are told apart; 0: by all that it has done and seen. */
  readonly tests?: number;
  /** A reply that has come is read at any time later. */
  readonly readsAreSteps?: boolean;
  readonly onProgress?: ((line: string) => void) | undefined;
}
