/** `pgxa completion`: what a real bash gets, live ids among it; zsh and fish: packaging/test/completion-shells.test.ts. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { promisify } from 'node:util';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';

import { BUILD_TIMEOUT_MS, builtCli } from '../support/built-cli.ts';
import { plant, SUBSCRIPTION_GID } from '../support/planted.ts';
import { createTriageBank, type TriageBank } from '../support/triage-bank.ts';

vi.setConfig({ testTimeout: 120_000 });

/** What bash does when Tab is pressed behind a line. */
const TAB = `
pgxa() { "$NODE" "$MAIN" "$@"; }
eval "$(pgxa completion bash)"
COMP_LINE=$1 COMP_POINT=\${#1}
read -ra COMP_WORDS <<< "$1"
[[ $1 == *' ' ]] && COMP_WORDS+=('')
COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
_pgxa
printf '%s\\n' "\${COMPREPLY[@]}"
`;

describe('pgxa completion', () => {
  let bank: TriageBank;
  let main: string;
  beforeAll(async () => {
    main = await builtCli();
  }, BUILD_TIMEOUT_MS);
  beforeEach(async () => {
    bank = await createTriageBank();
  });
  afterEach(() => bank.close());

  async function tab(line: string, config = bank.config): Promise<string[]> {
    const env = {
      PATH: process.env['PATH'],
      HOME: '/nonexistent',
      PGXA_CONFIG: config,
      NODE: process.execPath,
      MAIN: main,
    };
    const bash = ['--norc', '-c', TAB, 'bash', line];
    const { stdout, stderr } = await promisify(execFile)('bash', bash, { env });
    expect(stderr).toBe('');
    return stdout.split('\n').filter((one) => one !== '');
  }

  it('completes verbs, options, their values, and participants of the configuration, in bash', async () => {
    expect(await tab('pgxa re')).toEqual(['resolve', 'recover']);
    expect(await tab('pgxa force ')).toEqual(['commit', 'rollback']);
    expect(await tab('pgxa list --ou')).toEqual(['--output']);
    expect(await tab('pgxa list -o js')).toEqual(['json', 'jsonl']);
    expect(await tab('pgxa list --output js')).toEqual(['json', 'jsonl']);
    // = ends a word for bash: what is behind it is what it wants.
    expect(await tab('pgxa list --output=y')).toEqual(['yaml']);
    expect(await tab('pgxa watch -p ')).toEqual(['orders', 'billing']);
    expect(await tab('pgxa watch -p orders b')).toEqual(['billing']);
    expect(await tab('pgxa completion ')).toEqual(['bash', 'zsh', 'fish']);
    expect(await tab('pgxa ')).not.toContain('__complete');
  });

  it('completes the ids of what is in doubt, and those to acknowledge for forget', async () => {
    const { id } = await bank.plant({ coordinator: 'silent' });
    const forced = await bank.plant({ coordinator: 'retired', decision: 'commit', on: ['orders'] });
    const against = ['force', 'rollback', forced.id, '--override', '--yes', '--reason', 'why'];
    await bank.pgxa(...against);
    await plant(bank.participant('orders'), SUBSCRIPTION_GID);
    for (const verb of ['resolve', 'force commit', 'force rollback']) {
      expect(await tab(`pgxa ${verb} `)).toEqual([id, forced.id]);
    }
    expect(await tab('pgxa explain ')).toEqual([id, forced.id, SUBSCRIPTION_GID]);
    expect(await tab(`pgxa show ${id.slice(0, 15)}`)).toEqual([id]);
    expect(await tab('pgxa forget ')).toEqual([forced.id]);
    expect(await tab(`pgxa -c ${bank.config} resolve `, '/nowhere.yaml')).toContain(id);
  });

  it('offers no gid that a shell would not take for one plain word, and shows labels without signs', async () => {
    const orders = bank.participant('orders');
    for (const gid of ['a b', '$(touch /tmp/x)', '`id`', 'x;y', "q'q", '-rf', 'new\nline']) {
      await plant(orders, gid);
    }
    const label = 'a\tb$(id)`\u001b[2J\u202e\nsecond %F{red}';
    const { id } = await bank.plant({ coordinator: 'retired', decision: 'commit', label });
    expect(await tab('pgxa show ')).toEqual([id]);
    const { stdout } = await bank.pgxa('__complete', '--', 'show', '');
    expect(stdout).toBe(`${id}\tcommit, a b?(id)???2J? second ?F?red?\n`);
  });

  it('is silent, and quick, when the log or the configuration is away', async () => {
    expect(await tab('pgxa show ', '/nowhere.yaml')).toEqual([]);
    expect(await tab('pgxa watch -p ', '/nowhere.yaml')).toEqual([]);
    const sockets = new Set<Socket>();
    const silent = createServer((socket) => sockets.add(socket.on('error', () => undefined)));
    await once(silent.listen(0, '127.0.0.1'), 'listening');
    const { port } = silent.address() as AddressInfo;
    const url = `postgres://u@127.0.0.1:${port}/x`;
    const config = await bank.writeConfig('silent.yaml', { orders: url, billing: url }, url);
    const startedAt = performance.now();
    expect(await tab('pgxa show ', config)).toEqual([]);
    expect(performance.now() - startedAt).toBeLessThan(10_000);
    for (const socket of sockets) socket.destroy();
    silent.close();
  });

  it('another shell is exit code 2', async () => {
    expect(await bank.pgxa('completion', 'tcsh')).toMatchObject({ code: 2, stdout: '' });
  });
});
