/** What the decision log must not be without. */
import { without, type Guard } from './guard.ts';

const LOG = 'decision-log/postgres-decision-log.ts';
const LOG_SESSION = 'decision-log/session.ts';

export const REGISTER_GUARDS: readonly Guard[] = [
  {
    name: 'barrier behind decisions that were read',
    invariant: 1,
    direction: 'decision lost while read',
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
    direction: 'unconfirmed',
    patches: [
      without(
        LOG_SESSION,
        `set_config('client_min_messages', 'warning', false)`,
        `set_config('client_min_messages', 'error', false)`,
      ),
    ],
  },
  {
    name: 'epoch fence in the deciding statement',
    invariant: 2,
    direction: 'late decision',
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
    direction: 'late decision',
    patches: [
      without(
        'decision-log/statements.ts',
        `retired_at is null for key share`,
        `retired_at is null`,
      ),
    ],
  },
  {
    name: 'a session of the log is not on a standby',
    invariant: 9,
    patches: [without(LOG_SESSION, `if (rows[0]?.standby === true) throw`, `if (false) throw`)],
    unseen:
      'a standby shows an old state, and whatever is done by it has to be written: the register refuses that',
    heldBy: {
      file: 'test/decision-log/session.test.ts',
      test: 'a session that has landed on a standby',
    },
  },
  {
    name: 'notice check of the tombstone',
    invariant: 3,
    direction: 'unconfirmed',
    patches: [without(LOG, `if (isUnconfirmed(notices)) return new Map();`, ``)],
  },
  {
    name: 'a tombstone that has lost is no abort',
    invariant: 2,
    patches: [
      without(
        LOG,
        `rows.map((row) => [row.transaction_id, { ...decision, decidedAt: row.decided_at }]),`,
        `requests.map(({ transactionId }) => [
        transactionId,
        { ...decision, decidedAt: rows[0]?.decided_at ?? new Date() },
      ]),`,
      ),
    ],
  },
  {
    name: 'a decision that was not written is looked up',
    invariant: 2,
    direction: 'late decision',
    patches: [
      without(LOG, `else if (found.decision === 'commit') answers`, `else if (true) answers`),
    ],
  },
  {
    name: 'no row is no commit',
    invariant: 1,
    direction: 'late decision',
    patches: [
      without(
        LOG,
        `if (found === undefined) answers.set(request, { kind: 'fenced' });`,
        `if (found === undefined) answers.set(request, { kind: 'commit' });`,
      ),
    ],
  },
  {
    name: 'a decision that stood and is gone is no abort',
    invariant: 4,
    direction: 'decision lost while read',
    patches: [without(LOG, `if (standing.size < lost.length) {`, `if (false) {`)],
  },
  {
    name: 'a row and its barrier are asked on one session',
    invariant: 1,
    direction: 'decision lost while read',
    patches: [
      without(
        LOG,
        `const [found, proof] = await this.#reads.runAdjacent<Row>([read, barrier]);`,
        `const ask = (one: Command) => Promise.allSettled([this.#reads.run<Row>(one)]);
    const [found] = await ask(read);
    const [proof] = await ask(barrier);`,
      ),
    ],
  },
  {
    name: 'a key is written with its decision',
    invariant: 2,
    direction: 'one key',
    patches: [
      without(
        'decision-log/statements.ts',
        `insert into pgxa.idempotency (key, transaction_id)
         select`,
        `select`,
      ),
    ],
  },
  {
    name: 'a batch has one epoch',
    invariant: 8,
    patches: [without('decision-log/rows.ts', `(one) => one.epoch === epoch && (`, `(one) => (`)],
    unseen: 'two epochs of one coordinator in one batch are too rare',
    heldBy: {
      file: 'test/decision-log/decision-log.test.ts',
      test: 'epochs in one batch do not disturb each other',
    },
  },
  {
    name: 'nobody is retired before the limit that it asked for',
    invariant: 11,
    direction: 'impatient watchers',
    patches: [
      without(
        'decision-log/statements.ts',
        `greatest($2, heartbeat_limit_ms) * interval`,
        `$2 * interval`,
      ),
      without(
        'recovery/observe.ts',
        `Math.max(heartbeatLimitMs, status.heartbeatLimitMs)`,
        `heartbeatLimitMs`,
      ),
    ],
  },
  {
    name: 'two that retire one epoch do not take each other for its session',
    invariant: 11,
    patches: [
      without(
        'decision-log/statements.ts',
        `as out_of_time
      from pgxa.coordinator
     where epoch = $1 and retired_at is null
       and heartbeat_at < clock_timestamp() - least($2, $3) * interval '1 millisecond'
       for update)`,
        `as out_of_time
      from pgxa.coordinator
     where epoch = $1 and retired_at is null
       and heartbeat_at < clock_timestamp() - least($2, $3) * interval '1 millisecond')`,
      ),
    ],
    unseen: 'a simulated statement takes its locks in one moment',
    heldBy: {
      file: 'test/decision-log/decision-log.test.ts',
      test: 'two retire one epoch whose session is gone',
    },
  },
  {
    name: 'defaults that weaken a commit are overruled',
    invariant: 1,
    patches: [
      without(
        LOG_SESSION,
        `case when current_setting('synchronous_commit') = 'off'
                       then set_config('synchronous_commit', 'on', false) end,`,
        ``,
      ),
    ],
    unseen: 'synchronous_commit is not simulated',
    heldBy: {
      file: 'test/decision-log/decision-log.test.ts',
      test: 'defaults of the database would weaken it',
    },
  },
  {
    name: 'nothing is forced for an epoch that may still decide',
    invariant: 8,
    notSimulated: true,
    patches: [
      without(
        'decision-log/operator-statements.ts',
        `where not exists (select from pgxa.coordinator where epoch = $2 and retired_at is null)`,
        ``,
      ),
    ],
    unseen: 'force retires the epoch before it writes: this is a second lock on a shut door',
    heldBy: {
      file: 'test/decision-log/operator-log.test.ts',
      test: 'an epoch that may still decide',
    },
  },
];
