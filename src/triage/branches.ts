/** The branches of one transaction: those that are prepared, and those that the decision remembers. */
import type { RecordedBranch, StandingDecision } from '../decision-log/decision-log.ts';
import { formatGid, type Gid } from '../participant/gid.ts';
import type { PreparedBranch } from '../participant/participant.ts';
import { decide, type Observation } from '../recovery/decision-table.ts';
import { observeUndecided, type UndecidedFacts } from '../recovery/observe.ts';
import type { ServerIdentity } from '../states.ts';
import type { Burden, Inspector, XidFate } from './inspector.ts';
import type { BranchState, BranchView } from './model.ts';

/** A prepared branch on a participant that was listed. */
export interface PreparedHere {
  readonly participant: string;
  readonly prepared: PreparedBranch;
  readonly gid: Gid;
  readonly server: ServerIdentity;
  readonly burden: Burden | undefined;
  readonly freezeLimit: number | undefined;
}

/** What became of recorded branches that are not prepared: by participant and xid. */
export type Fates = ReadonlyMap<string, XidFate['status']>;

/**
 * Asks for the fate of every recorded branch that is not on the list of its server. An xid is evidence only
 * on the same system and timeline (invariant 6); the branch was prepared, so its xid was flushed.
 */
export async function fatesOfMissing(
  prepared: ReadonlyMap<string, readonly PreparedHere[]>,
  standing: ReadonlyMap<string, StandingDecision>,
  servers: ReadonlyMap<string, ServerIdentity | undefined>,
  inspectors: ReadonlyMap<string, Inspector>,
): Promise<Fates> {
  const asked = new Map<string, { server: ServerIdentity; xids: Set<string> }>();
  for (const [transactionId, { branches }] of standing) {
    for (const { participant, branch, xid, systemIdentifier, timeline } of branches) {
      const server = servers.get(participant);
      const isHere = prepared.get(transactionId)?.some(({ gid }) => gid.branch === branch);
      const isSame = server?.systemIdentifier === systemIdentifier && server.timeline === timeline;
      if (isHere === true || xid === undefined || !isSame) continue;
      const entry = asked.get(participant) ?? { server, xids: new Set() };
      entry.xids.add(xid);
      asked.set(participant, entry);
    }
  }
  const fates = new Map<string, XidFate['status']>();
  await Promise.all(
    [...asked].map(async ([participant, { server, xids }]) => {
      // What cannot be asked now is shown as unknown.
      const found = await inspectors
        .get(participant)
        ?.fates([...xids], server)
        .catch(() => undefined);
      for (const [xid, status] of found ?? []) fates.set(fateKey(participant, xid), status);
    }),
  );
  return fates;
}

/** @param facts undefined while the log does not answer: then there is no row to show. */
export function branchesOf(
  prepared: readonly PreparedHere[],
  standing: StandingDecision | undefined,
  facts: UndecidedFacts | undefined,
  fates: Fates,
): BranchView[] {
  const here = prepared.map((one) => preparedView(one, standing, facts));
  const missing = (standing?.branches ?? []).filter(
    ({ branch }) => !prepared.some(({ gid }) => gid.branch === branch),
  );
  return [...here, ...missing.map((one) => missingView(one, prepared[0]?.gid, fates))].sort(
    (a, b) => a.branch - b.branch,
  );
}

function preparedView(
  { participant, prepared, gid, server, burden, freezeLimit }: PreparedHere,
  standing: StandingDecision | undefined,
  facts: UndecidedFacts | undefined,
): BranchView {
  const observation = facts && observe(gid, standing, facts);
  const row = observation && decide(observation);
  return {
    participant,
    branch: gid.branch,
    gid: formatGid(gid),
    state: 'prepared',
    xid: prepared.xid,
    server,
    preparedAt: burden?.preparedAt,
    ageMs: prepared.ageMs,
    owner: prepared.owner ?? undefined,
    xidAge: burden?.xidAge,
    freezeLimit,
    blocked: burden?.blocked ?? [],
    observation,
    row: row?.row,
    why: row?.why,
    attempt: undefined,
  };
}

/** As the pass does: a row in the log is an answer, and only without one does the coordinator matter. */
function observe(
  gid: Gid,
  standing: StandingDecision | undefined,
  facts: UndecidedFacts,
): Observation {
  const undecided = observeUndecided(gid, facts);
  return standing === undefined ? undecided : { ...undecided, decision: standing.decision };
}

/** What is seen of prepared branches alone, where nothing of it was. */
export const NOTHING_SEEN = {
  preparedAt: undefined,
  ageMs: undefined,
  owner: undefined,
  xidAge: undefined,
  freezeLimit: undefined,
  blocked: [],
  observation: undefined,
  row: undefined,
  why: undefined,
  attempt: undefined,
} as const satisfies Partial<BranchView>;

/** @param sibling of the same transaction: its name differs in the ordinal alone. */
function missingView(recorded: RecordedBranch, sibling: Gid | undefined, fates: Fates): BranchView {
  const { participant, branch, xid, systemIdentifier, timeline } = recorded;
  return {
    participant,
    branch,
    gid: sibling === undefined ? '' : formatGid({ ...sibling, branch }),
    state: stateOf(fates.get(fateKey(participant, xid ?? ''))),
    xid,
    server: { systemIdentifier, timeline },
    ...NOTHING_SEEN,
  };
}

function stateOf(status: XidFate['status']): BranchState {
  if (status === 'committed') return 'committed';
  return status === 'aborted' ? 'rolled-back' : 'unknown';
}

function fateKey(participant: string, xid: string): string {
  return `${participant} ${xid}`;
}
