/** What recovery must not be without. */
import { without, type Guard } from './guard.ts';

export const RECOVERY_GUARDS: readonly Guard[] = [
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
    name: 'a live coordinator is left alone',
    invariant: 11,
    direction: 'impatient watchers',
    patches: [
      without(
        'recovery/pass.ts',
        `if (row.action === 'win-abort') toWin.push(branch);`,
        `if (row.action === 'win-abort' || row.action === 'leave') toWin.push(branch);`,
      ),
    ],
  },
  {
    name: 'an epoch that the log does not know is reported',
    invariant: 8,
    patches: [
      without(
        'recovery/decision-table.ts',
        `'unregistered', 'report',    'the log does not know`,
        `'unregistered', 'win-abort', 'the log does not know`,
      ),
    ],
    unseen: 'a simulated log is not restored from a backup',
    heldBy: {
      file: 'test/recovery/planted.test.ts',
      test: 'an epoch that the log does not know is reported',
    },
  },
  {
    name: 'a forgotten day is no abort',
    invariant: 8,
    patches: [
      without(
        'recovery/pass.ts',
        `if (!standing.has(branch.gid.transactionId)) this.#leave(branch, FORGOTTEN);
    }
    return standing;`,
        `if (!standing.has(branch.gid.transactionId)) this.#leave(branch, FORGOTTEN);
    }
    const abort: StandingDecision = {
      decision: 'abort', decidedBy: 'recovery', decidedAt: new Date(), label: undefined, branches: [],
    };
    return new Map(toWin.map(({ gid: { transactionId: id } }) => [id, standing.get(id) ?? abort]));`,
      ),
    ],
    unseen: 'days are not simulated',
    heldBy: { file: 'test/recovery/planted.test.ts', test: 'a day that the log has forgotten' },
  },
  {
    name: 'the xid of the vote is the evidence, not the one of the list',
    invariant: 6,
    patches: [
      without(
        'recovery/pass.ts',
        `const xid = recordedXid(stands, gid, this.#server);`,
        `const xid: string | undefined = prepared.xid;`,
      ),
    ],
    unseen: 'a simulated list is read in one moment',
    heldBy: { file: 'test/recovery/pass.test.ts', test: 'the xid of the vote' },
  },
  {
    name: 'who commits a branch has its siblings compared',
    invariant: 6,
    patches: [without('recovery/recoverer.ts', `this.#siblings.compare(gid, stands);`, ``)],
    unseen: 'what a hand has done is nobody’s promise in the simulation',
    heldBy: { file: 'test/recovery/siblings.test.ts', test: 'one pass records it' },
  },
  {
    name: 'a sibling is compared on the timeline that its decision recorded',
    invariant: 6,
    patches: [
      without(
        'recovery/siblings.ts',
        `if (server.systemIdentifier !== systemIdentifier || server.timeline !== timeline) return true;`,
        ``,
      ),
    ],
    unseen: 'it shows when an id is handed out again after a failover, and rolled back there',
    heldBy: { file: 'test/recovery/siblings-elsewhere.test.ts', test: 'another timeline' },
  },
  {
    name: 'a new timeline is checked for what it lost',
    invariant: 6,
    notSimulated: true,
    patches: [
      without(
        'recovery/failover-check.ts',
        `if (answer.fate !== 'aborted' && answer.fate !== 'never-issued') return false;`,
        `if (answer.fate !== 'never-issued' || branch.xid !== '') return false;`,
      ),
    ],
    unseen: 'the check belongs to the daemon, which is not simulated',
    heldBy: {
      file: 'test/faults/failover.test.ts',
      test: 'is lost with billing: the daemon notices the new timeline',
    },
  },
  {
    name: 'the check for losses ends where its server does',
    invariant: 9,
    notSimulated: true,
    patches: [
      without(
        'recovery/failover-check.ts',
        `if (answer === undefined || !isSameHistory(answer.server, server)) {`,
        `if (answer === undefined) {`,
      ),
    ],
    unseen: 'the check belongs to the daemon, which is not simulated',
    heldBy: {
      file: 'test/recovery/failover-check.test.ts',
      test: 'a second failover before the first is checked',
    },
  },
];
