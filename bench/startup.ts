/** How long the built command line needs to show its help, beside Node that does nothing. */
import { execFileSync } from 'node:child_process';

import { builtCli } from '../test/support/built-cli.ts';
import { ratiosOf, type Spread } from './speed/statistics.ts';

/** In turn, so that what else the machine does disturbs both. */
export async function startupRatio(rounds: number): Promise<Spread> {
  const main = await builtCli();
  const ours: number[] = [];
  const nodes: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    nodes.push(tookMs(['-e', '0']));
    ours.push(tookMs([main, '--help']));
  }
  return ratiosOf(ours, nodes);
}

function tookMs(args: readonly string[]): number {
  const begin = performance.now();
  execFileSync(process.execPath, args, { stdio: 'pipe' });
  return performance.now() - begin;
}
