/** What the coordinator must not be without. */
import { without, type Guard } from './guard.ts';

export const COORDINATOR_GUARDS: readonly Guard[] = [
  {
    name: 'the decision is known before phase two',
    invariant: 1,
    patches: [
      without(
        'coordinator/protocol.ts',
        `    case 'commit':
      return decidedBy(transaction, context, 'commit', 'coordinator');`,
        `    case 'commit':
    case 'unknown':
      return decidedBy(transaction, context, 'commit', 'coordinator');`,
      ),
      without(
        'coordinator/protocol.ts',
        `    case 'already-done':
    case 'unknown':`,
        `    case 'already-done':`,
      ),
    ],
  },
  {
    name: 'a lost decision is settled by the register',
    invariant: 4,
    patches: [
      without(
        'coordinator/protocol.ts',
        `const settled = await settleByRegister(transaction, context);
  const cause`,
        `const settled: Settled = { kind: 'settled', decision: 'abort', decidedBy: 'coordinator', branches: [] };
  const cause`,
      ),
    ],
  },
  {
    name: 'tombstone before the coordinator rolls a prepared branch back',
    invariant: 2,
    patches: [
      without(
        'coordinator/protocol.ts',
        `if (toFinish.length > 0) {
    transaction.setState('deciding');`,
        `if (false) {
    transaction.setState('deciding');`,
      ),
    ],
  },
  {
    name: 'backend fence before a branch counts as never prepared',
    invariant: 7,
    direction: 'late vote',
    patches: [
      without(
        'coordinator/finish.ts',
        `fenced ||= branch.fenceFirst && (await fence(context, branch));`,
        `fenced = true;`,
      ),
    ],
  },
  {
    name: 'backend fence before the fate of a one-phase commit is asked',
    invariant: 7,
    patches: [
      without(
        'coordinator/one-phase.ts',
        `if (participant === undefined || !(await participant.fence(evidence.backend))) return undefined;`,
        `if (participant === undefined) return undefined;`,
      ),
    ],
    unseen:
      'without the fence the answer is "in progress", which is no answer either, until the backend is done: the ' +
      'fence makes the answer come sooner. A lost COMMIT that is still on its way when the answer is "aborted" would ' +
      'need a session that ends and commits later',
    heldBy: {
      file: 'test/faults/lost-messages.test.ts',
      test: 'the only COMMIT, and the server keeps the session',
    },
  },
  {
    name: 'an unknown vote is no yes',
    invariant: 3,
    patches: [
      without(
        'coordinator/protocol.ts',
        `vote.kind === 'no' || vote.kind === 'unknown');
  if (dissent`,
        `vote.kind === 'no');
  if (dissent`,
      ),
    ],
  },
  {
    name: 'a lost decision obeys what stands',
    invariant: 2,
    patches: [
      without(
        'coordinator/protocol.ts',
        `const { decision, decidedBy: by } = settled;
  const duplicateOf`,
        `const decision: Decision = 'abort';
  const by = settled.decidedBy;
  const duplicateOf`,
      ),
    ],
  },
  {
    name: 'an abandoned transaction obeys what stands',
    invariant: 2,
    direction: 'operator first',
    patches: [
      without(
        'coordinator/protocol.ts',
        `if (decision === 'commit') return obeyCommit(transaction, context, voted, settled.branches);`,
        ``,
      ),
    ],
  },
  {
    name: 'a lost vote is judged by what the commit that stands recorded',
    invariant: 6,
    direction: 'operator, then a crash',
    patches: [
      without(
        'coordinator/protocol.ts',
        `asRecorded(toFinishOf(voted), recorded)`,
        `toFinishOf(voted)`,
      ),
    ],
  },
  {
    name: 'a branch that had refused is recorded when an operator commits',
    invariant: 5,
    patches: [
      without(
        'coordinator/protocol.ts',
        `const refused = voted.filter(({ vote, writes }) => writes && vote.kind === 'no');`,
        `const refused: Voted[] = [];`,
      ),
    ],
    unseen: 'the operator of the simulation commits only what is prepared everywhere',
    heldBy: {
      file: 'test/regressions/abandoned.test.ts',
      test: 'a vote is no, and an operator has decided commit',
    },
  },
  {
    name: 'a key is decided even for one writer',
    invariant: 2,
    direction: 'one key',
    patches: [
      without(
        'coordinator/protocol.ts',
        `transaction.idempotencyKey !== undefined && writers.length > 0`,
        `false`,
      ),
    ],
  },
  {
    name: 'a lost reply to the only COMMIT is settled by its xid',
    invariant: 4,
    direction: 'id of a lost commit',
    patches: [
      without(
        'coordinator/protocol.ts',
        `? await settleOnePhase(transaction.id, context, reply.evidence, SETTLE_PATIENCE_MS)`,
        `? 'rolled-back'`,
      ),
    ],
  },
  {
    name: 'no information about the only COMMIT is no outcome',
    invariant: 4,
    direction: 'id of a lost commit',
    patches: [
      without(
        'coordinator/one-phase.ts',
        `case 'in progress':
      case 'no-information':
        return undefined;`,
        `case 'in progress':
        return undefined;
      case 'no-information':
        return 'rolled-back';`,
      ),
    ],
  },
  {
    name: 'readers follow the decision',
    invariant: 1,
    patches: [
      without(
        'coordinator/readers.ts',
        `voting: readers.filter(({ mayFailAtCommit }) => mayFailAtCommit),
    following: readers.filter(({ mayFailAtCommit }) => !mayFailAtCommit),`,
        `voting: [...readers],
    following: [],`,
      ),
    ],
    unseen: 'what a reader may have told (NOTIFY, a foreign table) is not simulated',
    heldBy: { file: 'test/regressions/notify.test.ts', test: 'billing votes no: not published' },
  },
  {
    name: 'a coordinator that was retired begins a new epoch',
    invariant: 11,
    direction: 'late decision',
    patches: [
      without(
        'coordinator/epoch.ts',
        `if (await log.heartbeat(epoch)) return;`,
        `if ((await log.heartbeat(epoch)) || epoch !== '') return;`,
      ),
    ],
  },
];
