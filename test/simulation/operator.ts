/** Somebody with a shell, who does what `pgxa resolve` and `pgxa force` do. */
import { PostgresOperatorLog } from '../../src/decision-log/postgres-operator-log.ts';
import { publish } from '../../src/events.ts';
import { parseGid } from '../../src/participant/gid.ts';
import type { PreparedBranch } from '../../src/participant/participant.ts';
import type { ServerIdentity } from '../../src/states.ts';
import { force, type ForceResult } from '../../src/triage/force.ts';
import { NOTHING_SEEN } from '../../src/triage/branches.ts';
import type { BranchView, TransactionView } from '../../src/triage/model.ts';
import { close, CONNECT_TIMEOUT_MS, open, runtimeOf, type Opened, type Stage } from './actors.ts';
import type { Told } from './oracle.ts';
import type { SimulatedProcess } from './process.ts';

/** Aborts what nobody has decided, as recovery does, but at once. */
export function resolveByOperator(process: SimulatedProcess, stage: Stage): void {
  operate(process, stage, resolveAll);
}

/**
 * Decides commit for a transaction whose branches are all listed, whatever its coordinator does meanwhile: with the
 * override, which an operator may give.
 */
export function forceCommit(process: SimulatedProcess, stage: Stage, told: Told): void {
  operate(process, stage, async (opened) => {
    const result = await forceAll(process, opened, told);
    if (result !== undefined) stage.oracle.note(`force-${result.kind}`);
  });
}

function operate(
  process: SimulatedProcess,
  stage: Stage,
  work: (opened: Opened) => Promise<void>,
): void {
  const run = async (): Promise<void> => {
    const opened = await open(process, stage);
    await work(opened);
    await close(opened);
  };
  process.deliver(() => {
    const end = (): void => {
      process.kill(true);
    };
    // What does not work now is tried again by whoever comes next.
    void run().then(end, end);
  });
}

async function resolveAll({ log, participants }: Opened): Promise<void> {
  for (const participant of participants.values()) {
    const listing = await participant.listInDoubt();
    if (listing.kind !== 'listed') continue;
    for (const { gid } of listing.branches) {
      const parsed = parseGid(gid);
      if (parsed?.installation !== log.installation) continue;
      const { transactionId, epoch } = parsed;
      const standing = await log.settle([{ transactionId, epoch }], 'operator');
      const decision = standing.get(transactionId)?.decision;
      if (decision === undefined) continue;
      const evidence = { xid: undefined, server: listing.server };
      await participant.finish({ gid, decision, evidence, absentMeansAborted: true });
    }
  }
}

async function forceAll(
  process: SimulatedProcess,
  opened: Opened,
  told: Told,
): Promise<ForceResult | undefined> {
  const { config, log, participants } = opened;
  const transaction = await lookAt(opened, told);
  if (transaction === undefined) return undefined;
  const operatorLog = new PostgresOperatorLog({
    settings: config.decisionLog,
    name: process.name,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
  });
  const options = {
    participants,
    inspectors: new Map(),
    openLog: () => Promise.resolve({ log, operatorLog }),
    heartbeatLimitMs: config.heartbeatLimitMs,
    runtime: runtimeOf(process),
    answerTimeoutMs: CONNECT_TIMEOUT_MS,
    actor: process.name,
    publish,
  };
  const assessment = { way: 'decide', objections: [], notes: [] } as const;
  try {
    return await force(options, {
      transaction,
      decision: 'commit',
      assessment,
      reason: 'the simulation wants it',
      override: true,
    });
  } finally {
    await operatorLog.close();
  }
}

/** As a survey shows it; undefined unless every branch that the transaction has is prepared, and nothing is decided. */
async function lookAt(opened: Opened, told: Told): Promise<TransactionView | undefined> {
  const { log, participants } = opened;
  const branches: BranchView[] = [];
  for (const name of told.writes) {
    const listing = await participants.get(name)?.listInDoubt();
    if (listing?.kind !== 'listed') return undefined;
    const found = listing.branches.find(({ gid }) => {
      const parsed = parseGid(gid);
      return parsed?.installation === log.installation && parsed.transactionId === told.id;
    });
    if (found === undefined) return undefined;
    branches.push(branchView(name, found, listing.server));
  }
  if ((await log.decisionsOf([told.id])).has(told.id)) return undefined;
  return {
    transactionId: told.id,
    verdict: 'undecided-dead',
    reason: '',
    beganAt: new Date(0),
    label: undefined,
    decision: undefined,
    coordinator: undefined,
    branches,
    heuristics: [],
    ageMs: 0,
    blocked: 0,
  };
}

function branchView(
  participant: string,
  { gid, xid, ageMs }: PreparedBranch,
  server: ServerIdentity,
): BranchView {
  return {
    participant,
    branch: parseGid(gid)?.branch ?? 0,
    gid,
    state: 'prepared',
    xid,
    server,
    ...NOTHING_SEEN,
    ageMs,
  };
}
