import { setTimeout as delay } from 'node:timers/promises';

import type { Survey } from '../../src/index.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { VerbContext } from '../program.ts';
import { paint } from '../terminal.ts';
import { print, type Format } from '../triage/output.ts';
import {
  openSession,
  redacted,
  warnPartial,
  type CommonOptions,
  type Session,
} from '../triage/session.ts';
import { frameOf } from '../watch/frame.ts';
import { hasScreen, isQuit, Screen } from '../watch/screen.ts';
import { surveyOutput } from './list.ts';

export interface WatchOptions extends CommonOptions {
  /** Seconds. */
  readonly interval: number;
  readonly participant?: readonly string[];
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** Its own, shorter than that of the other verbs: a view that stands still helps nobody. */
const TIMEOUT_S = 5;
const TICK_MS = 1_000;

export async function runWatch(context: VerbContext, options: WatchOptions): Promise<ExitCode> {
  const stopped = new AbortController();
  const stop = (): void => {
    stopped.abort();
  };
  const { stdout } = context.terminal;
  for (const signal of SIGNALS) process.on(signal, stop);
  // Whoever read it has gone: `pgxa watch -o jsonl | head`.
  stdout.on('error', stop);
  const looks = new Looks(context, { timeout: TIMEOUT_S, ...options }, stopped.signal);
  try {
    const onScreen = hasScreen(context.terminal) && options.output !== 'jsonl';
    await (onScreen ? show(looks, context, options, stop) : follow(looks, context, options));
    return EXIT.fine;
  } finally {
    for (const signal of SIGNALS) process.removeListener(signal, stop);
    await looks.close();
    stdout.removeListener('error', stop);
  }
}

/** One survey after the other, with connections that stay open as long as all is well. */
class Looks {
  readonly #context: VerbContext;
  readonly #options: WatchOptions;
  readonly #stopped: AbortSignal;
  readonly #closing: Promise<void>[] = [];
  #session: Session;
  #wake = new AbortController();

  constructor(context: VerbContext, options: WatchOptions, stopped: AbortSignal) {
    this.#context = context;
    this.#options = options;
    this.#stopped = stopped;
    this.#session = this.#open();
  }

  /** Ends when it is stopped, even in the middle of a look. */
  async *surveys(): AsyncGenerator<Survey, void, void> {
    const stopped = new Promise<undefined>((resolve) => {
      this.#stopped.addEventListener('abort', () => {
        resolve(undefined);
      });
    });
    while (!this.#stopped.aborted) {
      const { triage, redact } = this.#session;
      const survey = await Promise.race([triage.survey(), stopped]);
      if (survey === undefined) return;
      yield redacted(survey, redact);
      // What failed is asked anew, the file with it: an address or a password may have been mended.
      if (!survey.complete) this.#renew();
      await this.#pause();
    }
  }

  /** Looks at once. */
  now(): void {
    this.#wake.abort();
  }

  async close(): Promise<void> {
    await Promise.all([this.#session.triage.close(), ...this.#closing]);
  }

  #renew(): void {
    const old = this.#session;
    try {
      this.#session = this.#open();
    } catch {
      // The file is being written just now, or is wrong: go on with what it was.
      return;
    }
    this.#closing.push(old.triage.close());
  }

  #open(): Session {
    return openSession(this.#context, this.#options, 'monitor', this.#options.participant);
  }

  async #pause(): Promise<void> {
    this.#wake = new AbortController();
    const signal = AbortSignal.any([this.#wake.signal, this.#stopped]);
    await delay(this.#options.interval * 1_000, undefined, { signal }).catch(() => undefined);
  }
}

async function show(
  looks: Looks,
  { terminal }: VerbContext,
  { interval, output }: WatchOptions,
  stop: () => void,
): Promise<void> {
  const colour = paint(terminal.stdout, terminal.env);
  let survey: Survey | undefined;
  let wide = output === 'wide';
  let askingSince = performance.now();
  const draw = (): void => {
    const askingMs = performance.now() - askingSince;
    const view = { survey, askingMs, intervalMs: interval * 1_000, wide };
    void frameOf(view, screen.size, colour).then((lines) => {
      screen.draw(lines);
    });
  };
  const key = (keys: string): void => {
    if (isQuit(keys)) stop();
    else if (keys.toLowerCase().includes('w')) wide = !wide;
    else looks.now();
    draw();
  };
  const screen = new Screen(terminal, { key, redraw: draw });
  const ticking = setInterval(draw, TICK_MS);
  screen.start();
  draw();
  try {
    for await (const taken of looks.surveys()) {
      survey = taken;
      draw();
      // When the next look begins.
      askingSince = performance.now() + interval * 1_000;
    }
  } finally {
    clearInterval(ticking);
    screen.stop();
  }
}

/** No screen to redraw: one survey below the other. */
async function follow(
  looks: Looks,
  { terminal }: VerbContext,
  { output }: WatchOptions,
): Promise<void> {
  for await (const survey of looks.surveys()) {
    warnPartial(survey, terminal);
    await print(terminal, output, frameFor(output, survey));
  }
}

function frameFor(output: Format, survey: Survey): Parameters<typeof print>[2] {
  const { schema, data, text } = surveyOutput(survey);
  // Without lines of its own the whole survey is one line.
  if (output === 'jsonl') return { schema, data, text };
  const head = survey.takenAt.toISOString();
  return {
    schema,
    data,
    text: async (wide) => `${head}\n${(await text(wide)) || 'nothing is in doubt\n'}\n`,
  };
}
