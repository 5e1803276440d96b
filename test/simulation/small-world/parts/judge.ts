/** How a run is judged at its end: the oracle looks at what the servers hold. */
import { Oracle, type Answer } from '../../oracle.ts';
import { INSTALLATION, LOG, PARTICIPANTS } from '../setting.ts';
import { HOSTS } from './parts.ts';
import { ServerRun } from './server-run.ts';
import type { ServerNode } from './server-part.ts';
import { Alias } from './words.ts';

export interface Broken {
  readonly kind: string;
  readonly message: string;
}

export interface Verdict {
  readonly broken: readonly Broken[];
  readonly outcome: string;
}

/** Servers as they are in these states, and an oracle that has seen it all. */
export function judge(nodes: readonly ServerNode[], answer: Answer | undefined): Broken[] {
  const runs = HOSTS.map((name) => new ServerRun(name));
  const [log] = runs;
  if (log === undefined) throw new Error('there is no log');
  const servers = runs.map(({ server }) => server).filter(({ name }) => name !== LOG);
  const oracle = new Oracle(
    log.server,
    new Map(servers.map((server) => [server.name, server])),
    INSTALLATION,
  );
  log.watcher = oracle;
  // The log is the first, and tells of the decision before there are votes: that is judged elsewhere.
  for (const [at, run] of runs.entries())
    for (const input of nodes[at]?.path ?? []) run.feed(input);
  oracle.violations.length = 0;
  oracle.told.push({
    index: 0,
    process: 'coordinator',
    id: Alias.common,
    writes: PARTICIPANTS,
    answer,
    error: undefined,
    pending: [],
  });
  for (const { gid, participant } of oracle.inDoubt()) {
    oracle.violated('still-in-doubt', `${gid} on ${participant}`);
  }
  oracle.judgeEnd();
  return oracle.violations.map(({ kind, message }) => ({ kind, message }));
}
