/** A decision log and two participants, each a server of its own. */
import { join } from 'node:path';

import { migrateDecisionLog } from '../../src/index.ts';
import type { SandboxPlaces } from './config-text.ts';
import { leaveDoubt, type Doubt } from './doubt.ts';
import {
  newPassword,
  openFolder,
  SERVERS,
  type SandboxFolder,
  type SandboxState,
} from './folder.ts';
import { postGuardian, type Dismiss } from './guardian.ts';
import { choosePorts } from './ports.ts';
import { SandboxProblem } from './problem.ts';
import { findPrograms, withinReach } from './programs.ts';
import { SandboxServer } from './server.ts';

export interface SandboxWishes {
  readonly dir: string | undefined;
  readonly bin: string | undefined;
  readonly port: number | undefined;
  readonly keep: boolean;
  readonly cwd: string;
}

/** The decision log's database; a participant's has the name of the participant. */
const LOG_DATABASE = 'decisions';
const ACCOUNTS = [
  'create table account (id int primary key, balance bigint not null check (balance >= 0))',
  'insert into account select id, 1000 from generate_series(1, 10) id',
];

export class Sandbox {
  readonly #folder: SandboxFolder;
  readonly #servers: readonly SandboxServer[];
  readonly #dismiss: Dismiss;
  readonly #keep: boolean;
  readonly #state: SandboxState;
  readonly version: string;
  /** It can be gone on with. */
  #isComplete: boolean;

  private constructor(
    folder: SandboxFolder,
    servers: readonly SandboxServer[],
    version: string,
    state: SandboxState,
    keep: boolean,
  ) {
    this.#folder = folder;
    this.#state = state;
    this.#isComplete = folder.kept !== undefined;
    this.#servers = servers;
    this.#keep = keep;
    this.version = version;
    this.#dismiss = postGuardian(
      servers.map(({ dataFolder }) => dataFolder),
      keep ? undefined : folder.path,
    );
  }

  /**
   * Finds all that is needed; nothing runs yet, and `stop()` has to be called in the end.
   *
   * @throws SandboxProblem that says what to do.
   */
  static async prepare({ dir, bin, port, keep, cwd }: SandboxWishes): Promise<Sandbox> {
    const found = await findPrograms(bin, cwd);
    const folder = await openFolder(dir, cwd, found.user);
    const { kept, path } = folder;
    try {
      const major = Number.parseInt(found.version, 10);
      if (kept !== undefined && kept.major !== major) {
        throw new SandboxProblem(
          `${path} was made by PostgreSQL ${kept.major}, and this is ${found.version}: give the other one ` +
            'with --bin, or begin anew in another --dir',
        );
      }
      const ports = await choosePorts(port, kept?.ports);
      const password = kept?.password ?? newPassword();
      const programs = await withinReach(found, path);
      const servers = SERVERS.map(
        (name, at) =>
          new SandboxServer({
            name,
            folder: join(path, name),
            port: ports[at] ?? 0,
            password,
            programs,
          }),
      );
      return new Sandbox(folder, servers, found.version, { major, ports, password }, keep);
    } catch (error) {
      if (kept === undefined) await folder.remove();
      throw error;
    }
  }

  get path(): string {
    return this.#folder.path;
  }

  /** Half of one is of no use to anybody. */
  get isKept(): boolean {
    return this.#keep && this.#isComplete;
  }

  get servers(): readonly SandboxServer[] {
    return this.#servers;
  }

  get places(): SandboxPlaces {
    return {
      log: this.#server('log').url(LOG_DATABASE),
      participants: {
        orders: this.#server('orders').url('orders'),
        billing: this.#server('billing').url('billing'),
      },
    };
  }

  /** Starts the servers; in a new sandbox, makes the log and the tables. */
  async start(): Promise<void> {
    // All of them are waited for, so that none starts behind the back of stop().
    const started = await Promise.allSettled(this.#servers.map((server) => server.start()));
    for (const one of started) if (one.status === 'rejected') throw one.reason;
    if (!this.#isComplete) await this.#fill();
    await this.#folder.remember(this.#state);
    this.#isComplete = true;
  }

  async #fill(): Promise<void> {
    await this.#server('log').run('postgres', [`create database ${LOG_DATABASE}`]);
    await Promise.all(
      ['orders', 'billing'].map(async (name) => {
        const server = this.#server(name);
        await server.run('postgres', [`create database ${name}`]);
        await server.run(name, ACCOUNTS);
      }),
    );
    await migrateDecisionLog({ connectionString: this.places.log });
  }

  leaveDoubt(): Promise<Doubt> {
    return leaveDoubt(this.places, this.#server('billing'));
  }

  /** Stops the servers and, unless it is kept, removes their data. */
  async stop(): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.stop()));
    this.#dismiss();
    if (!this.isKept) await this.#folder.remove();
  }

  #server(name: string): SandboxServer {
    const found = this.#servers.find((one) => one.name === name);
    if (found === undefined) throw new Error(`unreachable: no server ${name}`);
    return found;
  }
}
