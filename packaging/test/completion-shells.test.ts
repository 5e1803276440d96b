/** `pgxa completion` in a real zsh (on a pseudo terminal of its own) and a real fish; scripts/packaging.sh installs both. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { BUILD_TIMEOUT_MS, builtCli } from '../../test/support/built-cli.ts';
import { createTriageBank, type TriageBank } from '../../test/support/triage-bank.ts';

const PGXA = 'pgxa() { "$NODE" "$MAIN" "$@" }';

/** Types a line and Tab into an interactive zsh, then Enter behind an echo, and prints what it made of it. */
const ZSH = `
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell 'PS1= PS2=; stty -echo; autoload -Uz compinit && compinit -u -D'
zpty -w shell '${PGXA}'
zpty -w shell 'eval "$(pgxa completion zsh)"; setopt no_list_beep'
zpty -w shell 'print -r -- re""ady'
zpty -r -m shell seen '*ready*'
zpty -w -n shell "$1"$'\\t'
zpty -w -n shell $'\\x01print -r -- made: \\x05 :end\\n'
zpty -r -m shell seen '*made:* :end*'
print -r -- "$seen"
zpty -d shell
`;

describe('completion', () => {
  let bank: TriageBank;
  let id = '';
  let env: NodeJS.ProcessEnv;
  beforeAll(async () => {
    const main = await builtCli();
    bank = await createTriageBank();
    ({ id } = await bank.plant({ coordinator: 'silent', label: "a 'label' $(id)" }));
    const path = { PATH: process.env['PATH'], HOME: '/nonexistent', TERM: 'xterm' };
    env = { ...path, PGXA_CONFIG: bank.config, NODE: process.execPath, MAIN: main };
  }, BUILD_TIMEOUT_MS);
  afterAll(() => bank.close());

  const run = async (shell: string, args: readonly string[]): Promise<string> =>
    (await promisify(execFile)(shell, [...args], { env })).stdout;

  it('works in zsh: verbs, values of options, ids of what is in doubt', async () => {
    const tab = (line: string): Promise<string> => run('zsh', ['-f', '-c', ZSH, 'zsh', line]);
    expect(await tab('pgxa expl')).toMatch(/made: pgxa explain +:end/);
    expect(await tab('pgxa list -o ya')).toMatch(/made: pgxa list -o yaml +:end/);
    expect(await tab('pgxa resolve 0')).toContain(`made: pgxa resolve ${id}`);
  });

  it('works in fish: verbs, values of options, ids with their verdicts and labels', async () => {
    const tab = (line: string): Promise<string> =>
      run('fish', [
        '--no-config',
        '-c',
        `function pgxa; $NODE $MAIN $argv; end; pgxa completion fish | source; complete -C ${JSON.stringify(line)}`,
      ]);
    expect(await tab('pgxa expl')).toMatch(/^explain\tone transaction/);
    expect((await tab('pgxa list -o js')).trim().split('\n')).toEqual(['json', 'jsonl']);
    expect(await tab('pgxa resolve ')).toBe(`${id}\tundecided, dead coordinator\n`);
  });
});
