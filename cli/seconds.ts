/** A time on the command line is given in seconds, and waited in milliseconds. */
import { InvalidArgumentError } from 'commander';

/** Reads the value of an option. */
export function seconds(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0 || value > 3_600) {
    throw new InvalidArgumentError('expected seconds, more than 0 and at most 3600');
  }
  return value;
}

/** Whole ones, and at least one: a limit of 0 ms is refused. */
export function millisecondsOf(value: number): number {
  return Math.max(1, Math.round(value * 1_000));
}
