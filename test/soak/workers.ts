/** The processes of a soak: started, killed, frozen, started again, and each with links of its own. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import type { Folder } from '../support/cli.ts';
import { freePort } from '../support/free-port.ts';
import { WireProxy } from '../support/wire-proxy.ts';
import { eventOf } from './daemon-lines.ts';
import type { HistoryWriter, WorkerEvent } from './history.ts';
import { environmentOf, type Pgxa } from './verbs.ts';
import { configText, type WorkerPlan } from './worker-plan.ts';
import type { SoakDatabase, World } from './world.ts';

export type Role = 'coordinator' | 'daemon' | 'operator';

export interface WorkerOptions {
  readonly name: string;
  readonly role: Role;
  readonly seed: number;
  readonly concurrency: number;
  readonly intervalMs: number;
  readonly heartbeatLimitMs: number;
  readonly forcesAgainst: boolean;
  /** The compiled command line. */
  readonly cli: string;
  /** For the configuration files of those that are `pgxa`. */
  readonly folder: Folder;
  readonly history: HistoryWriter;
  readonly onEvent: (event: WorkerEvent) => void;
}

/** One worker: a process, and a proxy in front of every database, so that each link can be hurt alone. */
export class Worker {
  readonly name: string;
  readonly role: Role;
  readonly links: ReadonlyMap<string, WireProxy>;
  /** As an operator on the machine of this process would call it. */
  readonly pgxa: Pgxa;
  readonly #httpPort: number;
  readonly #options: WorkerOptions;
  readonly #world: World;
  #process: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();
  #starts = 0;
  /** Events of the process that runs now, by kind. */
  #told = new Map<WorkerEvent['kind'], number>();
  #meant: 'run' | 'end' | 'kill' = 'run';
  #frozen = false;

  private constructor(
    options: WorkerOptions,
    world: World,
    links: ReadonlyMap<string, WireProxy>,
    httpPort: number,
  ) {
    const { cli, folder, name } = options;
    this.pgxa = { main: cli, configFile: `${folder.path}/${name}.yaml` };
    this.#httpPort = httpPort;
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
    const worker = new Worker(options, world, links, await freePort());
    // JSON is YAML.
    await options.folder.write(
      `${options.name}.yaml`,
      configText(worker.#plan(), worker.#httpPort),
    );
    return worker;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#httpPort}`;
  }

  get running(): boolean {
    return this.#process !== undefined && !this.#frozen;
  }

  get frozen(): boolean {
    return this.#frozen;
  }

  /** How often the process that runs now has said this. */
  told(kind: WorkerEvent['kind']): number {
    return this.#told.get(kind) ?? 0;
  }

  start(): void {
    this.#starts += 1;
    this.#told = new Map();
    this.#meant = 'run';
    const { role, history, onEvent } = this.#options;
    const child = spawn(process.execPath, this.#command(), {
      stdio: ['pipe', 'pipe', 'pipe'],
      // What an operator's script has started is killed and frozen with it: they are a group.
      detached: role === 'operator',
      ...(role === 'daemon' ? { env: environmentOf(this.pgxa) } : {}),
    });
    this.#process = child;
    child.stdin.on('error', () => undefined);
    const who = `${this.name}#${this.#starts}`;
    let ready = false;
    const lines = createInterface({ input: child.stdout });
    lines.on('line', (line) => {
      const event = role === 'daemon' ? eventOf(line) : (JSON.parse(line) as WorkerEvent);
      if (event === undefined) return;
      ready ||= event.kind === 'ready';
      this.#told.set(event.kind, this.told(event.kind) + 1);
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
    this.#signal('SIGKILL');
    await this.#ended;
  }

  freeze(): void {
    this.#frozen = true;
    this.#signal('SIGSTOP');
  }

  thaw(): void {
    this.#frozen = false;
    this.#signal('SIGCONT');
  }

  /** The process with all that it has started. */
  #signal(signal: NodeJS.Signals): void {
    const child = this.#process;
    if (child?.pid === undefined || child.exitCode !== null) return;
    if (this.role === 'operator') process.kill(-child.pid, signal);
    else child.kill(signal);
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

  #command(): readonly string[] {
    if (this.role === 'daemon') return [this.pgxa.main, 'daemon'];
    const script = fileURLToPath(new URL(`./${this.role}-worker.ts`, import.meta.url));
    return ['--import', 'tsx', script, JSON.stringify(this.#plan())];
  }

  #plan(): WorkerPlan {
    const { seed, concurrency, intervalMs, heartbeatLimitMs, forcesAgainst } = this.#options;
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
      cli: this.pgxa.main,
      configFile: this.pgxa.configFile,
      forcesAgainst,
    };
  }
}
