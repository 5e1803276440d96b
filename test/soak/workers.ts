/** The processes of a soak: started, killed, frozen, started again, and each with links of its own. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { WireProxy } from '../support/wire-proxy.ts';
import type { HistoryWriter, WorkerEvent } from './history.ts';
import type { WorkerPlan } from './worker-plan.ts';
import type { SoakDatabase, World } from './world.ts';

export type Role = 'coordinator' | 'daemon' | 'operator';

export interface WorkerOptions {
  readonly name: string;
  readonly role: Role;
  readonly seed: number;
  readonly concurrency: number;
  readonly intervalMs: number;
  readonly heartbeatLimitMs: number;
  readonly history: HistoryWriter;
  readonly onEvent: (event: WorkerEvent) => void;
}

/** One worker: a process, and a proxy in front of every database, so that each link can be hurt alone. */
export class Worker {
  readonly name: string;
  readonly role: Role;
  readonly links: ReadonlyMap<string, WireProxy>;
  readonly #options: WorkerOptions;
  readonly #world: World;
  #process: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();
  #starts = 0;
  #meant: 'run' | 'end' | 'kill' = 'run';
  #frozen = false;

  private constructor(options: WorkerOptions, world: World, links: ReadonlyMap<string, WireProxy>) {
    this.name = options.name;
    this.role = options.role;
    this.links = links;
    this.#options = options;
    this.#world = world;
  }

  static async make(options: WorkerOptions, world: World): Promise<Worker> {
    const links = new Map<string, WireProxy>();
    for (const one of [world.log, ...world.participants]) {
      links.set(one.name, await WireProxy.inFrontOf(one.url()));
    }
    return new Worker(options, world, links);
  }

  get running(): boolean {
    return this.#process !== undefined && !this.#frozen;
  }

  get frozen(): boolean {
    return this.#frozen;
  }

  start(): void {
    this.#starts += 1;
    this.#meant = 'run';
    const { role, history, onEvent } = this.#options;
    const script = fileURLToPath(new URL(`./${role}-worker.ts`, import.meta.url));
    const child = spawn(
      process.execPath,
      ['--import', 'tsx', script, JSON.stringify(this.#plan())],
      { stdio: ['pipe', 'pipe', 'pipe'] },
    );
    this.#process = child;
    child.stdin.on('error', () => undefined);
    const who = `${this.name}#${this.#starts}`;
    let ready = false;
    const lines = createInterface({ input: child.stdout });
    lines.on('line', (line) => {
      const event = JSON.parse(line) as WorkerEvent;
      ready ||= event.kind === 'ready';
      history.write(who, event);
      onEvent(event);
    });
    let complaint = '';
    child.stderr.on('data', (bytes: Buffer) => {
      complaint = (complaint + bytes.toString('utf8')).slice(-4_000);
    });
    this.#ended = Promise.all([once(child, 'exit'), once(lines, 'close')]).then(([exit]) => {
      const [code, signal] = exit as [number | null, NodeJS.Signals | null];
      this.#process = undefined;
      this.#frozen = false;
      // One that is asked to end before it listens ends as it may.
      const ended = code === 0 || !ready;
      const expected =
        this.#meant === 'kill' ? signal === 'SIGKILL' : ended && this.#meant === 'end';
      const how = `${signal ?? `exit code ${String(code)}`}${complaint === '' ? '' : `: ${complaint}`}`;
      history.write('harness', { kind: 'process-ended', who, how, expected });
    });
  }

  async kill(): Promise<void> {
    if (this.#process === undefined) return;
    this.#meant = 'kill';
    this.#process.kill('SIGKILL');
    await this.#ended;
  }

  freeze(): void {
    this.#frozen = true;
    this.#process?.kill('SIGSTOP');
  }

  thaw(): void {
    this.#frozen = false;
    this.#process?.kill('SIGCONT');
  }

  /** Asks it to end; true if it has ended by itself in that time. */
  async end(timeoutMs: number): Promise<boolean> {
    if (this.#process === undefined) return true;
    this.#meant = 'end';
    this.#process.kill('SIGTERM');
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(resolve, timeoutMs, 'late');
    });
    const first = await Promise.race([this.#ended.then(() => 'ended' as const), late]);
    clearTimeout(timer);
    return first === 'ended';
  }

  tell(line: string): void {
    this.#process?.stdin?.write(`${line}\n`);
  }

  async close(): Promise<void> {
    await this.kill();
    await Promise.all([...this.links.values()].map((link) => link.close()));
  }

  #plan(): WorkerPlan {
    const { seed, concurrency, intervalMs, heartbeatLimitMs } = this.#options;
    const through = (one: SoakDatabase): string => {
      const link = this.links.get(one.name);
      if (link === undefined) throw new Error(`no link to ${one.name}`);
      return link.through(one.url());
    };
    return {
      name: this.name,
      seed: seed + this.#starts,
      logUrl: through(this.#world.log),
      participants: Object.fromEntries(
        this.#world.participants.map((one) => [one.name, through(one)]),
      ),
      heartbeatLimitMs,
      concurrency,
      intervalMs,
    };
  }
}
