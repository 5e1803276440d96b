/**
 * When two states of a process are taken for the same: when it does the same in each of a number of tests. A test goes
 * on to the end: it answers what is asked, or loses it, or lets time limits run out, as its random source says, with
 * replies of real servers (`Replies`). What a process remembers and never uses again is forgotten by this, whatever way it was
 * learned; that no test is missing is checked, see docs/testing.md.
 */
import { Digest } from '../digest.ts';
import { Random } from '../../random.ts';
import type { ProcessRun } from './process-run.ts';
import type { ProcessInput } from './process-part.ts';
import { FIN, kindAt, replyOf, RESET } from './words.ts';

const STEPS_MAX = 32;

/** What servers have answered to each kind of request, until it was enough. */
class Replies {
  #isFrozen = false;
  readonly #known = new Map<string, number[]>();

  saw(host: string, request: number, reply: number): void {
    if (this.#isFrozen) return;
    for (const name of namesOf(host, request)) {
      const all = this.#known.get(name) ?? [];
      if (!all.includes(reply)) all.push(reply);
      this.#known.set(name, all);
    }
  }

  /** Tests have to stay the same. */
  freeze(): void {
    this.#isFrozen = true;
  }

  /** To the same request, or if it was never seen to one of its kind. */
  to(host: string, request: number, random: Random): number {
    if (request === FIN) return GREETING;
    const known = namesOf(host, request).map((name) => this.#known.get(name));
    return random.pick(known.find((all) => all !== undefined) ?? [RESET]);
  }
}

/** In every other test hardly anything goes wrong: it comes far. */
const ROUGH = { lost: 0.15, impatient: 0.1 };
const CALM = { lost: 0.02, impatient: 0.02 };

/** What one server answers, another one would not: it says who it is. */
function namesOf(host: string, request: number): string[] {
  return [`${host} ${request}`, `${host} ${kindAt(request)}`];
}

export const replies = new Replies();

/** Asked for by nobody, when a connection is opened. */
const GREETING = replyOf([
  ['backendKeyData', { processID: 300_000, secretKey: 0 }],
  ['readyForQuery', { status: 'I' }],
]);

/** What it does in this test. It cannot be used for anything else then. */
export function resultOf(run: ProcessRun, seed: number): number {
  const random = new Random(seed);
  const digest = new Digest();
  run.takeEffects();
  for (let step = 0; step < STEPS_MAX; step += 1) {
    const input = nextInput(run, random, seed % 2 === 0 ? CALM : ROUGH);
    if (input === undefined) break;
    run.feed(input);
    const { isThrough, isTimed } = run;
    digest.add(JSON.stringify([input, run.takeEffects(), isThrough, isTimed]));
  }
  return digest.value;
}

function nextInput(
  run: ProcessRun,
  random: Random,
  { lost, impatient }: typeof ROUGH,
): ProcessInput | undefined {
  const asked = run.asked.filter(({ requests }) => requests.length > 0);
  const isImpatient = run.isTimed && random.chance(impatient);
  if (asked.length === 0 || isImpatient) return run.isTimed ? { do: 'time' } : undefined;
  const { slot, host, requests } = random.pick(asked);
  const reply = random.chance(lost) ? RESET : replies.to(host, requests[0] ?? FIN, random);
  return { do: 'read', slot, replies: [reply] };
}
