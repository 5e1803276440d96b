/**
 * The guards of the protocol, and for each a change of src that removes it. The simulation has to notice; where it
 * cannot, `unseen` says why, and what else holds the guard.
 */
import type { Patch } from './bundle.ts';

export interface Guard {
  readonly name: string;
  /** Invariant of ARCHITECTURE.md that it serves. */
  readonly invariant: number;
  readonly patches: readonly Patch[];
  readonly unseen?: string;
  /** It needs so rare a coincidence that a run of ordinary length may miss it: no verdict then. */
  readonly rare?: string;
}

function without(file: string, from: string, to: string): Patch {
  return { file, from, to };
}

const PARTICIPANT = 'participant/postgres-participant.ts';
const LOG = 'decision-log/postgres-decision-log.ts';
const LOG_SESSION = 'decision-log/session.ts';
const FINISHER = 'participant/finisher.ts';

export const GUARDS: readonly Guard[] = [
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
    name: 'recovery wins the tombstone before it rolls back',
    invariant: 1,
    patches: [
      without(
        'recovery/pass.ts',
        `const standing = await log.settle([...requests.values()], decidedBy);`,
        `const standing = new Map([...requests.keys()].map((id) => [id, {
           decision: 'abort', decidedBy: 'recovery', decidedAt: new Date(), label: undefined, branches: [] }]));`,
      ),
    ],
  },
  {
    name: 'barrier behind decisions that were read',
    invariant: 1,
    patches: [without(LOG, `if (isUnconfirmed(proof.value.notices)) {`, `if (false) {`)],
  },
  {
    name: 'notice check of the decision',
    invariant: 3,
    patches: [without(LOG, `if (isUnconfirmed(reply.notices)) {`, `if (false) {`)],
  },
  {
    name: 'the log shows its warnings',
    invariant: 3,
    patches: [
      without(
        LOG_SESSION,
        `set_config('client_min_messages', 'warning', false)`,
        `set_config('client_min_messages', 'error', false)`,
      ),
    ],
  },
  {
    name: 'tag check of the vote',
    invariant: 3,
    patches: [
      without(
        'participant/branch-replies.ts',
        `if (tag === 'PREPARE') {`,
        `if (tag !== undefined) {`,
      ),
    ],
    unseen:
      'the statement before PREPARE, under the same Sync, fails first in a failed transaction: the tag is a second ' +
      'line behind it. Held by test/participant/branch.test.ts',
  },
  {
    name: 'notice check of the vote',
    invariant: 3,
    patches: [
      without(
        'participant/branch-replies.ts',
        `if (isProvenDurable(prepare)) return { kind: 'yes', evidence };`,
        `return { kind: 'yes', evidence };`,
      ),
    ],
  },
  {
    name: 'a branch shows its warnings',
    invariant: 3,
    patches: [
      without(
        'participant/branch-statements.ts',
        `set_config('client_min_messages', 'warning', true)`,
        `set_config('client_min_messages', 'error', true)`,
      ),
    ],
  },
  {
    name: 'notice check of the one-phase commit',
    invariant: 3,
    patches: [
      without(
        'participant/branch-replies.ts',
        `if (isProvenDurable(commit)) return { kind: 'committed' };`,
        `return { kind: 'committed' };`,
      ),
    ],
    rare: 'a wait for the standby that is cut off in the only writer of a transaction',
  },
  {
    name: 'notice check of phase two',
    invariant: 5,
    patches: [without(FINISHER, `if (isUnconfirmed(reply.notices)) {`, `if (false) {`)],
  },
  {
    name: 'an error is an answer only when the server is ready again',
    invariant: 4,
    patches: [
      without(
        'postgres/sync-unit.ts',
        `if (!fromServer || connection.stream.destroyed) {
      this.#settle(fromServer ? lostAfter(error) : error);`,
        `if (true) {
      this.#settle(error);`,
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
        `const settled: Settled = { kind: 'settled', decision: 'abort', decidedBy: 'coordinator' };
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
    name: 'epoch fence in the deciding statement',
    invariant: 2,
    patches: [
      without(
        'decision-log/statements.ts',
        `epoch = $1 and retired_at is null for key share`,
        `epoch = $1 for key share`,
      ),
    ],
  },
  {
    name: 'key share lock of the deciding statement',
    invariant: 8,
    patches: [
      without(
        'decision-log/statements.ts',
        `retired_at is null for key share`,
        `retired_at is null`,
      ),
    ],
    unseen:
      'between its look at the epoch and its commit the simulated statement waits only for a row of its own, and is ' +
      'then run again as a whole: the gap that the lock closes is not in the simulation. Held by ' +
      'test/decision-log/conformance.ts',
  },
  {
    name: '42704 is success only with proof by the xid',
    invariant: 6,
    patches: [
      without(
        FINISHER,
        `const { decision, evidence } = request;`,
        `const { decision, evidence } = request;
         return { kind: 'done' };`,
      ),
    ],
  },
  {
    name: 'who says that a branch to be aborted is gone',
    invariant: 9,
    patches: [
      without(
        FINISHER,
        `const isThere = told !== undefined && isSameDatabase(told, evidence.server);`,
        `const isThere = true;`,
      ),
    ],
  },
  {
    name: 'the proof is asked on the same server',
    invariant: 6,
    patches: [
      without(
        FINISHER,
        `if (server === undefined || !isSameDatabase(server, evidence.server)) return`,
        `if (server === undefined) return`,
      ),
    ],
  },
  {
    name: 'the proof is asked on the same timeline',
    invariant: 6,
    patches: [without(FINISHER, `if (!isSameHistory(server, evidence.server)) {`, `if (false) {`)],
    rare: 'a lost PREPARE whose id is given out again, and committed, before phase two asks',
  },
  {
    name: 'a one-phase xid counts only before the next checkpoint',
    invariant: 6,
    patches: [
      without(
        PARTICIPANT,
        `if (!sameHistory || (!isOurs && answer.status !== 'aborted'))`,
        `if (!sameHistory)`,
      ),
    ],
  },
  {
    name: 'barrier behind the branches that an operator commits',
    invariant: 3,
    patches: [
      without(
        PARTICIPANT,
        `if (listing.kind === 'listed') assertReplicated(proof);`,
        `void proof;`,
      ),
    ],
    rare: 'an operator, a standby that is away, and a failover have to meet',
  },
  {
    name: 'barrier behind a status that was read',
    invariant: 6,
    patches: [without(PARTICIPANT, `if (status === 'committed') assertReplicated(proof);`, ``)],
  },
  {
    name: 'backend fence before a branch counts as never prepared',
    invariant: 7,
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
  },
  {
    name: 'a fence is believed only on the registered primary',
    invariant: 7,
    patches: [
      without(
        PARTICIPANT,
        `select not pg_is_in_recovery()
                      and (select system_identifier::text from pg_control_system()) = $3 as here`,
        `select true as here`,
      ),
    ],
  },
  {
    name: 'a standby lists nothing that can be relied on',
    invariant: 9,
    patches: [
      without(
        PARTICIPANT,
        `if (facts.inRecovery) {
      this.#connections.renew();`,
        `if (false) {
      this.#connections.renew();`,
      ),
    ],
  },
  {
    name: 'another server lists nothing that can be relied on',
    invariant: 9,
    patches: [
      without(
        PARTICIPANT,
        `if (!this.#options.followRegister) return isSame;`,
        `if (!this.#options.followRegister) return true;`,
      ),
    ],
  },
  {
    name: 'a session of phase one is on the registered server',
    invariant: 9,
    patches: [
      without(PARTICIPANT, `if (!isSameDatabase(registered, facts.server)) {`, `if (false) {`),
    ],
  },
  {
    name: 'a gid is parsed whole',
    invariant: 9,
    patches: [
      without(
        'participant/gid.ts',
        `_([0-9a-f]{32})_([1-9][0-9]{0,3})$/;`,
        `_([0-9a-f]{32})_([1-9][0-9]{0,3})/;`,
      ),
    ],
  },
  {
    name: 'a gid is of this installation',
    invariant: 9,
    patches: [
      without(
        'recovery/recoverer.ts',
        `gid?.installation === this.#options.log.installation ?`,
        `gid !== undefined ?`,
      ),
    ],
  },
  {
    name: 'a session on the wrong server is given up',
    invariant: 11,
    patches: [
      without(
        'postgres/dedicated-connection.ts',
        `for (const connection of this.#connections) connection.renew();`,
        ``,
      ),
    ],
  },
  {
    name: 'a session of the log is not on a standby',
    invariant: 9,
    patches: [without(LOG_SESSION, `if (rows[0]?.standby === true) throw`, `if (false) throw`)],
    rare: 'a read connection of the log that is made while the name leads to the standby',
  },
];
