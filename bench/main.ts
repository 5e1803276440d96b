/**
 * npm run bench: what pgxa costs beside the same work without atomicity, and beside two-phase commit written by
 * hand, on servers that it starts itself. See docs/performance.md.
 */
import { writeFile } from 'node:fs/promises';

import { Argument, Command } from 'commander';

import { GROWTH, runGrowth, type GrowthOptions } from './growth/growth.ts';
import { runBench } from './speed/bench.ts';
import {
  CONTENDER_NAMES,
  names,
  number,
  numbers,
  WORKLOADS,
  type BenchOptions,
} from './speed/plan.ts';
import { startupRatio } from './startup.ts';

process.env['PGXA_TEST_PROVIDER'] = 'embedded';

interface Output {
  readonly json?: string;
  readonly chart?: string;
  readonly cpuProf?: string;
}

const program = new Command('npm run bench --')
  // What stands behind "growth" belongs to it.
  .enablePositionalOptions()
  .description('Measures pgxa beside its floor and beside two-phase commit written by hand.')
  .option('--quick', 'the ratios only, roughly, within a minute')
  .option('--all', 'every workload of docs/performance.md (about 45 minutes)')
  .option('--workload <names>', `of ${WORKLOADS.join(', ')}`, names(WORKLOADS))
  .option('--participants <numbers>', 'writers of a transaction, e.g. 2,3,8', numbers(2, 16))
  .option('--concurrency <numbers>', 'transactions at a time, e.g. 1,8,32,128', numbers(1, 1_024))
  .option('--latency <ms>', 'added to every round trip, e.g. 0,1,5', numbers(0, 1_000))
  .option('--log-latency <ms>', 'the same for the log alone', numbers(0, 1_000))
  .option('--contenders <names>', `of ${CONTENDER_NAMES.join(', ')}`, names(CONTENDER_NAMES))
  .option('--rounds <number>', 'how often each contender runs', number(1, 1_000))
  .option('--seconds <number>', 'how long each run is', number(0.1, 3_600))
  .option('--warm-up <number>', 'seconds of each contender before the rounds', number(0.1, 3_600))
  .option('--json <file>', 'write everything there')
  .option('--chart <file>', 'write a chart there, as SVG')
  .option('--cpu-prof <directory>', 'a CPU profile of each contender')
  .action(async (options: BenchOptions & Output) => {
    const { json, chart } = await runBench(options, options.cpuProf);
    if (options.json !== undefined) await writeFile(options.json, json);
    if (options.chart !== undefined) await writeFile(options.chart, chart);
  });

program
  .command('growth')
  .description('How the cost grows; some of these take long (docs/performance.md says how long).')
  .addArgument(new Argument('<what>').choices(Object.keys(GROWTH)))
  .option('--rounds <number>', 'how often each one runs', number(1, 1_000))
  .option('--seconds <number>', 'how long each run is', number(0.1, 3_600))
  .option('--rows <number>', 'decisions: how many stand in the log', number(1, 1e9))
  .option('--transactions <number>', 'heap: how many; memory: at a time', number(1, 1e9))
  .option('--json <file>', 'write everything there')
  .action(async (what: string, options: GrowthOptions & Output) => {
    const found = await runGrowth(what, options);
    if (options.json !== undefined) await writeFile(options.json, JSON.stringify(found, null, 2));
  });

program
  .command('startup')
  .description('`pgxa --help` beside Node that does nothing.')
  .option('--rounds <number>', 'how often each one runs', number(1, 1_000), 25)
  .action(async ({ rounds }: { readonly rounds: number }) => {
    const { median, min, max } = await startupRatio(rounds);
    console.log(
      `pgxa --help to node -e 0: ${median.toFixed(2)} (${min.toFixed(2)}–${max.toFixed(2)}), target ≤ 3`,
    );
  });

await program.parseAsync();
