import { rm } from 'node:fs/promises';

import { chartOf } from './chart.ts';
import { concurrencyMaxOf, groupsOf, type Group } from './group.ts';
import { measure, type Bench, type Case, type CaseResult, type Pace } from './measure.ts';
import { planOf, type BenchOptions } from './plan.ts';
import { figuresOf } from './ratios.ts';
import { figuresTable, jsonOf, tableOf, titleOf } from './report.ts';
import { openSetting } from './setting.ts';
import { buildWorker } from './worker-process.ts';

/** Runs what was asked for; the tables go to stdout, the progress to stderr. */
export function runBench(
  options: BenchOptions,
  profiles: string | undefined,
): Promise<{ json: string; chart: string }> {
  const { cases, pace } = planOf(options);
  return withBench(cases, profiles, async (bench) => {
    const done = await measureAll(bench, groupsOf(cases), pace);
    const figures = figuresOf(done);
    console.log(`\n${figuresTable(figures)}`);
    return {
      json: `${JSON.stringify(jsonOf(bench.setting, done, figures), null, 2)}\n`,
      chart: chartOf(done),
    };
  });
}

export async function measureAll(
  bench: Bench,
  groups: readonly Group[],
  pace: Pace,
): Promise<CaseResult[]> {
  const { setting, tell } = bench;
  const count = groups.reduce((sum, { cases }) => sum + cases.length, 0);
  tell(
    `PostgreSQL ${setting.postgres}, a flush takes ${setting.flushMs.toFixed(2)} ms, ` +
      `${count} cases of ${pace.rounds} rounds`,
  );
  const done: CaseResult[] = [];
  for (const group of groups) {
    tell(`\n${group.cases.map(titleOf).join('\n')}`);
    const results = await measure(bench, group, pace);
    done.push(...results);
    for (const result of results) console.log(tableOf(result));
  }
  return done;
}

/** Servers and the built worker for these cases; nothing of them is left afterwards. */
export async function withBench<T>(
  cases: readonly Pick<Case, 'participants' | 'concurrency'>[],
  profiles: string | undefined,
  work: (bench: Bench) => Promise<T>,
): Promise<T> {
  const script = await buildWorker();
  try {
    const setting = await openSetting(
      Math.max(...cases.map((one) => one.participants)),
      concurrencyMaxOf(cases),
    );
    try {
      return await work({ setting, script, nodeArguments: profiling(profiles), tell });
    } finally {
      await setting.close();
    }
  } finally {
    await rm(script, { force: true });
  }
}

function profiling(directory: string | undefined): string[] {
  if (directory === undefined) return [];
  return ['--cpu-prof', '--cpu-prof-name={contender}.cpuprofile', `--cpu-prof-dir=${directory}`];
}

function tell(line: string): void {
  console.error(line);
}
