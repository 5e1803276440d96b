import type { Command, CommandReply, ConnectionGroup } from '../postgres/dedicated-connection.ts';
import { isUnconfirmed } from '../postgres/unconfirmed.ts';
import { toError } from '../errors.ts';
import type { FinishResult, ServerIdentity, XactStatus } from '../states.ts';
import { quoteGid } from './gid.ts';
import type { FinishRequest } from './participant.ts';
import {
  factsOfRow,
  isSameDatabase,
  isSameHistory,
  SERVER_FACTS_SQL,
  type ServerFactsRow,
} from './server-facts.ts';
import { meaningOfFinishFailure, sqlstateOf } from './sqlstate.ts';

/** Asks a server for the fate of an xid. Both answers come from one connection, in this order. */
export type AskXactStatus = (xid: string) => Promise<{
  readonly server: ServerIdentity | undefined;
  readonly status: XactStatus;
  readonly incarnation: string | undefined;
}>;

/**
 * Finishes one prepared branch, once: COMMIT PREPARED or ROLLBACK PREPARED, and what the answer
 * proves. "Not found" proves nothing by itself (invariant 6); everything else that is not the right
 * command tag is "pending" (invariant 5).
 */
export async function finishBranch(
  connections: ConnectionGroup,
  request: FinishRequest,
  askXactStatus: AskXactStatus,
): Promise<FinishResult> {
  const reply = await sendFinish(connections, request);
  if (reply.kind !== 'absent') return reply;
  const result = await judgeAbsent(request, reply.server, askXactStatus);
  if (result === WRONG_SERVER) connections.renew();
  return result;
}

/** `server`: who said so, where it was asked. */
type SendResult =
  FinishResult | { readonly kind: 'absent'; readonly server: ServerIdentity | undefined };

const WRONG_SERVER: FinishResult = {
  kind: 'pending',
  error: new Error('a standby or another server answers in place of the registered one'),
};

/** Asked behind the command on the same connection: from another server "not there" is no information. */
const WHO_ANSWERS: Command = { text: SERVER_FACTS_SQL };

async function sendFinish(
  connections: ConnectionGroup,
  request: FinishRequest,
): Promise<SendResult> {
  const text = finishSql(request);
  if (request.owner !== undefined) return sendAsOwner(connections, request, request.owner);
  const who = request.absentMeansAborted === true ? [WHO_ANSWERS] : [];
  const [finish, facts] = await connections.runAdjacent([{ text }, ...who]);
  if (finish?.status === 'fulfilled') return judgeReply(request, finish.value);
  switch (meaningOfFinishFailure(finish?.reason)) {
    case 'absent':
      return { kind: 'absent', server: serverOf(facts) };
    case 'denied':
      return sendAsOwner(connections, request, undefined);
    case 'retry':
      return { kind: 'pending', error: toError(finish?.reason) };
  }
}

function serverOf(
  reply: PromiseSettledResult<CommandReply> | undefined,
): ServerIdentity | undefined {
  if (reply?.status !== 'fulfilled') return undefined;
  const [row] = reply.value.rows as unknown as readonly ServerFactsRow[];
  const facts = row === undefined ? undefined : factsOfRow(row);
  return facts?.inRecovery === false ? facts.server : undefined;
}

/** Only the owner may finish a branch; membership is not enough, `set role` is (42501 otherwise). */
async function sendAsOwner(
  connections: ConnectionGroup,
  request: FinishRequest,
  knownOwner: string | undefined,
): Promise<SendResult> {
  try {
    const owner = knownOwner ?? (await ownerOf(connections, request.gid));
    if (owner === undefined) return { kind: 'absent', server: undefined };
    const role = `"${owner.replaceAll('"', '""')}"`;
    const [setRole, finish, , facts] = await connections.runAdjacent([
      { text: `set role ${role}` },
      { text: finishSql(request) },
      { text: 'reset role' },
      WHO_ANSWERS,
    ]);
    if (finish?.status === 'fulfilled') return judgeReply(request, finish.value);
    if (meaningOfFinishFailure(finish?.reason) === 'absent') {
      return { kind: 'absent', server: serverOf(facts) };
    }
    const cause: unknown = setRole?.status === 'rejected' ? setRole.reason : finish?.reason;
    const hint = `grant ${role} to the role that pgxa connects as (with set option)`;
    const error =
      sqlstateOf(cause) === '42501'
        ? new Error(`branch ${request.gid} belongs to role ${role}: ${hint}`, { cause })
        : toError(cause);
    return { kind: 'pending', error };
  } catch (thrown) {
    return { kind: 'pending', error: toError(thrown) };
  }
}

async function ownerOf(connections: ConnectionGroup, gid: string): Promise<string | undefined> {
  const { rows } = await connections.run<{ owner: string | null }>({
    text: `select owner::text from pg_prepared_xacts
            where gid = $1 and database = current_database()`,
    values: [gid],
  });
  return rows[0]?.owner ?? undefined;
}

function finishSql({ gid, decision }: FinishRequest): string {
  return `${decision === 'commit' ? 'commit' : 'rollback'} prepared ${quoteGid(gid)}`;
}

function judgeReply(
  { decision }: FinishRequest,
  reply: { readonly command: string; readonly notices: readonly string[] },
): FinishResult {
  const expected = decision === 'commit' ? 'COMMIT' : 'ROLLBACK';
  if (reply.command !== expected) {
    const error = new Error(`the server answered ${expected} PREPARED with ${reply.command}`);
    return { kind: 'pending', error };
  }
  if (isUnconfirmed(reply.notices)) {
    const error = new Error(`${expected} PREPARED was not confirmed by the synchronous standby`);
    return { kind: 'pending', error };
  }
  return { kind: 'done' };
}

/** What it means that the gid is not there: by the xid of the branch, or not at all. */
async function judgeAbsent(
  request: FinishRequest,
  told: ServerIdentity | undefined,
  askXactStatus: AskXactStatus,
): Promise<FinishResult> {
  const { decision, evidence } = request;
  // Its backend is gone and it is not prepared, so it is rolled back. Its xid says nothing: it was perhaps
  // never flushed, and is another transaction's after a crash.
  if (decision === 'abort' && request.absentMeansAborted === true) {
    const isThere = told !== undefined && isSameDatabase(told, evidence.server);
    return isThere ? { kind: 'done' } : WRONG_SERVER;
  }
  if (evidence.xid === undefined) {
    return hazard('the branch is not there, and its transaction id is not known');
  }
  let answer: Awaited<ReturnType<AskXactStatus>>;
  try {
    answer = await askXactStatus(evidence.xid);
  } catch (thrown) {
    return { kind: 'pending', error: toError(thrown) };
  }
  const { server, status } = answer;
  if (server === undefined || !isSameDatabase(server, evidence.server)) return WRONG_SERVER;
  if (!isSameHistory(server, evidence.server)) {
    return hazard(
      `the branch is not there, and the server went from timeline ${evidence.server.timeline} to ` +
        `${server.timeline}: a failover may have lost it`,
    );
  }
  const { incarnation } = evidence;
  // It may never have been prepared, nor its id been flushed: after a crash that is another transaction's.
  const isUnsure = request.absentMeansAborted === true && incarnation !== undefined;
  if (isUnsure && answer.incarnation !== incarnation) {
    return hazard(
      'the branch is not there, its vote is not known, and the server has crashed since',
    );
  }
  return judgeStatus(decision, status, evidence.xid);
}

function judgeStatus(
  decision: FinishRequest['decision'],
  status: XactStatus,
  xid: string,
): FinishResult {
  switch (status) {
    case 'committed':
      if (decision === 'commit') return { kind: 'done' };
      return {
        kind: 'heuristic',
        heuristic: 'commit',
        evidence: `the decision is abort, and transaction ${xid} of the branch is committed`,
      };
    case 'aborted':
      if (decision === 'abort') return { kind: 'done' };
      return {
        kind: 'heuristic',
        heuristic: 'rollback',
        evidence: `the decision is commit, and transaction ${xid} of the branch is rolled back`,
      };
    case 'in progress':
      // Not prepared yet (its PREPARE is still on its way), or another finisher is at work.
      return { kind: 'pending', error: new Error('the branch is still in progress') };
    case 'no-information':
      return hazard(`the branch is not there, and the server cannot tell the fate of xid ${xid}`);
  }
}

function hazard(evidence: string): FinishResult {
  return { kind: 'heuristic', heuristic: 'hazard', evidence };
}
