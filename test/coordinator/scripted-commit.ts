/** The commit protocol over branches, participants and a log that answer what a test says, and write down what they are asked. */
import { commit } from '../../src/coordinator/protocol.ts';
import type {
  Committed,
  FaultPoint,
  ProtocolContext,
  ProtocolTransaction,
} from '../../src/coordinator/protocol-context.ts';
import type {
  DecideReply,
  DecisionLog,
  RecordedBranch,
} from '../../src/decision-log/decision-log.ts';
import { RolledBackError } from '../../src/errors.ts';
import type { Branch, FinishRequest, Participant } from '../../src/participant/participant.ts';
import { systemRuntime, type Runtime } from '../../src/runtime.ts';
import {
  isLegalEdge,
  type BranchEvidence,
  type BranchWork,
  type Decision,
  type Vote,
} from '../../src/states.ts';
import type { FinishResult, OnePhaseReply, TransactionState } from '../../src/states.ts';

export const LOST = new Error('connection lost');

const EVIDENCE = {
  xid: '700',
  incarnation: '1 ',
  server: { systemIdentifier: '7', timeline: '00000001', databaseOid: '5' },
  backend: { pid: 1, startedAt: '1' },
};

export interface Play {
  readonly writers?: readonly string[];
  readonly readers?: readonly string[];
  /** Serializable readers vote. */
  readonly readersVote?: boolean;
  readonly votes?: Readonly<Record<string, Vote['kind']>>;
  readonly failed?: string;
  readonly idempotencyKey?: string;
  readonly decide?: DecideReply;
  /** What stands when abort is written; `away`: the log does not answer. */
  readonly stands?: Decision | 'away';
  readonly standsBy?: 'coordinator' | 'operator' | 'recovery';
  /** By the commit that stands. */
  readonly recorded?: readonly RecordedBranch[];
  readonly onePhase?: OnePhaseReply['kind'];
  readonly finish?: FinishResult;
  /** The deadline passes when the protocol comes to this point. */
  readonly deadlineAt?: FaultPoint;
}

interface Noted {
  /** States, and what was asked of branches, participants and log, in order. */
  readonly steps: string[];
  readonly states: TransactionState[];
  readonly events: Record<string, unknown>[];
  /** Fault points. */
  readonly points: string[];
  /** What the participants were asked to finish by, in order. */
  readonly evidence: FinishRequest['evidence'][];
}

export interface Seen extends Noted {
  readonly answer: Committed | Error;
}

export async function play(given: Play): Promise<Seen> {
  const noted: Noted = { steps: [], states: ['active'], events: [], points: [], evidence: [] };
  const deadline = new AbortController();
  const answer = await commit(
    transactionOf(given, noted, deadline.signal),
    contextOf(given, noted, deadline),
  ).catch((error: unknown) => error as Error);
  return { answer, ...noted };
}

function writersOf({ writers = ['orders', 'billing'] }: Play): readonly string[] {
  return writers;
}

function transactionOf(given: Play, noted: Noted, signal: AbortSignal): ProtocolTransaction {
  const { steps, states } = noted;
  const writers = writersOf(given);
  const branches = [
    ...writers.map((name, index) => branchOf(given, noted, name, index, 'writer')),
    ...(given.readers ?? []).map((name, index) =>
      branchOf(given, noted, name, writers.length + index, 'read-only'),
    ),
  ];
  return {
    id: 't',
    epoch: 'e',
    label: 'order 456',
    idempotencyKey: given.idempotencyKey,
    branches,
    signal,
    setState: (state) => {
      const before = states.at(-1) ?? 'active';
      if (state === before) return;
      if (!isLegalEdge(before, state)) throw new Error(`no edge from ${before} to ${state}`);
      states.push(state);
    },
    releaseAdmission: () => steps.push('release'),
  };
}

function voteOf(evidence: BranchEvidence, kind: Vote['kind']): Vote {
  if (kind === 'read-only') return { kind };
  if (kind === 'yes') return { kind, evidence };
  return kind === 'no' ? { kind, error: LOST } : { kind, error: LOST, evidence };
}

function branchOf(
  given: Play,
  { steps }: Noted,
  participant: string,
  index: number,
  work: BranchWork['kind'],
): Branch {
  const asked = (what: string): void => {
    steps.push(`${what} ${participant}`);
  };
  const ordinal = index + 1;
  const evidence = { participant, branch: ordinal, ...EVIDENCE };
  return {
    participant,
    ordinal,
    lost: undefined,
    mayFailAtCommit: given.readersVote ?? false,
    sessionEnded: false,
    connected: true,
    execute: () => Promise.reject(new Error('nothing is executed')),
    inspect: () =>
      Promise.resolve(
        given.failed === participant ? { kind: 'failed', error: LOST } : ({ kind: work } as never),
      ),
    prepare: (gid) => {
      asked(`prepare ${gid}`);
      return Promise.resolve(voteOf(evidence, given.votes?.[participant] ?? 'yes'));
    },
    outliveDeadline: () => {
      asked('outlive');
    },
    commitReadOnly: () => {
      asked('commit-reader');
      return Promise.resolve(voteOf(evidence, given.votes?.[participant] ?? 'read-only'));
    },
    commitOnePhase: () => {
      asked('commit');
      const kind = given.onePhase ?? 'committed';
      return Promise.resolve({ kind, error: LOST, evidence } as OnePhaseReply);
    },
    rollback: () => {
      asked('rollback');
      return Promise.resolve();
    },
  };
}

function contextOf(given: Play, noted: Noted, deadline: AbortController): ProtocolContext {
  const { steps, events, points } = noted;
  const names = [...writersOf(given), ...(given.readers ?? [])];
  return {
    log: logOf(given, noted),
    participants: new Map(names.map((name) => [name, participantOf(given, noted, name)])),
    runtime: impatientRuntime(),
    publish: (name, event) => {
      events.push({ name, ...event });
    },
    gidOf: (epoch, id, branch) => `${epoch}-${id}-${branch}`,
    background: () => {
      steps.push('background');
    },
    noteUnsettled: () => {
      steps.push('unsettled');
    },
    faultHook: (point) => {
      points.push(point);
      if (point === given.deadlineAt)
        deadline.abort(new RolledBackError('PGXA_TIMEOUT', 'too late', { retryable: false }));
    },
  };
}

function logOf(given: Play, { steps }: Noted): DecisionLog {
  return {
    decide: ({ branches: evidence, label }: { branches: readonly unknown[]; label: string }) => {
      steps.push(`decide ${label} ${evidence.length}`);
      return Promise.resolve(given.decide ?? { kind: 'commit' });
    },
    settle: () => {
      steps.push('settle');
      const { stands = 'abort', standsBy = 'coordinator' } = given;
      if (stands === 'away') return Promise.reject(LOST);
      const branches = given.recorded ?? [];
      return Promise.resolve(new Map([['t', { decision: stands, decidedBy: standsBy, branches }]]));
    },
    recordHeuristic: ({ participant, kind }: { participant: string; kind: string }) => {
      steps.push(`record ${kind} ${participant}`);
      return Promise.resolve(true);
    },
    requestRecovery: () => Promise.resolve(),
  } as unknown as DecisionLog;
}

function participantOf(given: Play, noted: Noted, name: string): Participant {
  const { steps } = noted;
  return {
    name,
    finish: ({ gid, decision, evidence }: FinishRequest) => {
      noted.evidence.push(evidence);
      steps.push(`finish ${decision} ${gid} ${name}`);
      return Promise.resolve(given.finish ?? { kind: 'done' });
    },
    fence: () => {
      steps.push(`fence ${name}`);
      return Promise.resolve(true);
    },
    xactStatus: () => Promise.resolve('committed'),
  } as unknown as Participant;
}

/** Time passes by itself: nothing here waits for it. */
function impatientRuntime(): Runtime {
  let nowMs = 0;
  return {
    ...systemRuntime,
    now: () => nowMs,
    sleep: (ms) => {
      nowMs += ms;
      return Promise.resolve();
    },
    after: () => () => undefined,
  };
}
