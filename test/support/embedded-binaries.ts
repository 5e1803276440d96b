import { createHash } from 'node:crypto';
import { chmod, cp, mkdir, mkdtemp, rename, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runCommand } from '../../cli/sandbox/command.ts';
import {
  embeddedPackage,
  exists,
  hydrate,
  PLATFORM_PACKAGE as platformPackage,
  versionOf as versionIn,
} from '../../cli/sandbox/embedded-package.ts';
import { canReach, serverUser, type ServerUser } from '../../cli/sandbox/server-user.ts';

/** The programs of one PostgreSQL version, at a place where `user` can run them. */
export interface Installation {
  readonly bin: string;
  readonly version: string;
  readonly major: number;
  /** Tells builds of one version apart: they need not understand each other's data directories. */
  readonly build: string;
  readonly user: ServerUser | undefined;
}

const bundledMajor = 18;
const root = fileURLToPath(new URL('../../', import.meta.url));

export function wantedMajor(): number {
  const text = process.env['PGXA_TEST_POSTGRES_MAJOR'] ?? String(bundledMajor);
  const major = Number(text);
  if (!Number.isInteger(major) || major < 14 || major > 18) {
    throw new Error(`PGXA_TEST_POSTGRES_MAJOR must be 14, 15, 16, 17 or 18, not "${text}"`);
  }
  return major;
}

export async function findInstallation(): Promise<Installation> {
  const user = await serverUser();
  const given = process.env['PGXA_TEST_POSTGRES_BIN'];
  const bin = given ?? (await packagedBin(wantedMajor()));
  const version = await versionOf(bin);
  const major = Number(/^\d+/.exec(version)?.[0]);
  const mismatch = given === undefined || process.env['PGXA_TEST_POSTGRES_MAJOR'] !== undefined;
  if (mismatch && major !== wantedMajor()) {
    throw new Error(`PGXA_TEST_POSTGRES_MAJOR asks for ${wantedMajor()}, but ${bin} is ${version}`);
  }
  const reachable = given ?? (await makeReachable(bin, version, user));
  const build = given === undefined ? 'npm' : shortHash(given);
  return { bin: reachable, version, major, build, user };
}

function shortHash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 8);
}

async function versionOf(bin: string): Promise<string> {
  try {
    return await versionIn(bin);
  } catch (cause) {
    throw new Error(
      `cannot run ${join(bin, 'postgres')}: ${String(cause)}
Is PGXA_TEST_POSTGRES_BIN right, or the npm package ${platformPackage} damaged (npm ci)?`,
      { cause },
    );
  }
}

/** native/bin of the npm package: the dev dependency, or one from scripts/install-postgres.sh. */
async function packagedBin(major: number): Promise<string> {
  const folder =
    major === bundledMajor
      ? bundledPackage()
      : join(root, '.postgres', String(major), 'node_modules', platformPackage);
  const bin = join(folder, 'native', 'bin');
  if (!(await exists(bin))) {
    throw new Error(`PostgreSQL ${major} is not installed for the tests: no ${bin}.
Run: scripts/install-postgres.sh ${major}
Or use an installation of your own: PGXA_TEST_POSTGRES_BIN=/usr/lib/postgresql/${major}/bin`);
  }
  await hydrate(folder);
  return bin;
}

function bundledPackage(): string {
  const folder = embeddedPackage([import.meta.url]);
  if (folder !== undefined) return folder;
  throw new Error(
    `the npm package ${platformPackage} is not installed. Run: npm ci
If there is none for this platform: PGXA_TEST_POSTGRES_BIN, or PGXA_TEST_PROVIDER=testcontainers.`,
  );
}

/** A clone below /root cannot be entered by the server's user: it gets a copy of the programs. */
async function makeReachable(
  bin: string,
  version: string,
  user: ServerUser | undefined,
): Promise<string> {
  const native = dirname(bin);
  const needed = [join(bin, 'postgres'), join(native, 'lib'), join(native, 'share')];
  const answers = await Promise.all(needed.map((path) => canReach(path, user)));
  if (answers.every(Boolean)) return bin;
  const copy = join(await cacheDirectory(user), `native-${version}`);
  if (await exists(copy)) return join(copy, 'bin');
  await buildOnce(copy, async (target) => {
    await cp(native, target, { recursive: true, verbatimSymlinks: true });
    await runCommand('chmod', ['-R', 'a+rX', target]);
  });
  return join(copy, 'bin');
}

/** Kept between runs; everything in it appears by an atomic rename. */
export async function cacheDirectory(user: ServerUser | undefined): Promise<string> {
  if (!(await canReach(tmpdir(), user))) {
    throw new Error(`the tests run as root and their servers as uid ${user?.uid ?? '?'}, who cannot
enter ${tmpdir()}. Set TMPDIR to a folder that everybody may enter.`);
  }
  const folder = join(tmpdir(), `pgxa-test-cache-${process.getuid?.() ?? 'all'}`);
  await mkdir(folder, { recursive: true });
  // Its name can be guessed, and programs are run from it: it must not be somebody else's.
  const self = process.getuid?.();
  if (self !== undefined && (await stat(folder)).uid !== self) {
    throw new Error(`${folder} belongs to somebody else; remove it or set TMPDIR`);
  }
  await chmod(folder, 0o755);
  return folder;
}

/** Several processes may build the same thing; the first rename wins and the others throw away. */
export async function buildOnce(
  path: string,
  build: (target: string) => Promise<void>,
): Promise<void> {
  const work = await mkdtemp(`${path}.building-`);
  try {
    await chmod(work, 0o755);
    const target = join(work, 'result');
    await build(target);
    await rename(target, path).catch(async (error: unknown) => {
      if (!(await exists(path))) throw error;
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
