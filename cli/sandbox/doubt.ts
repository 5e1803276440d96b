/** Leaves branches in doubt on purpose, so that there is something to list, explain, resolve and force. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { DoomedPlan, DoomedReport } from './doomed-coordinator.ts';
import { SandboxProblem } from './problem.ts';
import type { SandboxServer } from './server.ts';

export interface Doubt {
  /** Transaction ids. */
  readonly decided: string;
  readonly undecided: string;
  /** The name that somebody else's program gave to its branch. */
  readonly foreign: string;
}

export async function leaveDoubt(plan: DoomedPlan, billing: SandboxServer): Promise<Doubt> {
  const { decided, undecided } = await runDoomed(plan);
  const foreign = foreignGid();
  await billing.run('billing', [
    'begin',
    'update account set balance = balance - 1 where id = 3',
    `prepare transaction '${foreign}'`,
  ]);
  return { decided, undecided, foreign };
}

async function runDoomed(
  plan: DoomedPlan,
): Promise<Exclude<DoomedReport, { readonly error: string }>> {
  // Compiled or not, it lies beside this file. fork() passes on whatever loads this process's sources.
  const script = new URL(`./doomed-coordinator${extname(import.meta.url)}`, import.meta.url);
  const child = fork(fileURLToPath(script), { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  const exited = once(child, 'exit');
  let report: DoomedReport = { error: 'it ended without a word' };
  child.once('message', (message) => {
    report = message as DoomedReport;
  });
  // By message and not as an argument: the plan has passwords in it, and every user can list arguments.
  child.send(plan);
  await exited;
  if ('error' in report) {
    throw new SandboxProblem(
      `nothing could be left in doubt: ${(report as { error: string }).error}`,
    );
  }
  return report;
}

/** As a Java transaction manager (Narayana) writes it: format id, global id and branch qualifier in base64. */
function foreignGid(): string {
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  return `131077_${base64('invoice-service:42')}_${base64('branch-1')}`;
}
