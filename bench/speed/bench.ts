import { rm } from 'node:fs/promises';

import { chartOf } from './chart.ts';
import { measure, type CaseResult } from './measure.ts';
import { planOf, type BenchOptions } from './plan.ts';
import { figuresOf } from './ratios.ts';
import { figuresTable, jsonOf, tableOf, titleOf } from './report.ts';
import { openSetting } from './setting.ts';
import { buildWorker } from './worker-process.ts';

/** Runs what was asked for; the tables go to stdout, the progress to stderr. */
export async function runBench(
  options: BenchOptions,
  profiles: string | undefined,
): Promise<{ json: string; chart: string }> {
  const { cases, pace } = planOf(options);
  const script = await buildWorker();
  const participants = Math.max(...cases.map((one) => one.participants));
  const concurrency = Math.max(...cases.map((one) => one.concurrency));
  try {
    const setting = await openSetting(participants, concurrency);
    try {
      const nodeArguments =
        profiles === undefined
          ? []
          : ['--cpu-prof', '--cpu-prof-name={contender}.cpuprofile', `--cpu-prof-dir=${profiles}`];
      const tell = (line: string): void => {
        console.error(line);
      };
      tell(
        `PostgreSQL ${setting.postgres}, a flush takes ${setting.flushMs.toFixed(2)} ms, ` +
          `${cases.length} cases of ${pace.rounds} rounds`,
      );
      const done: CaseResult[] = [];
      for (const one of cases) {
        tell(`\n${titleOf(one)}`);
        const result = await measure({ setting, script, nodeArguments, tell }, one, pace);
        done.push(result);
        console.log(tableOf(result));
      }
      const figures = figuresOf(done);
      console.log(`\n${figuresTable(figures)}`);
      return {
        json: `${JSON.stringify(jsonOf(setting, done, figures), null, 2)}\n`,
        chart: chartOf(done),
      };
    } finally {
      await setting.close();
    }
  } finally {
    await rm(script, { force: true });
  }
}
