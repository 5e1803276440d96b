/** A container in which systemd is process 1, with the packed package installed and the unit in place. */
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { waitFor } from '../../test/support/wait.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
const UNIT = 'pgxa-daemon.service';
const MEGABYTES_64 = 64 << 20;

export interface UnitState {
  readonly ActiveState: string;
  readonly SubState: string;
  readonly StatusText: string;
  readonly Result: string;
  readonly MainPID: string;
  readonly NRestarts: string;
  readonly ExecMainStatus: string;
}

export interface JournalEntry {
  readonly MESSAGE: string;
  readonly PRIORITY: string;
}

export class SystemdContainer {
  readonly #id: string;

  private constructor(id: string) {
    this.#id = id;
  }

  /** `image` boots systemd and has node: docker/node-image.sh makes one. */
  static async boot(image: string): Promise<SystemdContainer> {
    // On the host's network, where the test's PostgreSQL servers listen on the loopback address.
    const { stdout } = await run('docker', [
      ...['run', '--detach', '--label', 'pgxa.test=systemd', '--network', 'host'],
      // SYS_PTRACE: beside ProtectProc=invisible, PrivateUsers= looks at a process that it could not see.
      ...['--cap-add', 'SYS_ADMIN', '--cap-add', 'SYS_PTRACE'],
      ...['--security-opt', 'seccomp=unconfined'],
      ...['--security-opt', 'apparmor=unconfined', '--tmpfs', '/run', '--tmpfs', '/tmp'],
      ...['--volume', '/sys/fs/cgroup:/sys/fs/cgroup:rw', image],
    ]);
    const container = new SystemdContainer(stdout.trim());
    try {
      await waitFor(
        'systemd to be up',
        async () => /running|degraded/.test(await container.say('systemctl is-system-running')),
        { timeoutMs: 60_000, intervalMs: 200 },
      );
      await container.#install();
      return container;
    } catch (error) {
      await container.remove();
      throw error;
    }
  }

  /** Runs a shell line; rejects with its output if it fails. */
  async sh(line: string): Promise<string> {
    const { stdout } = await run('docker', ['exec', this.#id, 'sh', '-c', line], {
      maxBuffer: MEGABYTES_64,
    });
    return stdout;
  }

  /** What a shell line says, whether it succeeds or not. */
  async say(line: string): Promise<string> {
    return this.sh(`(${line}) 2>&1 || true`);
  }

  async write(path: string, text: string, mode = 0o644): Promise<void> {
    const stage = await mkdtemp(join(tmpdir(), 'pgxa-stage-'));
    try {
      await writeFile(join(stage, 'file'), text, { mode });
      await this.sh(`mkdir -p ${dirname(path)}`);
      await run('docker', ['cp', join(stage, 'file'), `${this.#id}:${path}`]);
    } finally {
      await rm(stage, { recursive: true });
    }
  }

  async state(): Promise<UnitState> {
    const names = 'ActiveState,SubState,StatusText,Result,MainPID,NRestarts,ExecMainStatus';
    const text = await this.sh(`systemctl show ${UNIT} --property ${names}`);
    const pairs = text.trim().split('\n');
    return Object.fromEntries(
      pairs.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
    ) as unknown as UnitState;
  }

  /** Everything that the unit and systemd said about it. */
  async journal(): Promise<JournalEntry[]> {
    const text = await this.sh(`journalctl --unit ${UNIT} --output json --no-pager`);
    return text
      .trim()
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as JournalEntry);
  }

  async remove(): Promise<void> {
    await run('docker', ['rm', '--force', '--volumes', this.#id]);
  }

  /** As docs/daemon.md says: npm install --global, then the unit. */
  async #install(): Promise<void> {
    const stage = await mkdtemp(join(tmpdir(), 'pgxa-install-'));
    try {
      const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', stage], {
        cwd: root,
        maxBuffer: MEGABYTES_64,
      });
      const [packed] = JSON.parse(stdout.slice(stdout.indexOf('['))) as { filename: string }[];
      const prefix = join(stage, 'usr');
      await mkdir(prefix);
      const options = ['--global', '--prefix', prefix, '--no-audit', '--no-fund'];
      await run('npm', ['install', ...options, join(stage, packed?.filename ?? ''), 'pg']);
      await cp(join(prefix, 'lib/node_modules/pgxa/packaging/systemd', UNIT), join(stage, UNIT));
      await run('docker', ['cp', `${prefix}/.`, `${this.#id}:/usr/local`]);
      await run('docker', ['cp', join(stage, UNIT), `${this.#id}:/etc/systemd/system/${UNIT}`]);
    } finally {
      await rm(stage, { recursive: true, force: true });
    }
  }
}
