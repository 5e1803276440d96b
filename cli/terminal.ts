import { styleText } from 'node:util';

/** What a verb may touch of the outside: data goes to `stdout`, everything said to people to `stderr`. */
export interface Terminal {
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
  /** Where people answer; absent when nobody is there. */
  readonly stdin?: NodeJS.ReadStream;
  /** How a question is put where it is not a line on stdin; undefined is "no", whatever was asked. */
  readonly question?: (text: string) => Promise<string | undefined>;
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
}

export type Style = Parameters<typeof styleText>[0];

/** Colour says nothing that the words do not say. */
export function paint(stream: NodeJS.WritableStream, env: NodeJS.ProcessEnv) {
  const isColoured = wantsColour(stream, env);
  return (style: Style, text: string): string =>
    isColoured ? styleText(style, text, { validateStream: false }) : text;
}

/** https://no-color.org: any value but the empty one. */
function wantsColour(stream: NodeJS.WritableStream, env: NodeJS.ProcessEnv): boolean {
  if ((env['NO_COLOR'] ?? '') !== '') return false;
  const forced = env['FORCE_COLOR'] ?? env['CLICOLOR_FORCE'] ?? '';
  if (forced !== '') return forced !== '0';
  return (stream as Partial<NodeJS.WriteStream>).isTTY === true && env['TERM'] !== 'dumb';
}
