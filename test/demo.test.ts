import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterEach, describe, expect, it } from 'vitest';

import { childrenOf, lookAt } from './support/process-tree.mjs';
import { waitFor } from './support/wait.ts';

const LIMIT_MS = 60_000;
const root = fileURLToPath(new URL('..', import.meta.url));

interface Demo {
  readonly process: ChildProcess;
  readonly pid: number;
  /** All that it has printed so far, on stdout and stderr. */
  output(): string;
  readonly ended: Promise<number | null>;
}

/** Off a terminal; directly below this process, so that its children can be found. */
function startDemo(): Demo {
  const child = spawn(process.execPath, ['--import', 'tsx', 'examples/demo/main.ts'], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  if (child.pid === undefined) throw new Error('the demo did not start');
  const ended = once(child, 'close').then(([code]) => code as number | null);
  return { process: child, pid: child.pid, output: () => output, ended };
}

/** Postmasters below the demo, with the folder of each: postgres -D <folder>/data */
function serversOf(demo: Demo): { pid: number; directory: string }[] {
  return childrenOf(demo.pid).flatMap((pid) => {
    const command = execFileSync('ps', ['-ww', '-o', 'command=', '-p', String(pid)]).toString();
    const data = /postgres -D (\S+)/.exec(command)?.[1];
    return data === undefined ? [] : [{ pid, directory: dirname(data) }];
  });
}

function figure(output: string, row: string): number {
  const line = output.split('\n').find((one) => one.includes(`│ ${row}`));
  return Number(/│ +([\d,]+) │$/.exec(line ?? '')?.[1]?.replaceAll(',', ''));
}

describe('npm run demo', () => {
  let demo: Demo | undefined;
  afterEach(async () => {
    demo?.process.kill('SIGKILL');
    await demo?.ended;
  });

  it(
    'commits or rolls back every transfer over two kills, and loses no money',
    async () => {
      demo = startDemo();
      const code = await demo.ended;
      const output = demo.output();
      expect(code, output).toBe(0);
      // No colours and no moving bar off a terminal.
      expect(output).not.toContain('\u001b');
      expect(output.match(/is dead: SIGKILL/g)).toHaveLength(2);

      const rows = {
        started: figure(output, 'transfers started'),
        committed: figure(output, '  committed'),
        rolledBack: figure(output, '  rolled back'),
        recoveredByCommit: figure(output, '  in doubt at a kill, recovered by commit'),
        recoveredByRollback: figure(output, '  in doubt at a kill, recovered by rollback'),
        cutOff: figure(output, '  cut off'),
      };
      const { started, ...ends } = rows;
      expect(started).toBe(600);
      expect(Object.values(ends).reduce((sum, count) => sum + count, 0)).toBe(started);
      expect(ends.rolledBack).toBeGreaterThan(0);
      expect(ends.recoveredByCommit).toBeGreaterThan(0);
      expect(ends.recoveredByRollback).toBeGreaterThan(0);
      expect(figure(output, 'transfers on one server only')).toBe(0);
      expect(figure(output, 'branches left in doubt')).toBe(0);
      expect(figure(output, 'sum of all balances before')).toBe(200_000);
      expect(figure(output, 'sum of all balances after')).toBe(200_000);
    },
    LIMIT_MS,
  );

  it(
    'removes its servers when it is interrupted',
    async () => {
      const running = startDemo();
      demo = running;
      await waitFor('the first transfers', () => /transfers \d+\/600/.test(running.output()), {
        timeoutMs: 30_000,
      });
      const servers = serversOf(running);
      expect(servers).toHaveLength(3);
      const children = childrenOf(running.pid);

      running.process.kill('SIGINT');
      expect(await running.ended, running.output()).toBe(130);
      expect(servers.filter(({ pid }) => lookAt(pid) !== undefined)).toEqual([]);
      expect(servers.filter(({ directory }) => existsSync(directory))).toEqual([]);
      // The reaper too, which has nothing left to do.
      await waitFor('the end of all of its children', () =>
        children.every((pid) => lookAt(pid) === undefined),
      );
    },
    LIMIT_MS,
  );
});
