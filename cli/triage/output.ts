import type { Terminal } from '../terminal.ts';
import { escapeText } from './text.ts';

export const FORMATS = ['table', 'wide', 'json', 'jsonl', 'yaml'] as const;
export type Format = (typeof FORMATS)[number];

/** What a verb has to say, in each form that can be asked for. */
export interface Output {
  /** Name and version of the form of the data: `survey/1`. A version never changes, it is only added to. */
  readonly schema: string;
  readonly data: Readonly<Record<string, unknown>>;
  /** For jsonl: one line each. Without it the whole is one line. */
  readonly lines?: readonly Readonly<Record<string, unknown>>[];
  readonly text: (wide: boolean) => string | Promise<string>;
}

/** Writes data to stdout, and nothing else. */
export async function print(terminal: Terminal, format: Format, output: Output): Promise<void> {
  terminal.stdout.write(await textOf(format, output));
}

async function textOf(format: Format, { schema, data, lines, text }: Output): Promise<string> {
  const whole = { schema, ...data };
  switch (format) {
    case 'table':
    case 'wide':
      return text(format === 'wide');
    case 'json':
      return `${harmless(JSON.stringify(whole, null, 2))}\n`;
    case 'jsonl':
      return (lines ?? [data])
        .map((line) => `${harmless(JSON.stringify({ schema, ...line }))}\n`)
        .join('');
    case 'yaml': {
      const { stringify } = await import('yaml');
      // Through JSON, so that both have the same keys and the same times; quoted, so that escapes mean something.
      const plain: unknown = JSON.parse(JSON.stringify(whole));
      return harmless(
        stringify(plain, {
          aliasDuplicateObjects: false,
          defaultStringType: 'QUOTE_DOUBLE',
          defaultKeyType: 'PLAIN',
        }),
      );
    }
  }
}

/** JSON leaves some characters as they are that a terminal acts on; \u means the same to every reader. */
function harmless(json: string): string {
  return json.replace(/[\x7f-\x9f\p{Cf}\p{Zl}\p{Zp}]/gu, (char) =>
    Array.from(
      { length: char.length },
      (_, at) => `\\u${char.charCodeAt(at).toString(16).padStart(4, '0')}`,
    ).join(''),
  );
}

/** Columns under a head, without borders; cells are escaped here. */
export async function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
): Promise<string> {
  if (rows.length === 0) return '';
  const { default: Table } = await import('cli-table3');
  const none = Object.fromEntries(
    ['top', 'bottom', 'left', 'right'].flatMap((side) =>
      ['', '-mid', '-left', '-right'].map((part) => [`${side}${part}`, '']),
    ),
  );
  const drawn = new Table({
    head: [...head],
    chars: { ...none, mid: '', 'left-mid': '', 'mid-mid': '', 'right-mid': '', middle: '  ' },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0, compact: true },
  });
  drawn.push(...rows.map((row) => row.map((cell) => escapeText(cell))));
  const lines = drawn.toString().split('\n');
  return `${lines.map((line) => line.trimEnd()).join('\n')}\n`;
}
