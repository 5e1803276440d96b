/** One server, run by itself: it is told what arrives, and what it answers is written down. */
import { Oracle } from '../../oracle.ts';
import type { Session, SessionLink, SessionSettings } from '../../postgres/session.ts';
import type { SimulatedServer } from '../../postgres/server.ts';
import type { WireMessage } from '../../wire.ts';
import { INSTALLATION, smallServer } from '../setting.ts';
import type { SmallServer } from '../small-server.ts';
import type { ServerEffect, ServerFacts, ServerInput } from './server-part.ts';
import { replies } from './conformance.ts';
import { numberOfText, replyOf, requestAt, textAt } from './words.ts';

/** Of a session that was just opened. */
export const NEW_SETTINGS = numberOfText('{}');
/** No connection of a coordinator has it: numbers of backends differ. */
const RECOVERERS_SLOT = 900;

export class ServerRun {
  readonly server: SmallServer;
  /** Who else is told of decisions. */
  watcher: Oracle | undefined;
  readonly #oracle: Oracle;
  readonly #sessions = new Map<number, Session>();
  #effects: ServerEffect[] = [];
  #transaction = '';

  constructor(name: string) {
    this.server = smallServer(name, {
      at: () => undefined,
      meeting: () => undefined,
      finishing: (_server, _session, gid, decision) => {
        this.#effects.push({ do: 'finish', gid, decision });
      },
      registering: (epoch) => {
        this.watcher?.plantCanaries(epoch);
        this.#effects.push({ do: 'register', epoch });
      },
      decidedLate: (epoch) => {
        const kind = 'decided-after-retirement';
        this.#effects.push({ do: 'violate', kind, message: `epoch ${epoch}` });
      },
      deciding: (session, transactionId, outcome, branches) => {
        this.#transaction = transactionId;
        this.#oracle.deciding(session, transactionId, outcome, branches);
        this.watcher?.deciding(session, transactionId, outcome, branches);
        this.#effects.push({ do: 'decide', outcome, branches });
      },
    });
    this.#oracle = new Oracle(this.server, new Map(), INSTALLATION);
  }

  takeEffects(): ServerEffect[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  get clockMs(): number {
    return this.server.clockMs;
  }

  get sessions(): ReadonlyMap<number, boolean> {
    const living = [...this.#sessions].filter(([, { gone }]) => !gone);
    return new Map(living.map(([slot, { status }]) => [slot, status !== 'I']));
  }

  /** What its future depends on, and what is judged by. */
  get key(): string {
    const { server } = this;
    const sessions = [...this.#sessions]
      .filter(([, { gone }]) => !gone)
      .sort(([a], [b]) => a - b)
      .map(([slot, { status, xact, settings, sessionSettings }]) =>
        JSON.stringify([slot, status, xact.xid, xact.changes.length, settings, sessionSettings]),
      );
    const locks = [...server.advisory].map(([key, { pid }]) => `${key} ${pid}`).sort();
    const guarded = [...server.data.coordinators.values()].map((one) => one.guarded);
    return [
      server.state,
      ...sessions,
      ...locks,
      guarded.join(),
      server.replayedTo,
      JSON.stringify(this.facts),
    ].join(';');
  }

  get facts(): ServerFacts {
    const { wal, durable } = this.server;
    const end = (kinds: readonly string[]): number =>
      wal.findIndex(({ kind, xact }) => kinds.includes(kind) && xact.transactionId !== undefined);
    const [prepared, committed] = [end(['prepare']), end(['commit', 'commit-prepared'])];
    return {
      decision: this.#oracle.decisionOf(this.#transaction),
      isPrepared: prepared !== -1 && prepared < durable,
      isCommitted: committed !== -1 && committed < durable,
    };
  }

  feed(input: ServerInput): void {
    switch (input.do) {
      case 'connect':
        this.#greet(input.slot, this.#connect(input.slot));
        break;
      case 'anew':
        apply(this.#connect(input.slot), input.settings);
        break;
      case 'fin':
        this.#sessions.get(input.slot)?.clientGone();
        this.#sessions.delete(input.slot);
        this.server.settle();
        break;
      case 'request':
        this.#request(input);
        break;
      case 'crash':
        this.server.crashAndRestart();
        this.#sessions.clear();
        break;
      case 'jump':
        this.server.jump(input.ms);
        break;
      case 'plant':
        plantCanaries(this.server, input.epoch);
        break;
    }
  }

  #greet(slot: number, { pid: processID }: Session): void {
    const reply = replyOf([
      ['backendKeyData', { processID, secretKey: 0 }],
      ['readyForQuery', { status: 'I' }],
    ]);
    this.#effects.push({ do: 'answer', slot, reply });
  }

  #connect(slot: number): Session {
    const session = this.server.connect(this.#linkOf('coordinator', slot));
    this.#sessions.set(slot, session);
    return session;
  }

  #request({ slot, request, settings }: Extract<ServerInput, { do: 'request' }>): void {
    let session = slot === undefined ? undefined : this.#sessions.get(slot);
    if (slot === undefined) {
      session = this.server.connect(this.#linkOf('recoverer', undefined));
      apply(session, settings);
    }
    if (session === undefined) throw new Error(`there is no session ${slot}`);
    const before = this.#effects.length;
    session.receive(requestAt(request).unit);
    this.server.settle();
    for (const effect of this.#effects.slice(before)) {
      if (effect.do === 'answer' && effect.slot === slot)
        replies.saw(this.server.name, request, effect.reply);
    }
    if (!session.gone && session.active) {
      throw new Error(`${requestAt(request).text} waits: every statement is one step here`);
    }
    const { lockTimeoutMs, statementTimeoutMs, hidesWarnings } = session.sessionSettings;
    const text = JSON.stringify({ lockTimeoutMs, statementTimeoutMs, hidesWarnings });
    this.#effects.push({ do: 'settings', settings: numberOfText(text) });
    if (slot === undefined && !session.gone) this.#dismiss(session);
  }

  /** It is not needed until the next request, and shows in nothing. */
  #dismiss(session: Session): void {
    const holds = [...this.server.advisory.values()].includes(session);
    if (session.status !== 'I' || holds)
      throw new Error('a recoverer keeps something in its session');
    const effects = this.#effects;
    this.#effects = [];
    session.end(true);
    this.server.settle();
    this.#effects = effects;
  }

  #linkOf(process: string, slot: number | undefined): SessionLink & { readonly ordinal: number } {
    return {
      process,
      ordinal: slot ?? RECOVERERS_SLOT,
      answer: (messages: readonly WireMessage[]) => {
        this.#effects.push({ do: 'answer', slot, reply: replyOf(messages) });
      },
      shut: (noticed: boolean) => {
        if (noticed) this.#effects.push({ do: 'shut', slot });
      },
    };
  }
}

function apply(session: Session, settings: number): void {
  Object.assign(session.sessionSettings, JSON.parse(textAt(settings)) as Partial<SessionSettings>);
  session.resetLocal();
}

/** Names that are almost ours, made by the oracle. */
export function plantCanaries(server: SimulatedServer, epoch: string): void {
  new Oracle(server, new Map([[server.name, server]]), INSTALLATION).plantCanaries(epoch);
}
