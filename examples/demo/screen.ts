/** What the demo prints: coloured with a moving bar on a terminal, plain lines everywhere else. */
import type { WriteStream } from 'node:tty';
import { styleText } from 'node:util';

import { SingleBar } from 'cli-progress';
import Table from 'cli-table3';

type Style = Parameters<typeof styleText>[0];

export interface Progress {
  update(done: number, committed: number, rolledBack: number): void;
  stop(): void;
}

/** Off a terminal: a line for so many transfers. */
const PLAIN_STEP = 50;

export class Screen {
  readonly #stream: WriteStream;
  readonly #colour: boolean;
  #progress: Progress | undefined;
  #muted = false;

  constructor(stream: WriteStream) {
    this.#stream = stream;
    const { NO_COLOR, TERM } = process.env;
    this.#colour = stream.isTTY && (NO_COLOR ?? '') === '' && TERM !== 'dumb';
  }

  style(style: Style, text: string): string {
    return this.#colour ? styleText(style, text) : text;
  }

  heading(text: string): void {
    this.#write(`\n${this.style('bold', text)}\n`);
  }

  /** A paragraph; every line of it is indented. */
  say(text: string): void {
    this.#write(`${text.trim().replaceAll(/^[ \t]*(?=\S)/gm, '   ')}\n`);
  }

  done(text: string): void {
    this.say(`${this.style('green', '✔')} ${text}`);
  }

  failed(text: string): void {
    this.say(`${this.style('red', '✘')} ${text}`);
  }

  table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): void {
    const table = new Table({
      ...(head.length === 0 ? {} : { head: head.map((text) => this.style('bold', text)) }),
      // No colours of its own, and no lines between the rows.
      style: { head: [], border: [], compact: true },
      colAligns: rows[0]?.map((cell) => (typeof cell === 'number' ? 'right' : 'left')) ?? [],
    });
    table.push(
      ...rows.map((row) =>
        row.map((cell) => (typeof cell === 'number' ? cell.toLocaleString('en') : cell)),
      ),
    );
    this.say(table.toString());
  }

  progress(total: number): Progress {
    const progress = this.#stream.isTTY ? this.#bar(total) : this.#lines(total);
    this.#progress = progress;
    return progress;
  }

  /** An unfinished bar ends its line, and gives the cursor back. */
  stopProgress(): void {
    this.#progress?.stop();
  }

  mute(): void {
    this.#muted = true;
  }

  #write(text: string): void {
    if (!this.#muted) this.#stream.write(text);
  }

  #bar(total: number): Progress {
    const bar = new SingleBar({
      format: `   transfers ${this.style('cyan', '{bar}')} {value}/{total}  committed {committed}, rolled back {rolledBack}`,
      barCompleteChar: '█',
      barIncompleteChar: '░',
      barsize: 24,
      hideCursor: true,
      stream: this.#stream,
      // Signals are the business of main.ts.
      gracefulExit: false,
    });
    bar.start(total, 0, { committed: 0, rolledBack: 0 });
    return {
      update: (value, committed, rolledBack) => {
        bar.update(value, { committed, rolledBack });
      },
      stop: () => {
        if (bar.isActive) bar.stop();
      },
    };
  }

  #lines(total: number): Progress {
    let printed: number | undefined;
    return {
      update: (value, committed, rolledBack) => {
        const step = Math.floor(value / PLAIN_STEP);
        const due = step > (printed ?? step);
        printed = step;
        if (!due) return;
        this.say(`transfers ${value}/${total}: ${committed} committed, ${rolledBack} rolled back`);
      },
      stop: () => undefined,
    };
  }
}
