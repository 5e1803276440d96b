/** Exit codes, streams and the verbs that are no daemon, each in a process of its own; real servers where SQL is. */
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { createBank, type Bank } from '../support/bank.ts';
import { runCli, temporaryFolder, type Folder } from '../support/cli.ts';
import { createDatabases, sharedServer } from '../support/shared-server.ts';
import { VERSION } from '../../src/version.ts';

describe('pgxa', () => {
  let folder: Folder;
  let bank: Bank | undefined;
  beforeEach(async () => {
    folder = await temporaryFolder();
  });
  afterEach(async () => {
    await bank?.close();
    bank = undefined;
    await folder.remove();
  });

  it.each([
    [['--help'], 0, /^Usage: pgxa/, /^$/],
    [['--version'], 0, new RegExp(`^${VERSION}\n$`), /^$/],
    [[], 2, /^$/, /^Usage: pgxa/],
    [['nonsense'], 2, /^$/, /unknown command 'nonsense'/],
    [['migrate', '--nonsense'], 2, /^$/, /unknown option '--nonsense'/],
    [['config', 'check', '--config', '/nowhere.yaml'], 2, /^$/, /nowhere.yaml: cannot be read/],
    [['daemon', '--config', '/nowhere.yaml'], 2, /^$/, /nowhere.yaml: cannot be read/],
  ])('%j ends with %i, data on stdout, the rest on stderr', async (args, code, out, err) => {
    const ended = await runCli(args);
    expect(ended.code).toBe(code);
    expect(ended.stdout).toMatch(out);
    expect(ended.stderr).toMatch(err);
  });

  it('config check tells every problem without a secret, and what it found when all is fine', async () => {
    const file = await folder.write(
      'pgxa.yaml',
      "decisionLog: { connectionString: 'postgres://u:topsecret@h/db' }\nparticipants: {}\nx: 1\n",
    );
    const bad = await runCli(['config', 'check', '--config', file]);
    expect(bad).toMatchObject({ code: 2, stdout: '' });
    expect(bad.stderr).toMatch(
      /participants: expected at least one[^]*x: unknown key|x: unknown key/,
    );
    expect(bad.stderr).not.toContain('topsecret');
    await folder.write('pgxa.yaml', 'decisionLog: { host: h }\nparticipants: { a: { host: h } }\n');
    expect(await runCli(['config', 'check'], { PGXA_CONFIG: file })).toEqual({
      code: 0,
      stdout: `${file}: fine, participants: a\n`,
      stderr: '',
    });
  });

  it('migrate --print shows the SQL and changes nothing; migrate makes the log; again it has nothing to do', async () => {
    const [database] = await createDatabases(1, 'log');
    const server = await sharedServer();
    const url = server.connectionString(String(database));
    const file = await folder.write('pgxa.yaml', `decisionLog: { connectionString: '${url}' }\n`);
    const schema = () =>
      server.query(String(database), "select to_regnamespace('pgxa') is not null as there");
    const printed = await runCli(['migrate', '--print', '--config', file]);
    expect(printed).toMatchObject({ code: 0, stderr: '' });
    expect(printed.stdout).toMatch(/^-- 1_decision_log.sql\n[^]*create table/);
    expect(await schema()).toEqual([{ there: false }]);
    expect(await runCli(['migrate', '--config', file])).toMatchObject({ code: 0, stdout: '' });
    expect(await schema()).toEqual([{ there: true }]);
    const again = await runCli(['migrate', '--config', file]);
    expect(again).toMatchObject({ code: 0, stdout: '' });
    expect(again.stderr).toContain('was up to date');
    expect((await runCli(['migrate', '--print', '--config', file])).stdout).toBe('');
  });

  it('migrate says why it cannot: nobody answers, or the log is newer', async () => {
    bank = await createBank();
    await bank.log.query(
      `insert into pgxa.migrations (id, name, hash, executed_at)
       select max(id) + 1, 'newer', 'hash', now() from pgxa.migrations`,
    );
    const newer = await folder.write(
      'newer.yaml',
      `decisionLog: { connectionString: '${bank.log.connectionString}' }`,
    );
    const said = await runCli(['migrate', '--config', newer]);
    expect(said.code).toBe(1);
    expect(said.stderr).toMatch(/PGXA_LOG_TOO_NEW/);
    const away = await folder.write(
      'away.yaml',
      "decisionLog: { connectionString: 'postgres://u:topsecret@127.0.0.1:1/db' }",
    );
    const refused = await runCli(['migrate', '--config', away]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/PGXA_LOG_UNREACHABLE/);
    expect(refused.stderr).not.toContain('topsecret');
  });

  it('migrate and daemon health wait no longer than --timeout for a server that accepts and says nothing', async () => {
    const silent = createServer(() => undefined).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    try {
      const file = await folder.write(
        'silent.yaml',
        `decisionLog: { connectionString: 'postgres://u@127.0.0.1:${port}/db' }
daemon: { http: { port: ${port} } }
participants: { orders: { connectionString: 'postgres://u@127.0.0.1:1/db' } }`,
      );
      const migrating = runCli(['migrate', '--timeout', '0.3', '--config', file]);
      expect(await migrating).toMatchObject({
        code: 1,
        stderr: expect.stringMatching(/timeout.*PGXA_LOG_UNREACHABLE/) as string,
      });
      const asking = runCli(['daemon', 'health', '--timeout', '0.3', '--config', file]);
      expect(await asking).toMatchObject({
        code: 1,
        stderr: expect.stringMatching(/no answer from .*timeout/) as string,
      });
    } finally {
      silent.close();
    }
  });
});
