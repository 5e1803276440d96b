import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import type { Installation } from './embedded-binaries.ts';
import { childrenOf, continueTree, killTree, lookAt, signal, stopTree } from './process-tree.mjs';
import { reapServer, serverStopped } from './reaper-client.ts';
import { waitFor } from './wait.ts';

/** One run of one server: the postmaster process and, through it, all of its children. */
export class Postmaster {
  readonly pid: number;
  readonly #process: ChildProcess;

  constructor({ bin, user }: Installation, data: string, logFile: string) {
    const log = openSync(logFile, 'a');
    try {
      this.#process = spawn(join(bin, 'postgres'), ['-D', data], {
        ...user,
        cwd: data,
        // Not in our process group: Ctrl-C is for the tests, which then stop their servers.
        detached: true,
        stdio: ['ignore', log, log],
        env: { PATH: process.env['PATH'], LC_ALL: 'C', TZ: 'UTC' },
      });
    } finally {
      closeSync(log);
    }
    this.#process.on('error', () => undefined);
    this.#process.unref();
    if (this.#process.pid === undefined) {
      throw new Error(`cannot start ${join(bin, 'postgres')} as uid ${user?.uid ?? 'self'}`);
    }
    this.pid = this.#process.pid;
    reapServer(this.pid);
  }

  /** How the process ended, or undefined while it runs. */
  get ended(): string | undefined {
    const { exitCode, signalCode } = this.#process;
    if (exitCode !== null) return `exit code ${exitCode}`;
    return signalCode ?? undefined;
  }

  /** Asks the server to stop and waits until the postmaster and all of its children are gone. */
  async stop(signalName: 'SIGINT' | 'SIGQUIT', timeoutMs: number): Promise<void> {
    this.resume();
    const pids = this.#tree();
    if (this.ended === undefined) signal(this.pid, signalName);
    await this.#gone(pids, timeoutMs);
  }

  async kill(): Promise<void> {
    const pids = this.ended === undefined ? killTree(this.pid) : [];
    await this.#gone(pids, 10_000);
  }

  pause(): void {
    stopTree(this.pid);
  }

  resume(): void {
    continueTree(this.pid);
  }

  signalBackend(pid: number, signalName: NodeJS.Signals): void {
    if (!this.#tree().includes(pid)) {
      throw new Error(`process ${pid} is not one of the server with postmaster ${this.pid}`);
    }
    signal(pid, signalName);
  }

  #tree(): number[] {
    return [this.pid, ...childrenOf(this.pid)];
  }

  async #gone(pids: readonly number[], timeoutMs: number): Promise<void> {
    await waitFor(
      `the end of postmaster ${this.pid} and its children`,
      () => this.ended !== undefined && pids.every((pid) => lookAt(pid) === undefined),
      { timeoutMs },
    );
    serverStopped(this.pid);
  }
}
