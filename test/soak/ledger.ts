/** What a history says, gathered by transaction: the input of the rules in checkers.ts. */
import type { MarkerRow, SoakEvent } from './history.ts';

export interface Seen {
  type: string;
  key: string | undefined;
  writers: readonly string[];
  begun: number;
  readonly told: Set<'ok' | 'fail' | 'info' | 'heuristic'>;
  why: string;
  /** With PGXA_ALREADY_DONE: the transaction that is said to have done it. */
  existing: string | undefined;
  readonly hooks: Set<string>;
  readonly outcomes: Set<string>;
  /** By participant. */
  readonly markers: Map<string, MarkerRow[]>;
}

/** What must have happened at least. */
export interface Least {
  readonly ok: number;
  readonly fail: number;
  readonly info: number;
  readonly faults: readonly string[];
  readonly types: readonly string[];
  /** Verbs of `pgxa` that were run, whatever came of it. */
  readonly verbs?: readonly string[];
}

/** An operator's force of what the log had decided otherwise. */
interface ForcedAgainst {
  readonly wanted: 'commit' | 'rollback';
  /** By the audit: what has only begun was killed in between, and any of its branches may have ended so. */
  readonly isEnded: boolean;
  /** The same is so of these. */
  readonly pending: ReadonlySet<string>;
}

interface Finding {
  readonly rule: string;
  readonly id: string;
  readonly what: string;
}

export interface HeuristicSeen {
  readonly id: string;
  /** Who says so: the log, a caller's error, or a process. */
  readonly where: string;
  readonly heuristic: string;
  readonly participant?: string | undefined;
  readonly what: string;
}

export class Ledger {
  readonly seen = new Map<string, Seen>();
  readonly accounts = new Map<
    string,
    readonly { id: number; balance: number; version: number }[]
  >();
  readonly decisions = new Map<string, { outcome: string; by: string }>();
  readonly heuristics: HeuristicSeen[] = [];
  readonly plain: Finding[] = [];
  readonly faults = new Map<string, number>();
  readonly types = new Map<string, number>();
  readonly codes = new Map<string, number>();
  /** Verbs of the operator with their exit codes. */
  readonly verbs = new Map<string, number>();
  readonly counts = { ok: 0, fail: 0, info: 0, outcomes: 0, passes: 0, byRecovery: 0, leases: 0 };
  readonly forcedAgainst = new Map<string, ForcedAgainst>();
  /** What a failover made a participant lose although it had been acknowledged. */
  readonly lost = new Map<string, { commits: Set<string>; votes: Set<string> }>();
  readonly lostDecisions = new Set<string>();
  /** By `participant transaction`: another transaction answers for its xid. */
  readonly handedOutAgain = new Set<string>();
  least: Least = { ok: 1, fail: 1, info: 0, faults: [], types: [] };
  quietAfterMs: number | undefined;
  seed = 0;
  readonly #planted = new Map<string, string>();
  readonly #begunForces = new Map<string, number>();
  readonly #rows = new Map<string, { id: string; row: MarkerRow }[]>();

  /** By version: the order in which they were committed there. */
  rowsOf(participant: string, account: number): readonly { id: string; row: MarkerRow }[] {
    return this.#rows.get(`${participant} ${account}`) ?? [];
  }

  /**
   * What is missing of it was lost by a failover, or rolled back by an operator against the decision, which is on
   * record: nobody could have kept it whole.
   */
  excused(id: string, seen: Seen): boolean {
    const rows = [...seen.markers.values()].flat();
    const wanted = new Set([...seen.writers, ...rows.flatMap((row) => row.writers)]);
    const missing = [...wanted].filter((name) => !seen.markers.has(name));
    return (
      missing.length > 0 &&
      missing.every((name) => this.#lostBy(name, id) || this.#forcedBack(name, id))
    );
  }

  /** An operator has rolled back a branch of it by hand, and either the log or its audit tells. */
  #forcedBack(participant: string, id: string): boolean {
    const forced = this.forcedAgainst.get(id);
    if (forced?.wanted !== 'rollback') return false;
    const isRecorded = this.heuristics.some(
      (one) => one.where === 'log' && one.id === id && one.participant === participant,
    );
    return isRecorded || !forced.isEnded || forced.pending.has(participant);
  }

  /**
   * Of a branch that is absent after a failover nobody can tell whether it was lost or, on the new timeline,
   * finished by another: a hazard is the right word for it even where nothing was lost. Who says that it is rolled
   * back must be right.
   */
  excusesHeuristic({ id, heuristic, participant }: HeuristicSeen): boolean {
    const seen = this.seen.get(id);
    if (this.forcedAgainst.has(id)) return true;
    if (heuristic === 'rollback') return this.#lostBy(participant ?? '', id);
    return (
      heuristic === 'hazard' && [...this.lost.keys()].some((name) => seen?.writers.includes(name))
    );
  }

  #lostBy(participant: string, id: string): boolean {
    const lost = this.lost.get(participant);
    return lost !== undefined && (lost.commits.has(id) || lost.votes.has(id));
  }

  add(event: SoakEvent): void {
    switch (event.kind) {
      case 'begun': {
        const seen = this.#of(event.id);
        seen.begun += 1;
        seen.type = event.type;
        seen.writers = event.writers;
        seen.key = event.key;
        count(this.types, event.type);
        return;
      }
      case 'ok':
      case 'fail':
      case 'info':
      case 'told-heuristic':
        this.#told(event);
        return;
      case 'hook':
        this.#of(event.id).hooks.add(event.hook);
        return;
      case 'outcome':
        this.counts.outcomes += 1;
        this.#of(event.id).outcomes.add(event.outcome);
        return;
      case 'passes':
        this.counts.passes += event.passes;
        this.counts.byRecovery += event.committed + event.rolledBack;
        return;
      case 'lease':
        this.counts.leases += 1;
        return;
      case 'verb':
        count(this.verbs, `${event.verb}, ${event.code === null ? 'killed' : String(event.code)}`);
        return;
      case 'fault':
        this.faults.set(event.fault, (this.faults.get(event.fault) ?? 0) + event.times);
        return;
      default:
        this.#addRead(event);
    }
  }

  /** When all events are in. */
  close(): void {
    for (const rows of this.#rows.values()) rows.sort((a, b) => a.row.version - b.row.version);
    for (const [place] of this.#planted) {
      this.plain.push({ rule: 'I14 foreign', id: '', what: `a foreign branch is gone: ${place}` });
    }
  }

  #told(event: Extract<SoakEvent, { kind: 'ok' | 'fail' | 'info' | 'told-heuristic' }>): void {
    // Before its function ran there was nothing to be committed, and there is no id either.
    if (event.kind === 'fail') count(this.codes, event.code);
    if (event.kind === 'ok') this.counts.ok += 1;
    if (event.kind === 'fail') this.counts.fail += 1;
    if (event.kind === 'info') this.counts.info += 1;
    if (event.id === '') return;
    const seen = this.#of(event.id);
    seen.told.add(event.kind === 'told-heuristic' ? 'heuristic' : event.kind);
    if (event.kind !== 'ok') seen.why = event.why;
    if (event.kind === 'fail') {
      seen.existing = event.existing;
      seen.key ??= event.key;
    }
    if (event.kind === 'told-heuristic') {
      const { id, heuristic, why } = event;
      this.heuristics.push({ id, where: 'told', heuristic, what: why });
    }
  }

  #addRead(event: SoakEvent): void {
    switch (event.kind) {
      case 'configured':
        this.seed = event.seed;
        this.least = { ...this.least, ...(event.settings as { least?: Least }).least };
        return;
      case 'final-marker': {
        const { participant, row } = event;
        const { markers } = this.#of(row.id);
        markers.set(participant, [...(markers.get(participant) ?? []), row]);
        const place = `${participant} ${row.account}`;
        const rows = this.#rows.get(place) ?? [];
        rows.push({ id: row.id, row });
        this.#rows.set(place, rows);
        return;
      }
      case 'final-accounts':
        this.accounts.set(event.participant, event.accounts);
        return;
      case 'final-decision':
        this.decisions.set(event.id, event);
        return;
      case 'planted-foreign':
        for (const gid of event.gids) this.#planted.set(`${event.participant} ${gid}`, gid);
        return;
      case 'final-foreign':
        for (const gid of event.gids) this.#planted.delete(`${event.participant} ${gid}`);
        return;
      case 'lost-history': {
        const before = this.lost.get(event.participant);
        this.lost.set(event.participant, {
          commits: new Set([...(before?.commits ?? []), ...event.commits]),
          votes: new Set([...(before?.votes ?? []), ...event.votes]),
        });
        return;
      }
      case 'final-force':
        this.#addForce(event);
        return;
      case 'handed-out-again':
        for (const id of event.ids) this.handedOutAgain.add(`${event.participant} ${id}`);
        return;
      case 'lost-decisions':
        for (const id of event.ids) this.lostDecisions.add(id);
        return;
      case 'quiet':
        this.quietAfterMs = event.afterMs;
        return;
      default:
        this.#addComplaint(event);
    }
  }

  #addForce(event: Extract<SoakEvent, { kind: 'final-force' }>): void {
    const { id, action, decided } = event;
    const [, wanted, stage] = action.split(' ');
    if (wanted !== 'commit' && wanted !== 'rollback') return;
    if (decided === null || decided === (wanted === 'commit' ? 'commit' : 'abort')) return;
    const underWay = (this.#begunForces.get(id) ?? 0) + (stage === 'begins' ? 1 : -1);
    this.#begunForces.set(id, underWay);
    const before = this.forcedAgainst.get(id)?.pending ?? [];
    const pending = new Set([...before, ...(event.pending ?? [])]);
    this.forcedAgainst.set(id, { wanted, isEnded: underWay === 0, pending });
  }

  #addComplaint(event: SoakEvent): void {
    const complain = (rule: string, id: string, what: string): void => {
      this.plain.push({ rule, id, what });
    };
    switch (event.kind) {
      case 'final-heuristic':
        this.heuristics.push({
          id: event.id,
          where: 'log',
          heuristic: event.row.kind,
          participant: event.row.participant,
          what: JSON.stringify(event.row),
        });
        return;
      case 'heuristic-found':
        this.heuristics.push({
          id: event.id,
          where: event.process,
          heuristic: event.heuristic,
          participant: event.participant,
          what: `${event.participant}: ${event.heuristic}: ${event.why}`,
        });
        return;
      case 'unexpected':
        complain('unexpected error', event.id, `${event.process}, ${event.where}: ${event.why}`);
        return;
      case 'process-ended':
        if (!event.expected) complain('unexpected end', '', `${event.who}: ${event.how}`);
        return;
      case 'nemesis-failed':
        complain('harness', '', `${event.fault}: ${event.why}`);
        return;
      case 'not-quiet':
        complain('I5 still in doubt', '', event.left.join(', '));
        return;
      case 'final-children':
        if (event.count > 0) complain('I3 deferred constraint', '', `${event.count} orphans`);
        return;
      case 'final-list': {
        const [open, shown] = [[...event.open].sort().join(), [...event.shown].sort().join()];
        if (open !== shown) complain('I24 list', '', `shows ${shown}; the log has ${open}`);
        return;
      }
      case 'final-daemon': {
        const { who, isReady, inDoubt, heuristics } = event;
        if (!isReady) complain('I24 daemon', '', `${who} is not ready, after everything is healed`);
        if (inDoubt > 0) complain('I24 daemon', '', `${who} counts ${inDoubt} in doubt`);
        if (heuristics.counted !== heuristics.told) {
          const what = `${who} counts ${heuristics.counted} heuristic outcomes, and told of ${heuristics.told}`;
          complain('I24 daemon', '', what);
        }
        return;
      }
      case 'final-leak':
        complain('I25 leak', '', `${event.where}: ${event.what}`);
        return;
      default:
    }
  }

  #of(id: string): Seen {
    let seen = this.seen.get(id);
    if (seen === undefined) {
      seen = {
        type: 'unknown',
        key: undefined,
        writers: [],
        begun: 0,
        told: new Set(),
        why: '',
        existing: undefined,
        hooks: new Set(),
        outcomes: new Set(),
        markers: new Map(),
      };
      this.seen.set(id, seen);
    }
    return seen;
  }
}

function count(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

export async function summarise(
  events: AsyncIterable<unknown> | Iterable<unknown>,
): Promise<Ledger> {
  const ledger = new Ledger();
  let closed = false;
  for await (const event of events) {
    ledger.add(event as SoakEvent);
    closed ||= (event as SoakEvent).kind === 'final-accounts';
  }
  if (!closed)
    ledger.plain.push({ rule: 'harness', id: '', what: 'the history has no final reads' });
  ledger.close();
  return ledger;
}
