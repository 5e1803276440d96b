/** What must not be missing where a server's answers are taken for evidence. */
import { without, type Guard } from './guard.ts';

const PARTICIPANT = 'participant/postgres-participant.ts';
const FATE = 'participant/xact-fate.ts';
const FINISHER = 'participant/finisher.ts';

export const PARTICIPANT_GUARDS: readonly Guard[] = [
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
    heldBy: {
      file: 'test/participant/branch-replies.test.ts',
      test: 'PREPARE that is answered with ROLLBACK',
    },
  },
  {
    name: 'notice check of the vote',
    invariant: 3,
    patches: [
      without(
        'participant/branch-replies.ts',
        `const error = doubtOf('PREPARE', prepare);`,
        `const error = undefined;`,
      ),
    ],
  },
  {
    name: 'a vote of another transaction on the same client is none',
    invariant: 3,
    patches: [
      without(
        'participant/postgres-branch.ts',
        `differs(this.#began, began) || differs(this.#xid, xid)`,
        `differs(this.#xid, xid)`,
      ),
    ],
    unseen: 'nobody in the simulation has a hand on a client of a branch',
    heldBy: {
      file: 'test/participant/branch-session.test.ts',
      test: 'and another one was begun behind a branch that read first: never yes',
    },
  },
  {
    name: 'a vote outside of a transaction is none',
    invariant: 3,
    patches: [
      without(
        'participant/branch-replies.ts',
        `if (notices.includes(NO_TRANSACTION)) {`,
        `if (false) {`,
      ),
    ],
    unseen:
      'no simulated application ends the transaction of its branch, and no pooler mixes sessions up. Held by ' +
      'test/participant/branch-replies.test.ts, and on real servers by branch-session.test.ts',
    heldBy: {
      file: 'test/participant/branch-replies.test.ts',
      test: 'PREPARE with the warning 25P01',
    },
  },
  {
    name: 'a branch shows its warnings',
    invariant: 3,
    direction: 'unconfirmed',
    patches: [
      without(
        'participant/branch-statements.ts',
        `set local client_min_messages = warning`,
        `set local client_min_messages = error`,
      ),
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
    direction: 'unconfirmed',
    patches: [
      without(
        'participant/branch-replies.ts',
        `const error = doubtOf('COMMIT', commit);`,
        `const error = undefined;`,
      ),
    ],
  },
  {
    name: 'notice check of phase two',
    invariant: 5,
    direction: 'unconfirmed',
    patches: [without(FINISHER, `if (isUnconfirmed(reply.notices)) {`, `if (false) {`)],
  },
  {
    name: 'an error is an answer only when the server is ready again',
    invariant: 4,
    direction: 'panic',
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
    direction: 'astray',
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
    direction: 'id of a lost vote',
    patches: [without(FINISHER, `if (!isSameHistory(server, evidence.server)) {`, `if (false) {`)],
  },
  {
    name: 'a one-phase xid counts only while the server has not crashed',
    invariant: 6,
    direction: 'id of a lost commit',
    patches: [
      without(
        PARTICIPANT,
        `if (!sameHistory || (!isOurs && answer.status !== 'aborted'))`,
        `if (!sameHistory)`,
      ),
    ],
  },
  {
    name: 'barrier behind a status that was read',
    invariant: 6,
    direction: 'end lost while asked',
    patches: [without(FATE, `if (status === 'committed') assertReplicated(proof);`, ``)],
  },
  {
    name: 'a fence is believed only on the registered primary',
    invariant: 7,
    direction: 'late vote',
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
    name: 'tag check of the one-phase commit',
    invariant: 3,
    patches: [
      without(
        'participant/branch-replies.ts',
        `if (tag === 'COMMIT') {`,
        `if (tag !== undefined) {`,
      ),
    ],
    unseen: 'as with the vote: the statement before COMMIT fails first in a failed transaction',
    heldBy: {
      file: 'test/participant/branch-replies.test.ts',
      test: 'COMMIT that is answered with ROLLBACK',
    },
  },
  {
    name: 'tag check of phase two',
    invariant: 5,
    patches: [without(FINISHER, `if (reply.command !== expected) {`, `if (false) {`)],
    unseen: 'no server answers COMMIT PREPARED with another tag, real or simulated',
    heldBy: { file: 'test/participant/finisher.test.ts', test: 'another tag than the right one' },
  },
  {
    name: 'in progress is no outcome',
    invariant: 6,
    patches: [
      without(
        FINISHER,
        `return { kind: 'pending', error: new Error('the branch is still in progress') };`,
        `return { kind: 'done' };`,
      ),
    ],
    unseen:
      'a branch that is not prepared yet is only aborted, and a listed one that is being ended answers "busy": two ' +
      'other guards come first',
    heldBy: { file: 'test/participant/finisher.test.ts', test: 'in progress: pending' },
  },
  {
    name: 'status and its barrier are asked on one session',
    invariant: 6,
    direction: 'end lost while asked',
    patches: [
      without(
        FATE,
        `const [asked, proof] = await this.#connections.runAdjacent<XactRow>([
        { text: XACT_STATUS_SQL, values: [xid] },
        { text: STATUS_BARRIER_SQL, values: [xid] },
      ]);`,
        `const ask = (text: string) =>
        Promise.allSettled([this.#connections.run<XactRow>({ text, values: [xid] })]);
      const [asked] = await ask(XACT_STATUS_SQL);
      const [proof] = await ask(STATUS_BARRIER_SQL);`,
      ),
    ],
  },
  {
    name: 'what the pool still holds from another server is not used',
    invariant: 9,
    patches: [
      without(
        PARTICIPANT,
        `if (known !== undefined && !this.#isRegistered(known.facts.server)) {`,
        `if (false) {`,
      ),
    ],
    unseen: 'a session that was made elsewhere is refused at its first look, and never kept',
    heldBy: {
      file: 'test/regressions/astray.test.ts',
      test: 'what the pool still holds from there is not used',
    },
  },
  {
    name: 'of two first looks at once only the registered server counts',
    invariant: 9,
    patches: [
      without(
        PARTICIPANT,
        `const registered = this.#registered ?? (await this.#registerFirst(facts));`,
        `if (this.#registered === undefined) {
           await this.#registerFirst(facts);
           return facts.server;
         }
         const registered: ServerIdentity = this.#registered;`,
      ),
    ],
    unseen: 'who has not registered the right server is led astray by no schedule',
    heldBy: {
      file: 'test/regressions/first-look.test.ts',
      test: 'the one from elsewhere is refused',
    },
  },
  {
    name: 'only branches of this database are listed',
    invariant: 9,
    patches: [without('participant/listing.ts', `where p.database = current_database())`, `)`)],
    unseen: 'a simulated server has one database',
    heldBy: {
      file: 'test/recovery/planted.test.ts',
      test: 'in another database of the same server',
    },
  },
  {
    name: 'a statement that ended the transaction spoils the branch',
    invariant: 3,
    patches: [
      without(
        'participant/postgres-branch.ts',
        `if (client.getTransactionStatus?.() === 'I') {`,
        `if (false) {`,
      ),
    ],
    unseen: 'no simulated program sends such a statement',
    heldBy: {
      file: 'test/participant/branch-session.test.ts',
      test: 'a statement that ended the transaction unseen',
    },
  },
  {
    name: 'two names for one database are refused',
    invariant: 9,
    patches: [
      without(
        'open-participants.ts',
        `if (other === undefined) return;
  throw new ConfigError`,
        `if (other === undefined || name !== '') return;
  throw new ConfigError`,
      ),
    ],
    unseen: 'every simulated name has a server of its own when it is first looked at',
    heldBy: {
      file: 'test/regressions/astray.test.ts',
      test: 'both are refused together while it leads there',
    },
  },
  {
    name: 'barrier behind the branches that an operator commits',
    invariant: 3,
    direction: 'operator early',
    patches: [
      without(
        PARTICIPANT,
        `if (listing.kind === 'listed') assertReplicated(proof);`,
        `void proof;`,
      ),
    ],
  },
];
