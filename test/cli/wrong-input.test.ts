/** Wrong input of the verbs that look at one transaction or end one: what was expected, what came, how to mend it. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

import { BUILD_TIMEOUT_MS, builtCli } from '../support/built-cli.ts';
import { createTriageBank, type TriageBank } from '../support/triage-bank.ts';

// Each command is a process of its own, and the machine may be busy.
vi.setConfig({ testTimeout: 120_000, hookTimeout: BUILD_TIMEOUT_MS });

describe('wrong input', () => {
  let bank: TriageBank;
  beforeAll(async () => {
    await builtCli();
    bank = await createTriageBank();
  });
  afterAll(() => bank.close());

  const FORCED = ['--yes', '--reason', 'x'];

  it.each<[readonly string[], number, RegExp]>([
    [['show'], 2, /missing required argument 'id'/],
    [['show', 'a', 'b'], 2, /Expected 1 argument but got 2/],
    [['show', 'a', '--frob'], 2, /unknown option '--frob'/],
    [
      ['show', ''],
      1,
      /expected a transaction id, a gid, or the beginning of one; got an empty text/,
    ],
    [['show', 'zz'], 1, /nothing is called "zz": .*"pgxa list" shows what is in doubt/],
    [['explain'], 2, /missing required argument 'id'/],
    [['explain', '01a'], 1, /at least 4 digits are needed/],
    [['explain', '   '], 1, /got an empty text/],
    [['explain', 'x', '-o', 'xml'], 2, /Allowed choices are table, wide, json, jsonl, yaml/],
    [['resolve'], 2, /name what to resolve, or give --all/],
    [['resolve', '--all', 'x'], 2, /name what to resolve, or give --all \(not both\)/],
    [['resolve', '', '--yes'], 1, /got an empty text/],
    [['resolve', 'nope', '--yes'], 1, /nothing is called "nope"/],
    [['resolve', '--all', '--timeout', '1h'], 2, /expected seconds, more than 0 and at most 3600/],
    [['force', 'commit'], 2, /missing required argument 'id'/],
    [['force', 'undo', 'x'], 2, /unknown command 'undo'/],
    [['force', 'commit', 'x', 'y'], 2, /Expected 1 argument but got 2/],
    [['force', 'commit', 'nope', ...FORCED], 1, /nothing is called "nope"/],
    [['force', 'rollback', '', ...FORCED], 1, /got an empty text/],
    [['force', 'rollback', 'x', '--reason'], 2, /argument missing/],
    [['docter'], 2, /unknown command 'docter'\n\(Did you mean doctor\?\)/],
  ])('%j', async (args, code, expected) => {
    const end = await bank.pgxa(...args);
    expect(end).toMatchObject({ code, stdout: '' });
    expect(end.stderr).toMatch(expected);
  });
});
