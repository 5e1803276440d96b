/**
 * Watches a schedule from outside, and judges it by what the servers hold: never by what pgxa says of itself.
 * The promises are the invariants of ARCHITECTURE.md; a violation names the one that is broken.
 */
import { parseGid } from '../../src/participant/gid.ts';
import type { WalRecord, Xact } from './postgres/data.ts';
import type { Session } from './postgres/session.ts';
import type { SimulatedServer } from './postgres/server.ts';

/** What a transaction's program was told. */
export type Answer = 'committed' | 'rolled-back' | 'unknown' | 'heuristic';

export interface Told {
  /** Index in the plan, or -1 for one that only proves that a manager still works. */
  readonly index: number;
  readonly process: string;
  id: string;
  readonly writes: readonly string[];
  answer: Answer | undefined;
  error: Error | undefined;
  pending: readonly string[];
}

export class Violation extends Error {
  readonly kind: string;

  constructor(kind: string, message: string) {
    super(`${kind}: ${message}`);
    this.kind = kind;
  }
}

/** What a failover, or a hand, did to one branch: from then on its fate is nobody's promise. */
type Harm = 'prepare-lost' | 'end-lost' | 'by-hand';

export class Oracle {
  readonly log: SimulatedServer;
  readonly participants: ReadonlyMap<string, SimulatedServer>;
  readonly installation: string;
  readonly told: Told[] = [];
  readonly violations: Violation[] = [];
  /** By `transaction participant`. */
  readonly harms = new Map<string, Harm>();
  /** Transactions that an operator decided: the coordinator may be told so. */
  readonly forced = new Set<string>();
  /** How often something worth a run happened. */
  readonly seen = new Map<string, number>();
  readonly #decisions = new Map<string, { readonly outcome: string; readonly xact: Xact }[]>();
  readonly #canaries = new Map<SimulatedServer, ReadonlySet<string>>();

  constructor(
    log: SimulatedServer,
    participants: ReadonlyMap<string, SimulatedServer>,
    installation: string,
  ) {
    this.log = log;
    this.participants = participants;
    this.installation = installation;
  }

  note(what: string): void {
    this.seen.set(what, (this.seen.get(what) ?? 0) + 1);
  }

  violated(kind: string, message: string): void {
    this.violations.push(new Violation(kind, message));
  }

  /** Invariant 9: these stay, whatever happens. */
  plantCanaries(epoch: string): void {
    for (const server of this.participants.values()) {
      if (!server.up || this.#canaries.has(server)) continue;
      const gids = canariesOf(this.installation, epoch);
      for (const gid of gids) server.plant(gid);
      this.#canaries.set(server, new Set(gids));
    }
  }

  deciding(
    session: Session,
    transactionId: string,
    outcome: 'commit' | 'abort',
    branches: string,
  ): void {
    const { xact } = session;
    const all = this.#decisions.get(transactionId) ?? [];
    if (!all.some((one) => one.xact === xact)) all.push({ outcome, xact });
    this.#decisions.set(transactionId, all);
    if (outcome === 'commit') this.#judgeVotes(transactionId, branches);
  }

  /** Invariant 3: behind a commit decision stands a durable PREPARE for every branch that it names. */
  #judgeVotes(transactionId: string, branches: string): void {
    for (const { participant } of JSON.parse(branches) as { participant: string }[]) {
      const server = this.participants.get(participant);
      if (server === undefined || this.harms.has(`${transactionId} ${participant}`)) continue;
      const prepared = server.wal.findIndex(
        (record) => record.kind === 'prepare' && idOf(record) === transactionId,
      );
      if (prepared !== -1 && prepared < server.durable) continue;
      this.violated(
        'vote-without-evidence',
        `${transactionId} is being committed, and its branch on ${participant} is ` +
          (prepared === -1 ? 'not prepared' : 'not durable'),
      );
    }
  }

  /** What stands durably for a transaction. */
  decisionOf(transactionId: string): string | undefined {
    const { wal, durable } = this.log;
    return this.#decisions.get(transactionId)?.find(({ xact }) => {
      const at = wal.findLastIndex((record) => record.xact === xact && record.kind === 'commit');
      return at !== -1 && at < durable;
    })?.outcome;
  }

  /** Invariants 1, 9: judged in the moment in which a branch is ended. */
  finishing(
    server: SimulatedServer,
    session: Session,
    gid: string,
    decision: 'commit' | 'abort',
  ): void {
    const { process } = session.link;
    const parsed = parseGid(gid);
    if (parsed?.installation !== this.installation) {
      this.violated('foreign-touched', `${process} ends ${gid} on ${server.name}`);
      return;
    }
    const { transactionId } = parsed;
    if (process === 'by-hand') {
      this.harms.set(`${transactionId} ${server.name}`, 'by-hand');
      return;
    }
    this.note(`${decision}-prepared`);
    const stands = this.decisionOf(transactionId);
    if (stands === decision) return;
    this.violated(
      'effect-before-decision',
      `${process} ends ${gid} on ${server.name} with ${decision}, and durable is ${stands ?? 'nothing'}`,
    );
  }

  /** A failover has taken records away. Where the standby was synchronous, nothing that counted was among them. */
  lost(server: SimulatedServer, records: readonly WalRecord[]): void {
    const excused = server.options.replication === 'async';
    for (const record of records) {
      const id = idOf(record);
      if (id === undefined || !excused) continue;
      this.note(`lost-${record.kind}`);
      const key = `${id} ${server.name}`;
      if (record.kind === 'prepare' || record.kind === 'commit')
        this.harms.set(key, 'prepare-lost');
      else if (!this.harms.has(key)) this.harms.set(key, 'end-lost');
    }
  }

  /** A program has its answer: what it is told must be true now. */
  tell(told: Told, answer: Answer, pending: readonly string[], error: Error | undefined): void {
    if (told.answer !== undefined) this.violated('answered-twice', told.id);
    told.answer = answer;
    told.pending = pending;
    told.error = error;
    this.note(`told-${answer}`);
    if (answer !== 'committed') return;
    for (const name of told.writes) {
      if (pending.includes(name)) continue;
      const server = this.participants.get(name);
      if (server?.up !== true || this.#wasThere(told.id, name)) continue;
      const at = server.wal.findIndex((record) => isCommit(record) && idOf(record) === told.id);
      if (at !== -1 && at < server.durable) continue;
      this.violated('not-yet-committed', `${told.id} is told as committed on ${name}, and is not`);
    }
  }

  /** Its end was there, and a failover took it away. */
  #wasThere(id: string, name: string): boolean {
    const harm = this.harms.get(`${id} ${name}`);
    if (harm === 'end-lost' || harm === 'by-hand') return true;
    const server = this.participants.get(name);
    return (
      harm === 'prepare-lost' &&
      server !== undefined &&
      server.lost.some(
        (record) =>
          idOf(record) === id && (record.kind === 'commit-prepared' || record.kind === 'commit'),
      )
    );
  }

  /** Asked every few milliseconds, and most often there is nothing. */
  isAnyInDoubt(): boolean {
    for (const server of this.participants.values()) {
      const { prepared } = server.data;
      const canaries = this.#canaries.get(server);
      if (prepared.size > (canaries?.size ?? 0)) return this.inDoubt().length > 0;
      for (const gid of prepared.keys()) {
        if (canaries?.has(gid) !== true) return this.inDoubt().length > 0;
      }
    }
    return false;
  }

  /** Gids of this installation that are in doubt somewhere. */
  inDoubt(): { readonly participant: string; readonly gid: string }[] {
    const found: { participant: string; gid: string }[] = [];
    for (const [participant, server] of this.participants) {
      const canaries = this.#canaries.get(server);
      for (const { gid } of server.prepared()) {
        if (canaries?.has(gid) === true || gid.startsWith('filler_')) continue;
        found.push({ participant, gid });
      }
    }
    return found;
  }

  /** At the end, with everything healed and at rest. */
  judgeEnd(): void {
    for (const told of this.told) this.#judgeTransaction(told);
    for (const [server, canaries] of this.#canaries) {
      for (const gid of canaries) {
        if (!server.data.prepared.has(gid)) this.violated('foreign-touched', `${gid} is gone`);
      }
    }
    for (const { gid, kind } of this.log.data.heuristics.values()) this.#judgeHeuristic(gid, kind);
    for (const [id, decisions] of this.#decisions) this.#judgeOneDecision(id, decisions);
  }

  /**
   * A key is used once: of the transactions that carry it, one is committed at most. An operator who forces a commit
   * does not know its key.
   */
  judgeKeys(keyOf: (index: number) => string | undefined): void {
    const users = new Map<string, string>();
    for (const { id, index, writes } of this.told) {
      const key = keyOf(index);
      if (key === undefined || this.forced.has(id)) continue;
      if (writes.some((name) => this.harms.has(`${id} ${name}`))) continue;
      if (!writes.some((name) => this.participants.get(name)?.data.markers.has(id))) continue;
      const other = users.get(key);
      if (other !== undefined) this.violated('key-used-twice', `${key}: ${other} and ${id}`);
      users.set(key, id);
    }
  }

  /** Invariant 2: of all that was ever written for a transaction, one thing is in the log. */
  #judgeOneDecision(id: string, decisions: readonly { readonly xact: Xact }[]): void {
    const kept = decisions.filter(({ xact }) =>
      this.log.wal.some((record) => record.kind === 'commit' && record.xact === xact),
    );
    if (kept.length > 1) this.violated('two-decisions', id);
  }

  #judgeTransaction(told: Told): void {
    const { id, writes, answer } = told;
    if (id === '') return;
    const counts = writes.map((name) => this.participants.get(name)?.data.markers.get(id) ?? 0);
    if (counts.some((count) => count > 1)) this.violated('twice', id);
    const harmed = writes.some((name) => this.harms.has(`${id} ${name}`));
    if (harmed) {
      this.note('harmed');
      return;
    }
    const committed = counts.filter((count) => count > 0).length;
    const some = `${committed} of ${writes.length} branches of ${id} are committed`;
    if (committed !== 0 && committed !== writes.length) this.violated('not-atomic', some);
    else if (answer === 'committed' && committed === 0) this.violated('lost-commit', some);
    else if (answer === 'rolled-back' && committed > 0) this.violated('undead', some);
    else if (answer === 'heuristic' && !this.#mayBeHeuristic(told)) {
      this.violated('false-heuristic', `${told.error?.message ?? ''}; ${some}`);
    }
    const stands = this.decisionOf(id);
    if (stands === 'commit' && committed === 0)
      this.violated('lost-commit', `${some}, decided commit`);
    if (stands === 'abort' && committed > 0) this.violated('undead', `${some}, decided abort`);
  }

  /** Nobody can tell a branch that is gone after a failover from one that the failover took. */
  #mayBeHeuristic({ id, writes }: Told): boolean {
    return (
      this.forced.has(id) ||
      writes.some((name) => (this.participants.get(name)?.failovers ?? 0) > 0)
    );
  }

  #judgeHeuristic(gid: string, kind: string): void {
    const transactionId = parseGid(gid)?.transactionId ?? '';
    const told = this.told.find(({ id }) => id === transactionId);
    this.note(`heuristic-${kind}`);
    const writes = told?.writes ?? [];
    const harmed = writes.some((name) => this.harms.has(`${transactionId} ${name}`));
    const failedOver = writes.some((name) => (this.participants.get(name)?.failovers ?? 0) > 0);
    if (harmed || (kind === 'hazard' && failedOver)) return;
    this.violated('false-heuristic', `${kind} is recorded for ${gid}, and nothing happened to it`);
  }
}

function isCommit({ kind }: WalRecord): boolean {
  return kind === 'commit' || kind === 'commit-prepared';
}

function idOf(record: WalRecord): string | undefined {
  return record.xact.transactionId;
}

/** Names that are almost ours, as the epoch of a coordinator that will retire would have them. */
function canariesOf(installation: string, epoch: string): string[] {
  const rest = `${epoch}_${'0'.repeat(32)}_1`;
  const other = installation.replace(/^./, (digit) => (digit === 'a' ? 'b' : 'a'));
  return [
    `pgxa_${other}_${rest}`,
    `pgxa_${installation}_${rest}_1`,
    `pgxaX${installation}_${rest}`,
  ];
}
