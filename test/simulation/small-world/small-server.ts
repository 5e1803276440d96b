import type { SessionLink } from '../postgres/session.ts';
import { Session } from '../postgres/session.ts';
import { SimulatedServer } from '../postgres/server.ts';

/** What a server does by itself takes less than this; its time limits take more, and never run out here. */
const AT_ONCE_MS = 10;

/** A simulated server whose statements are one step each, and whose clock only ever jumps. */
export class SmallServer extends SimulatedServer {
  #clockMs = 0;
  readonly #pids = new Map<string, number>();

  get clockMs(): number {
    return this.#clockMs;
  }

  /** With a number that does not tell who came first: it would tell apart what is the same. */
  override connect(link: SessionLink & { readonly ordinal: number }): Session {
    const first = this.#pids.get(link.process) ?? 100_000 + 1_000 * this.#pids.size;
    this.#pids.set(link.process, first);
    const session = new Session(this, link, first + link.ordinal, false);
    this.sessions.set(session.pid, session);
    return session;
  }

  /** Lets everything happen that happens at once. */
  settle(): void {
    const { scheduler } = this;
    for (let next = scheduler.next; next !== undefined; next = scheduler.next) {
      if (next.at > scheduler.now + AT_ONCE_MS) break;
      scheduler.step();
    }
    scheduler.now = this.#clockMs;
  }

  jump(ms: number): void {
    this.#clockMs += ms;
    this.scheduler.now = this.#clockMs;
  }

  /** Killed, and back at once. That it was away for a while is no more than messages that come late. */
  crashAndRestart(): void {
    this.crash(false);
    this.restart();
    this.settle();
  }

  /** What is on its disk, in its memory and locked, as far as anybody can ever ask for it. */
  get state(): string {
    const { data, options } = this;
    const prepared = [...data.prepared.values()].map(({ gid, busy, xact }) => [
      gid,
      busy,
      xact.xid,
    ]);
    if (options.installation === undefined) {
      const fates = [...data.fates].sort(([a], [b]) => a - b);
      const running = [...this.running].map(({ xid }) => xid ?? 0).sort((a, b) => a - b);
      return JSON.stringify([prepared, fates, running, [...data.markers], this.nextXid]);
    }
    const decisions = [...data.decisions.values()];
    const coordinators = [...data.coordinators.values()].map(({ retired }) => retired);
    return JSON.stringify([decisions, coordinators, [...data.heuristics.keys()], this.#clockMs]);
  }
}
