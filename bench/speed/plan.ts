/** Which cases a command line asks for. */
import { InvalidArgumentError } from 'commander';

import { CONTENDER_NAMES, CONTENDERS, type ContenderName } from './contenders/contenders.ts';
import type { Case, Pace } from './measure.ts';
import { WORKLOADS, type Workload } from './workload.ts';

export interface BenchOptions {
  readonly quick?: true;
  readonly all?: true;
  readonly workload?: readonly Workload[];
  readonly participants?: readonly number[];
  readonly concurrency?: readonly number[];
  readonly latency?: readonly number[];
  readonly logLatency?: readonly number[];
  readonly contenders?: readonly ContenderName[];
  readonly rounds?: number;
  readonly seconds?: number;
  readonly warmUp?: number;
}

export interface Plan {
  readonly cases: readonly Case[];
  readonly pace: Pace;
}

export function planOf(options: BenchOptions): Plan {
  const cases = casesOf(options).map((one) => {
    const contenders = options.contenders ?? one.contenders;
    return {
      ...one,
      contenders,
      counted: one.counted.filter((name) => contenders.includes(name)),
    };
  });
  return { cases, pace: paceOf(options) };
}

function paceOf({ quick, rounds, seconds, warmUp }: BenchOptions): Pace {
  return {
    rounds: rounds ?? (quick === true ? 3 : 5),
    seconds: seconds ?? (quick === true ? 0.9 : 5),
    warmUpSeconds: warmUp ?? (quick === true ? 4 : 12),
  };
}

const BASE: Case = {
  workload: 'one-row',
  participants: 2,
  concurrency: 32,
  latencyMs: 0,
  logLatencyMs: 0,
  contenders: CONTENDER_NAMES,
  counted: CONTENDER_NAMES,
};

/** With two writers at least; what touches one participant is measured where there are two. */
const SEVERAL = CONTENDER_NAMES.filter((name) => !CONTENDERS[name].oneWriter);

function casesOf(options: BenchOptions): readonly Case[] {
  const { quick, all, workload, participants, concurrency, latency, logLatency } = options;
  const asked = [workload, participants, concurrency, latency, logLatency];
  if (asked.some((one) => one !== undefined)) return crossed(options);
  if (quick === true) {
    return [
      {
        ...BASE,
        contenders: ['local-commits', 'hand-parallel', 'pgxa', 'plain', 'pgxa-one-writer'],
        counted: ['pgxa'],
      },
      { ...BASE, concurrency: 1, contenders: ['hand-parallel', 'pgxa'], counted: [] },
    ];
  }
  const far: Case = { ...BASE, latencyMs: 5, logLatencyMs: 5, contenders: SEVERAL };
  const usual = [
    ...[1, 8, 32, 128].map((each) => ({ ...BASE, concurrency: each })),
    { ...far, concurrency: 1 },
  ];
  if (all !== true) return usual;
  return [
    ...usual,
    far,
    { ...far, latencyMs: 1, logLatencyMs: 1 },
    { ...far, latencyMs: 1, logLatencyMs: 1, concurrency: 1 },
    { ...far, latencyMs: 0 },
    { ...far, latencyMs: 0, concurrency: 128 },
    { ...BASE, workload: 'ten-statements' },
    { ...BASE, workload: 'hot-rows' },
    ...[3, 8].map((each) => ({ ...BASE, participants: each, contenders: SEVERAL })),
  ];
}

/** Every combination of what was asked for. */
function crossed(options: BenchOptions): Case[] {
  const cases: Case[] = [];
  const base: Case = { ...BASE, counted: options.quick === true ? ['pgxa'] : BASE.counted };
  for (const workload of options.workload ?? [BASE.workload])
    for (const participants of options.participants ?? [BASE.participants])
      for (const concurrency of options.concurrency ?? [BASE.concurrency])
        for (const latencyMs of options.latency ?? [0])
          for (const logLatencyMs of options.logLatency ?? [latencyMs])
            cases.push({ ...base, workload, participants, concurrency, latencyMs, logLatencyMs });
  return cases;
}

/** For commander: a list of numbers, each within bounds. */
export function numbers(min: number, max: number): (value: string) => number[] {
  return (value) =>
    value.split(',').map((one) => {
      const number = Number(one);
      if (one.trim() !== '' && number >= min && number <= max) return number;
      throw new InvalidArgumentError(`Expected numbers from ${min} to ${max}, got "${one}".`);
    });
}

export function number(min: number, max: number): (value: string) => number {
  const list = numbers(min, max);
  return (value) => {
    const [only, ...more] = list(value);
    if (only === undefined || more.length > 0) {
      throw new InvalidArgumentError(`Expected one number, got "${value}".`);
    }
    return only;
  };
}

export function names<Name extends string>(known: readonly Name[]): (value: string) => Name[] {
  return (value) =>
    value.split(',').map((one) => {
      const found = known.find((name) => name === one);
      if (found !== undefined) return found;
      throw new InvalidArgumentError(`Expected some of ${known.join(', ')}, got "${one}".`);
    });
}

export { CONTENDER_NAMES, WORKLOADS };
