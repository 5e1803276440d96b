import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { appendFile, chown, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { DedicatedConnection } from '../../src/postgres/dedicated-connection.ts';
import { runCommand } from './command.ts';
import { exists } from './embedded-package.ts';
import { SandboxProblem } from './problem.ts';
import type { Programs } from './programs.ts';

const READY_WITHIN_MS = 30_000;
const LOOK_EVERY_MS = 50;
const STOP_WITHIN_MS = 10_000;

export interface ServerPlan {
  readonly name: string;
  /** Holds its data and its log. */
  readonly folder: string;
  readonly port: number;
  readonly password: string;
  readonly programs: Programs;
}

/** One PostgreSQL server, reachable from this machine alone. */
export class SandboxServer {
  readonly name: string;
  readonly port: number;
  readonly #plan: ServerPlan;
  #process: ChildProcess | undefined;

  constructor(plan: ServerPlan) {
    this.name = plan.name;
    this.port = plan.port;
    this.#plan = plan;
  }

  get dataFolder(): string {
    return join(this.#plan.folder, 'data');
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /** Resolves when the server has ended, with how it did. */
  async ended(): Promise<string> {
    const child = this.#process;
    if (child === undefined) return 'not started';
    if (endOf(child) === undefined) await once(child, 'exit');
    return endOf(child) ?? 'ended';
  }

  url(database: string): string {
    return `postgresql://postgres:${this.#plan.password}@127.0.0.1:${this.port}/${database}`;
  }

  /** Makes its data if there are none yet, and waits until it answers. */
  async start(): Promise<void> {
    if (!(await exists(join(this.dataFolder, 'PG_VERSION')))) await this.#initialize();
    await this.#writeSettings();
    const child = this.#spawn();
    this.#process = child;
    await this.#untilReady(child);
  }

  /** Runs statements, each on its own, in one session. */
  async run(database: string, statements: readonly string[]): Promise<void> {
    const connection = this.#connect(database);
    try {
      for (const text of statements) await connection.run({ text });
    } finally {
      await connection.close();
    }
  }

  /** Never rejects. */
  async stop(): Promise<void> {
    const child = this.#process;
    if (child?.pid === undefined || endOf(child) !== undefined) return;
    const gone = once(child, 'exit');
    for (const signal of ['SIGINT', 'SIGQUIT', 'SIGKILL'] as const) {
      child.kill(signal);
      const waiting = new AbortController();
      const late = delay(STOP_WITHIN_MS, 'late', { signal: waiting.signal, ref: true });
      const end = await Promise.race([gone, late]);
      waiting.abort();
      late.catch(() => undefined);
      if (end !== 'late') return;
    }
  }

  async #initialize(): Promise<void> {
    const { programs, password, folder } = this.#plan;
    const { bin, user } = programs;
    const passwordFile = join(folder, 'password');
    await mkdir(this.dataFolder, { recursive: true, mode: 0o700 });
    await writeFile(passwordFile, password, { mode: 0o600 });
    for (const path of user === undefined ? [] : [folder, this.dataFolder, passwordFile]) {
      await chown(path, user?.uid ?? 0, user?.gid ?? 0);
    }
    const options = [
      '--username=postgres',
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      '--locale=C',
    ];
    await runCommand(
      join(bin, 'initdb'),
      ['-D', this.dataFolder, '--no-sync', `--pwfile=${passwordFile}`, ...options],
      { ...user, cwd: folder },
    );
    await rm(passwordFile);
    await appendFile(join(this.dataFolder, 'postgresql.conf'), "\ninclude 'sandbox.conf'\n");
  }

  /** At each start: a kept one may have got another port. */
  async #writeSettings(): Promise<void> {
    const { name, port, programs } = this.#plan;
    const file = join(this.dataFolder, 'sandbox.conf');
    const lines = [
      `port = ${port}`,
      "listen_addresses = '127.0.0.1'",
      // The path of a socket may have about a hundred letters only.
      "unix_socket_directories = ''",
      'max_prepared_transactions = 64',
      'max_connections = 50',
      "shared_buffers = '32MB'",
      // Not in /dev/shm, which is small in containers.
      'dynamic_shared_memory_type = mmap',
      `cluster_name = 'pgxa-sandbox-${name}'`,
      "log_line_prefix = '%m [%p] %q%u@%d '",
    ];
    await writeFile(file, `${lines.join('\n')}\n`);
    if (programs.user !== undefined) await chown(file, programs.user.uid, programs.user.gid);
  }

  #spawn(): ChildProcess {
    const { folder, programs } = this.#plan;
    const log = openSync(join(folder, 'server.log'), 'a', 0o600);
    try {
      const child = spawn(join(programs.bin, 'postgres'), ['-D', this.dataFolder], {
        ...programs.user,
        cwd: this.dataFolder,
        // Not in the group of the terminal: Ctrl-C is for pgxa, which then stops its servers.
        detached: true,
        stdio: ['ignore', log, log],
        env: { PATH: process.env['PATH'], LC_ALL: 'C', TZ: 'UTC' },
      });
      child.on('error', () => undefined);
      return child;
    } finally {
      closeSync(log);
    }
  }

  async #untilReady(child: ChildProcess): Promise<void> {
    const end = performance.now() + READY_WITHIN_MS;
    for (;;) {
      const ended = child.pid === undefined ? 'could not be run' : endOf(child);
      if (ended !== undefined) throw await this.#failure(`did not start (${ended})`);
      try {
        await this.run('postgres', ['select 1']);
        return;
      } catch (error) {
        if (performance.now() > end) throw await this.#failure(`does not answer: ${String(error)}`);
      }
      await delay(LOOK_EVERY_MS);
    }
  }

  async #failure(what: string): Promise<SandboxProblem> {
    const log = await readFile(join(this.#plan.folder, 'server.log'), 'utf8').catch(() => '');
    return new SandboxProblem(
      `server ${this.name} ${what}; its log ends with:\n${log.trimEnd().split('\n').slice(-8).join('\n')}`,
    );
  }

  #connect(database: string): DedicatedConnection {
    return new DedicatedConnection({
      config: {
        host: '127.0.0.1',
        port: this.port,
        user: 'postgres',
        password: this.#plan.password,
        database,
        application_name: 'pgxa sandbox',
        ssl: false,
      },
      connectTimeoutMs: 5_000,
      commandTimeoutMs: 30_000,
    });
  }
}

function endOf({ exitCode, signalCode }: ChildProcess): string | undefined {
  return exitCode !== null ? `exit code ${exitCode}` : (signalCode ?? undefined);
}
