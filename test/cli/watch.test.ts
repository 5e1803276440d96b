/** `pgxa watch` on a terminal with a size, and off one; real servers, one of them silent. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';

import { BUILD_TIMEOUT_MS, builtCli } from '../support/built-cli.ts';
import { startOnPty } from '../support/pty.ts';
import { createTriageBank, type TriageBank } from '../support/triage-bank.ts';
import { waitFor } from '../support/wait.ts';

vi.setConfig({ testTimeout: 120_000 });

const TAKE = '\u001b[?1049h';
const GIVE_BACK = '\u001b[?1049l';
/** Colours and the like. */
// eslint-disable-next-line no-control-regex -- that is what they are made of
const STYLE = /\u001b\[[0-9;]+m/;

describe('pgxa watch', () => {
  let bank: TriageBank;
  let env: NodeJS.ProcessEnv;
  beforeAll(builtCli, BUILD_TIMEOUT_MS);
  beforeEach(async () => {
    bank = await createTriageBank();
    env = { PGXA_CONFIG: bank.config };
  });
  afterEach(() => bank.close());

  it('shows what is in doubt, again and again, fits any size, and gives the terminal back on q', async () => {
    const first = await bank.plant({ coordinator: 'silent' });
    const pty = await startOnPty(['watch', '-n', '0.3'], { env, columns: 50, rows: 4 });
    await pty.saw(TAKE);
    await pty.saw('1 in doubt');
    await pty.saw(first.id);
    await pty.saw('…');
    const second = await bank.plant({ coordinator: 'silent' });
    await pty.saw('2 in doubt');
    // Three lines of a table are too many below a title and a blank line.
    await pty.saw('more lines');
    const narrow = pty.screen().slice(pty.screen().indexOf(TAKE));
    await pty.resize(160, 30);
    await pty.saw(second.id);
    await pty.saw('undecided, dead coordinator');
    await pty.saw('orders billing');
    pty.type('w');
    await pty.saw('PARTICIPANT');
    pty.type('q');
    expect(await pty.ended).toBe(0);
    const screen = pty.screen();
    expect(screen.indexOf(GIVE_BACK)).toBeGreaterThan(screen.indexOf(TAKE));
    expect(screen.slice(screen.indexOf(GIVE_BACK)).trim()).toBe(GIVE_BACK);
    expect(screen).toMatch(STYLE);
    const lines = narrow.replaceAll('\u001b[H', '\n').split('\n').map(visible);
    const tooLong = lines.filter((line) => line.length > 50);
    expect(tooLong).toEqual([]);
  });

  it('uses no colours with NO_COLOR, and leaves the terminal as it was on Ctrl-C', async () => {
    await bank.plant({ coordinator: 'live' });
    const pty = await startOnPty(['watch'], { env: { ...env, NO_COLOR: '1' } });
    await pty.saw('undecided, live coordinator');
    pty.type('\u0003');
    expect(await pty.ended).toBe(0);
    expect(pty.screen()).not.toMatch(STYLE);
    expect(pty.screen()).toContain(GIVE_BACK);
  });

  it('is not frozen by a participant that accepts and says nothing: it is shown as missing, and q still quits', async () => {
    const { id } = await bank.plant({ coordinator: 'silent', on: ['orders'] });
    const sockets = new Set<Socket>();
    const silent = createServer((socket) => sockets.add(socket.on('error', () => undefined)));
    await once(silent.listen(0, '127.0.0.1'), 'listening');
    const { port } = silent.address() as AddressInfo;
    const config = await bank.writeConfig('silent.yaml', {
      orders: bank.participant('orders').connectionString,
      billing: `postgres://u@127.0.0.1:${port}/x`,
    });
    const args = ['watch', '--config', config, '--timeout', '1', '-n', '0.3'];
    const pty = await startOnPty(args, { env });
    await pty.saw('PARTIAL');
    await pty.saw('billing is unreachable');
    await pty.saw(id);
    await pty.saw('PARTIAL');
    pty.type('q');
    expect(await pty.ended).toBe(0);
    for (const socket of sockets) socket.destroy();
    silent.close();
  });

  it('goes on when the log goes away and comes back', async () => {
    const { id } = await bank.plant({ coordinator: 'silent' });
    const places = Object.fromEntries(
      bank.participants.map((one) => [one.name, one.connectionString]),
    );
    const config = await bank.writeConfig('moved.yaml', places, 'postgres://u@127.0.0.1:1/log');
    const pty = await startOnPty(['watch', '--config', config, '-n', '0.2'], { env });
    await pty.saw('the decision log does not answer');
    await pty.saw(id);
    await bank.writeConfig('moved.yaml', places);
    await pty.saw('undecided, dead coordinator');
    pty.type('q');
    expect(await pty.ended).toBe(0);
  });

  it('off a terminal prints one frame below the other, with -o jsonl one survey a line, until SIGTERM', async () => {
    const { id } = await bank.plant({ coordinator: 'silent' });
    const frames = await follow(['watch', '-n', '0.2'], 2, new RegExp(`^${id}`, 'gm'));
    expect(frames).toMatch(/^\d{4}-\d\d-\d\dT[^\n]*Z\nTRANSACTION/);
    expect(frames).not.toContain('\u001b');
    const lines = await follow(['watch', '-n', '0.2', '-o', 'jsonl'], 3, /\n/g);
    const surveys = lines
      .split('\n')
      .slice(0, 3)
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    for (const survey of surveys) {
      expect(survey).toMatchObject({
        schema: 'pgxa.survey/1',
        transactions: [{ transactionId: id }],
      });
    }
    expect(new Set(surveys.map((one) => one['takenAt'])).size).toBe(3);
  });

  it('looks at chosen participants alone; a wrong name, form or interval is exit code 2', async () => {
    await bank.plant({ coordinator: 'silent' });
    const lines = await follow(['watch', '-p', 'orders', '-o', 'jsonl'], 1, /\n/g);
    expect(JSON.parse(lines.split('\n')[0] ?? '')).toMatchObject({
      participants: [{ name: 'orders', status: 'listed' }],
    });
    const wrong = await bank.pgxa('watch', '-p', 'nobody');
    expect(wrong).toMatchObject({ code: 2, stdout: '' });
    expect(wrong.stderr).toMatch(/no participant is called "nobody" \(known: orders, billing\)/);
    expect(await bank.pgxa('watch', '-o', 'json')).toMatchObject({ code: 2, stdout: '' });
    expect(await bank.pgxa('watch', '-n', '0')).toMatchObject({ code: 2, stdout: '' });
  });

  /** Runs it off a terminal until `pattern` has come so many times, then ends it. */
  async function follow(args: readonly string[], times: number, pattern: RegExp): Promise<string> {
    const child = spawn(process.execPath, [await builtCli(), ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { PATH: process.env['PATH'], HOME: '/nonexistent', ...env },
    });
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (more: string) => (text += more));
    const ended = once(child, 'close');
    await waitFor(
      `${times} times ${String(pattern)}`,
      () => (text.match(pattern)?.length ?? 0) >= times,
      { timeoutMs: 20_000 },
    );
    child.kill('SIGTERM');
    expect(await ended).toEqual([0, null]);
    return text;
  }
});

/** Without control sequences. */
function visible(line: string): string {
  // eslint-disable-next-line no-control-regex -- that is what they are made of
  return line.replaceAll('\r', '').replace(/\u001b\[[?0-9;]*[A-Za-z]/g, '');
}
