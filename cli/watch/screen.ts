/** The whole terminal, lent to a view: taken with start(), given back as it was with stop(). */
import type { Terminal } from '../terminal.ts';

const ESC = '\u001b[';
/** Alternate screen, no cursor, no wrapping of lines. */
const TAKE = `${ESC}?1049h${ESC}?25l${ESC}?7l`;
const GIVE_BACK = `${ESC}?7h${ESC}?25h${ESC}?1049l`;
const HOME = `${ESC}H`;
const ERASE_LINE = `${ESC}K`;

const CTRL_C = '\u0003';
const CTRL_Z = '\u001a';

/** Some terminals do not tell. */
const COLUMNS = 80;
const ROWS = 24;

export interface ScreenListener {
  /** A key, as a terminal sends it; Ctrl-Z is dealt with. */
  key(text: string): void;
  /** Its size has changed, or something else has been on it. */
  redraw(): void;
}

export interface Size {
  readonly columns: number;
  readonly rows: number;
}

/** A whole-screen view can be shown: something draws it, and can be moved about on. */
export function hasScreen({ stdout, env }: Terminal): boolean {
  return isScreen(stdout) && env['TERM'] !== 'dumb';
}

function isScreen(stream: NodeJS.WritableStream): stream is NodeJS.WriteStream {
  return (stream as Partial<NodeJS.WriteStream>).isTTY === true;
}

export class Screen {
  readonly #out: NodeJS.WriteStream;
  readonly #in: NodeJS.ReadStream | undefined;
  readonly #listener: ScreenListener;
  #isOn = false;

  constructor({ stdout, stdin }: Terminal, listener: ScreenListener) {
    if (!isScreen(stdout)) throw new Error('unreachable: hasScreen() has been asked');
    this.#out = stdout;
    this.#in = stdin?.isTTY === true ? stdin : undefined;
    this.#listener = listener;
  }

  get size(): Size {
    const { columns, rows } = this.#out as Partial<Size>;
    return { columns: positive(columns, COLUMNS), rows: positive(rows, ROWS) };
  }

  start(): void {
    this.#take();
    this.#out.on('resize', this.#redraw);
    this.#in?.on('data', this.#key);
    process.on('SIGCONT', this.#continued);
    // Even if this process fails in a way that nobody has thought of.
    process.on('exit', this.#giveBack);
  }

  draw(lines: readonly string[]): void {
    if (!this.#isOn) return;
    const { rows } = this.size;
    // Erased before it is written: behind a line that is full, the cursor still stands on its last letter.
    const drawn = Array.from({ length: rows }, (_, at) => ERASE_LINE + (lines[at] ?? ''));
    this.#out.write(HOME + drawn.join('\r\n'));
  }

  stop(): void {
    this.#giveBack();
    this.#out.removeListener('resize', this.#redraw);
    this.#in?.removeListener('data', this.#key);
    this.#in?.pause();
    process.removeListener('SIGCONT', this.#continued);
    process.removeListener('exit', this.#giveBack);
  }

  #take(): void {
    this.#isOn = true;
    this.#in?.setRawMode(true);
    this.#in?.setEncoding('utf8');
    this.#in?.resume();
    this.#out.write(TAKE);
  }

  readonly #giveBack = (): void => {
    if (!this.#isOn) return;
    this.#isOn = false;
    this.#out.write(GIVE_BACK);
    this.#in?.setRawMode(false);
  };

  readonly #redraw = (): void => {
    this.#listener.redraw();
  };

  readonly #key = (text: string | Buffer): void => {
    const keys = text.toString();
    if (!keys.includes(CTRL_Z)) {
      this.#listener.key(keys);
      return;
    }
    this.#giveBack();
    process.kill(process.pid, 'SIGTSTP');
  };

  readonly #continued = (): void => {
    this.#take();
    this.#listener.redraw();
  };
}

/** Those that end a view. */
export function isQuit(keys: string): boolean {
  return keys.includes('q') || keys.includes('Q') || keys.includes(CTRL_C);
}

function positive(value: number | undefined, otherwise: number): number {
  return value !== undefined && value > 0 ? value : otherwise;
}
