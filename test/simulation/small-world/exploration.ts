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
  /** Runs that ended in a state that was known. */
  readonly merged: number;
  readonly replays: number;
  readonly steps: number;
  readonly deepest: number;
  /** Ends that differ. */
  readonly ends: number;
  /** A hash of all of them. */
  readonly endsHash: number;
  /** Runs that came to their end, by how they ended. */
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
  /** Every order of all steps. */
  readonly isUnreduced?: boolean;
  /** The order of everything that a process sees is part of its state. */
  readonly isExact?: boolean;
  readonly onProgress?: ((line: string) => void) | undefined;
}
