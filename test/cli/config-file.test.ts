/** The configuration file as people write it, read as the daemon reads it: no server is asked. */
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { loadConfigFile } from '../../cli/config-file.ts';
import { ConfigFileError } from '../../cli/config/problem.ts';
import { redactUris } from '../../cli/config/redact.ts';
import { temporaryFolder, type Folder } from '../support/cli.ts';

const MINIMAL = `
decisionLog: { connectionString: 'postgresql://pgxa@log/decisions' }
participants:
  orders: { connectionString: 'postgresql://pgxa@db1/orders' }
`;

describe('the configuration file', () => {
  let folder: Folder;
  beforeEach(async () => {
    folder = await temporaryFolder();
  });
  afterEach(() => folder.remove());

  const load = async (text: string, env: NodeJS.ProcessEnv = {}) => {
    const file = await folder.write('pgxa.yaml', text);
    return loadConfigFile(file, { env, cwd: folder.path });
  };
  const refusal = async (text: string, env: NodeJS.ProcessEnv = {}): Promise<string> => {
    try {
      await load(text, env);
    } catch (error) {
      if (error instanceof ConfigFileError) return error.message;
      throw error;
    }
    throw new Error('it was not refused');
  };

  it('needs a log and a participant; everything else has a default', async () => {
    const { settings } = await load(MINIMAL);
    expect(settings).toMatchObject({
      heartbeatLimitMs: 10_000,
      connectTimeoutMs: 5_000,
      daemon: {
        intervalMs: 1_000,
        leaseMs: 5_000,
        retentionDays: 7,
        log: 'info',
        http: { host: '127.0.0.1', port: 9742 },
      },
    });
    expect(settings.daemon.name).not.toBe('');
  });

  it('may be JSON', async () => {
    const { settings } = await load(
      JSON.stringify({ decisionLog: { host: 'log' }, participants: { a: { host: 'db' } } }),
    );
    expect(settings.decisionLog).toMatchObject({ host: 'log' });
  });

  it('says everything that is wrong at once, with line, path and hint', async () => {
    const said = await refusal(`decisionLog:
  connectionString: mysql://log
participants:
  orders: { database: orders, prot: 5432 }
  9lives: { database: x }
  billing: { database: billing, password: 1234 }
daemon:
  intervalMs: soon
  retentionDays: 1
  http: { host: 0.0.0.0 }
intervalMs: 5
`);
    const lines = said.split('\n').map((line) => line.replaceAll(`${folder.path}/`, ''));
    expect(lines[0]).toBe('8 problems');
    expect(lines).toContainEqual(
      expect.stringMatching(/^pgxa.yaml:2: decisionLog.connectionString: expected a URL/),
    );
    expect(lines).toContain(
      'pgxa.yaml:4: participants.orders.prot: unknown key (did you mean port?)',
    );
    expect(lines).toContainEqual(expect.stringMatching(/^pgxa.yaml:5: participants.9lives: /));
    expect(lines).toContainEqual(
      expect.stringMatching(/:6: participants.billing.password: .*quotes/),
    );
    expect(lines).toContainEqual(expect.stringMatching(/:8: daemon.intervalMs: expected number/));
    expect(lines).toContainEqual(expect.stringMatching(/:9: daemon.retentionDays: /));
    expect(lines).toContainEqual(expect.stringMatching(/:10: daemon.http.host: .*tokenFile/));
    expect(lines).toContainEqual(expect.stringMatching(/:11: intervalMs: unknown key/));
    expect(said).not.toContain('1234');
  });

  it('is refused with a line when it is no YAML, and never quoted: there may be a password in it', async () => {
    const said = await refusal(`${MINIMAL}secret: "topsecret\n`);
    expect(said).toMatch(/pgxa.yaml:\d+: /);
    expect(said).not.toContain('topsecret');
  });

  it('one that is empty or cannot be read is told so', async () => {
    expect(await refusal('')).toContain('expected object');
    const missing = join(folder.path, 'nowhere.yaml');
    expect(() => loadConfigFile(missing, { env: {}, cwd: '/' })).toThrow(/nowhere.*ENOENT/);
  });

  it('references: values from the environment, defaults, numbers, and an escape', async () => {
    const { settings } = await load(
      `decisionLog: { host: '\${LOG_HOST}', port: '\${LOG_PORT:-6543}', database: 'a$\${b' }
participants: { orders: { connectionString: 'postgresql://u:\${PW}@\${DB:-localhost}/orders' } }
daemon: { intervalMs: '\${INTERVAL}' }`,
      { LOG_HOST: 'log.internal', PW: 'hush-hush', INTERVAL: '250', DB: '' },
    );
    expect(settings.decisionLog).toMatchObject({
      host: 'log.internal',
      port: 6_543,
      database: 'a${b',
    });
    expect(settings.participants['orders']?.connectionString).toBe(
      'postgresql://u:hush-hush@localhost/orders',
    );
    expect(settings.daemon.intervalMs).toBe(250);
  });

  it('references that nobody set are all named', async () => {
    const said = await refusal(`${MINIMAL}daemon: { name: '\${A}-\${B}', log: '\${' }`);
    expect(said).toContain('daemon.name: the environment has no A');
    expect(said).toContain('daemon.log: a reference that is not closed');
  });

  it('secrets from files and credentials: DSN, password (read anew for every connection), token', async () => {
    await folder.write('log-dsn', 'postgresql://u:first-secret@log/decisions\n');
    await folder.write('pw', 'old-password\n');
    await folder.write('token', 'a-token-of-24-characters\n');
    const { settings, redactor } = await load(
      `decisionLog: { connectionString: { credential: log-dsn } }
participants: { orders: { host: db1, password: { file: pw } } }
daemon: { http: { host: '::', token: { file: token } } }`,
      { CREDENTIALS_DIRECTORY: folder.path },
    );
    expect(settings.decisionLog.connectionString).toBe('postgresql://u:first-secret@log/decisions');
    const password = settings.participants['orders']?.password as () => string;
    expect(password()).toBe('old-password');
    await folder.write('pw', 'new-password\n');
    expect(password()).toBe('new-password');
    expect(settings.daemon.http).toMatchObject({ token: 'a-token-of-24-characters' });
    const text = 'first-secret old-password new-password a-token-of-24-characters fine';
    expect(redactor.redact(text)).toBe('*** *** *** *** fine');
  });

  it('secrets that cannot be read are problems, all of them, without follow-ups', async () => {
    await folder.write('empty', '');
    const said = await refusal(`
decisionLog: { connectionString: { credential: dsn } }
participants:
  orders: { host: db1, password: { file: nowhere } }
  billing: { host: db2, password: { file: empty } }
  more: { host: db3, password: { vault: x } }
daemon: { http: { host: 0.0.0.0, tokenFile: nowhere } }`);
    expect(said.split('\n')).toHaveLength(6);
    expect(said).toContain('decisionLog.connectionString: there is no $CREDENTIALS_DIRECTORY');
    expect(said).toMatch(/orders.password: cannot read .*nowhere: ENOENT/);
    expect(said).toMatch(/billing.password: .*empty is empty/);
    expect(said).toContain('more.password: not a secret');
    expect(said).toMatch(/daemon.http.tokenFile: cannot read/);
  });

  it('PG* variables fill what is left open, a service goes before them, what is written before both', async () => {
    const services = await folder.write(
      'services.conf',
      '# mine\n[other]\nhost=wrong\n[log]\nhost=from-service\nport=7777\ndbname=decisions\nsslmode=disable\n',
    );
    const env = { PGHOST: 'from-env', PGUSER: 'env-user', PGSERVICEFILE: services };
    const { settings } = await load(
      `decisionLog: { service: log, port: 8888 }\nparticipants: { orders: { database: orders } }`,
      env,
    );
    expect(settings.decisionLog).toMatchObject({
      host: 'from-service',
      port: 8_888,
      database: 'decisions',
      user: 'env-user',
      ssl: false,
    });
    expect(settings.participants['orders']).toMatchObject({ host: 'from-env', database: 'orders' });
    expect(await refusal(`decisionLog: { service: nope }\nparticipants: { a: {} }`, env)).toMatch(
      /decisionLog.service: there is no service "nope" \(looked in /,
    );
    const all = await load('decisionLog: {}\nparticipants: { a: { host: x } }', {
      ...env,
      PGSERVICE: 'log',
    });
    expect(all.settings.decisionLog).toMatchObject({ host: 'from-service' });
  });

  it('finds the file: named, PGXA_CONFIG, the working directory, XDG; else says where it looked', async () => {
    const file = await folder.write('pgxa.yaml', MINIMAL);
    const other = await folder.write('other.yaml', MINIMAL);
    const cwd = folder.path;
    expect(loadConfigFile(undefined, { env: { HOME: '/nonexistent' }, cwd }).file).toBe(file);
    expect(loadConfigFile(undefined, { env: { PGXA_CONFIG: other }, cwd }).file).toBe(other);
    expect(loadConfigFile('other.yaml', { env: { PGXA_CONFIG: file }, cwd }).file).toBe(other);
    expect(() => loadConfigFile(undefined, { env: { HOME: '/nonexistent' }, cwd: '/' })).toThrow(
      /\/nonexistent\/.config\/pgxa\/pgxa.yaml, \/etc\/pgxa\/pgxa.yaml/,
    );
  });

  it.each([
    ['postgresql://u:secret@h/db', 'postgresql://u:***@h/db'],
    ['at postgres://u:p@ss/w@h:5432/db failed', 'at postgres://u:***@h:5432/db failed'],
    ['postgresql://h/db?password=secret&x=1', 'postgresql://h/db?password=***&x=1'],
    ["host=h password='a b' user=u", 'host=h password=*** user=u'],
    ['http://127.0.0.1:9742/livez', 'http://127.0.0.1:9742/livez'],
  ])('hides the password in %s', (text, hidden) => {
    expect(redactUris(text)).toBe(hidden);
  });
});
