/** `pgxa triage` on a terminal: what it offers, what it does, and that leaving it anywhere changes nothing. */
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';

import { BUILD_TIMEOUT_MS, builtCli } from '../support/built-cli.ts';
import { plant, SUBSCRIPTION_GID } from '../support/planted.ts';
import { startOnPty, type OnPty } from '../support/pty.ts';
import { createTriageBank, type TriageBank } from '../support/triage-bank.ts';

vi.setConfig({ testTimeout: 120_000 });

const ENTER = '\r';
const ESC = '\u001b';
const CTRL_C = '\u0003';
const DOWN = '\u001b[B';
const UP = '\u001b[A';

describe('pgxa triage', () => {
  let bank: TriageBank;
  beforeAll(builtCli, BUILD_TIMEOUT_MS);
  beforeEach(async () => {
    bank = await createTriageBank();
  });
  afterEach(() => bank.close());

  const start = (): Promise<OnPty> =>
    startOnPty(['triage'], { env: { PGXA_CONFIG: bank.config }, columns: 200, rows: 60 });
  const audit = async (): Promise<unknown[]> =>
    (await bank.log.query('select action, reason, transaction_id from pgxa.audit order by id')).map(
      (one) => Object.values(one),
    );

  /** Chooses the first one, and waits for what is offered for it. */
  async function open(pty: OnPty): Promise<void> {
    await pty.saw('Which one?');
    await pty.saw('Quit');
    pty.type(ENTER);
    await pty.saw('What is to be done?');
    await pty.saw('Leave it');
  }

  it('explains an undecided transaction and resolves it, as pgxa resolve does', async () => {
    const { id } = await bank.plant({ coordinator: 'silent' });
    const pty = await start();
    await open(pty);
    expect(pty.screen()).toContain('Verdict:      undecided, dead coordinator');
    expect(pty.screen()).toContain('win the abort in the log, then roll it back');
    pty.type(ENTER);
    await pty.saw('Do this?');
    expect(await bank.inDoubt()).toHaveLength(2);
    pty.type(`y${ENTER}`);
    await pty.saw('0 committed, 2 rolled back, 0 left in doubt');
    await pty.saw('nothing is in doubt');
    expect(await pty.ended).toBe(0);
    expect(await bank.inDoubt()).toEqual([]);
    expect(await audit()).toEqual([['resolve', null, id]]);
  });

  it.each([
    ['Esc', ESC],
    ['Ctrl-C', CTRL_C],
  ])('changes nothing when it is left with %s, at any of its questions', async (_, leave) => {
    const { id } = await bank.plant({ coordinator: 'silent' });
    const pty = await start();
    // At the confirmation of resolve, at the reason of force, and at the id.
    for (const [down, answers] of [
      [0, []],
      [3, []],
      [3, ['a reason']],
    ] as const) {
      await open(pty);
      pty.type(DOWN.repeat(down) + ENTER);
      await pty.saw(down === 0 ? 'Do this?' : 'Reason, for the audit:');
      for (const answer of answers) {
        pty.type(answer + ENTER);
        await pty.saw('Type the transaction id');
      }
      pty.type(leave);
      await pty.saw(/nothing was done/);
    }
    // At what is to be done, and at the list.
    await open(pty);
    pty.type(leave);
    await pty.saw('Which one?');
    await pty.saw('Quit');
    pty.type(leave);
    expect(await pty.ended).toBe(0);
    expect(await bank.inDoubt()).toHaveLength(2);
    expect(await bank.decisionOf(id)).toBeUndefined();
    expect(await audit()).toEqual([]);
  });

  it('forces only after the evidence, a reason, and the id typed back; another id does nothing', async () => {
    const { id } = await bank.plant({ coordinator: 'silent' });
    const pty = await start();
    const force = async (typed: string): Promise<void> => {
      await open(pty);
      pty.type(DOWN.repeat(3) + ENTER);
      await pty.saw('Locks held on orders');
      await pty.saw('Reason, for the audit:');
      pty.type(`incident 4711${ENTER}`);
      await pty.saw('This COMMITS by hand');
      pty.type(typed + ENTER);
    };
    await force(id.slice(0, -1));
    await pty.saw('refused: that is not the id; nothing was done');
    expect(await audit()).toEqual([]);
    await force(id);
    await pty.saw('decided in the log, for all branches: 2 committed');
    expect(await pty.ended).toBe(0);
    expect(await bank.markers()).toEqual({ orders: 1, billing: 1 });
    expect(await audit()).toEqual([
      ['force commit begins', 'incident 4711', id],
      ['resolve', null, id],
      ['force commit ended', 'incident 4711', id],
    ]);
  });

  it.each([
    ['a live coordinator holds it', { coordinator: 'live' }],
    ['the log does not know its epoch', { coordinator: 'unregistered' }],
  ] as const)('offers no way to decide, and none to resolve, while %s', async (_, state) => {
    await bank.plant(state);
    const pty = await start();
    await open(pty);
    pty.type(ESC);
    await pty.saw('Which one?');
    await pty.saw('Quit');
    pty.type(UP + ENTER);
    expect(await pty.ended).toBe(0);
    expect(pty.screen()).not.toMatch(/Decide by hand|Resolve it|Acknowledge/);
  });

  it('shows everything about a foreign one and has nothing else to offer', async () => {
    await plant(bank.participant('orders'), SUBSCRIPTION_GID);
    const pty = await start();
    await open(pty);
    pty.type(ENTER);
    await pty.saw('Locks held on orders');
    await pty.saw('What is to be done?');
    pty.type(CTRL_C);
    await pty.saw('Quit');
    pty.type(CTRL_C);
    expect(await pty.ended).toBe(0);
    expect(pty.screen()).toContain('Hands off');
    expect(pty.screen()).not.toMatch(/Decide by hand|Resolve it|Acknowledge/);
    expect(await bank.inDoubt()).toHaveLength(1);
  });

  it('acknowledges a heuristic outcome, as pgxa forget does', async () => {
    const { id } = await bank.plant({ coordinator: 'retired', decision: 'commit' });
    const forced = ['force', 'rollback', id, '--override', '--yes', '--reason', 'why'];
    await bank.pgxa(...forced);
    const before = (await audit()).length;
    const pty = await start();
    await open(pty);
    expect(pty.screen()).toContain('Acknowledge it');
    pty.type(ENTER);
    await pty.saw('Reason, for the audit:');
    pty.type(`mended${ENTER}`);
    await pty.saw('Somebody has looked');
    pty.type(`y${ENTER}`);
    await pty.saw('2 acknowledged');
    expect(await pty.ended).toBe(0);
    expect((await audit()).slice(before)).toEqual([['forget', 'mended', id]]);
  });

  it('off a terminal is wrong usage, and names the verbs to use instead', async () => {
    const end = await bank.pgxa('triage');
    expect(end).toMatchObject({ code: 2, stdout: '' });
    expect(end.stderr).toMatch(/no terminal.*pgxa list.*resolve ID --yes.*force.*forget/);
  });
});
