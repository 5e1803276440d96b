/** What is judged between the parts while something happens, and at the end of a run: as `oracle.ts` does it. */
import { parseGid } from '../../../../src/participant/gid.ts';
import { HEARTBEAT_LIMIT_MS, INSTALLATION } from '../setting.ts';
import { judge, type Broken, type Verdict } from './judge.ts';
import type { PartWorld } from './part-world.ts';
import { HOSTS } from './parts.ts';

export function judgeFinish({ servers, broken }: PartWorld, gid: string, decision: string): void {
  const stands = servers[0]?.facts.decision;
  if (parseGid(gid)?.installation !== INSTALLATION) {
    broken.push({ kind: 'foreign-touched', message: gid });
  } else if (stands !== decision) {
    const message = `${gid} is ended with ${decision}, and durable is ${stands ?? 'nothing'}`;
    broken.push({ kind: 'effect-before-decision', message });
  }
}

export function judgeVotes({ servers, broken }: PartWorld, branches: string): void {
  for (const { participant } of JSON.parse(branches) as { participant: string }[]) {
    if (servers[HOSTS.indexOf(participant)]?.facts.isPrepared === true) continue;
    const message = `a commit is decided, and there is no vote on ${participant}`;
    broken.push({ kind: 'vote-without-evidence', message });
  }
}

export function judgeAnswer(
  { servers, broken, answer }: PartWorld,
  pending: readonly string[],
): void {
  if (answer !== 'committed') return;
  for (const [at, { facts }] of servers.entries()) {
    const name = HOSTS[at] ?? '';
    if (at === 0 || facts.isCommitted || pending.includes(name)) continue;
    broken.push({ kind: 'not-yet-committed', message: `told as committed on ${name}, and is not` });
  }
}

/** All has come to its end: see `SmallWorld`. The world is of no use any more. */
export function judgeEnd(world: PartWorld): Verdict {
  if (world.broken.length > 0) return { broken: world.broken, outcome: 'broken' };
  if (world.answer === undefined && world.members[0] !== undefined) {
    const message = 'the coordinator lives, and nothing is under way';
    return { broken: [{ kind: 'no-answer', message }], outcome: 'broken' };
  }
  const { verdicts } = world.parts;
  const key = `${world.servers.map(({ id }) => id).join()} ${world.answer ?? ''}`;
  let verdict = verdicts.get(key);
  if (verdict === undefined) {
    const broken = [...heal(world), ...judge(world.servers, world.answer)];
    verdict = { broken, outcome: outcomeOf(world) };
    verdicts.set(key, verdict);
  }
  return verdict;
}

/** Whoever looks now has to leave nothing in doubt. */
function heal(world: PartWorld): readonly Broken[] {
  world.members = [undefined];
  world.links = [];
  world.serve(0, { do: 'jump', ms: 2 * HEARTBEAT_LIMIT_MS });
  const healer = world.join();
  world.drain([]);
  world.move(healer, { do: 'remember' });
  world.move(healer, { do: 'begin' });
  world.drain([]);
  if (world.members[healer]?.isThrough === true) return world.broken;
  return [...world.broken, { kind: 'no-answer', message: 'the last pass does not end' }];
}

function outcomeOf({ servers, answer }: PartWorld): string {
  const isThere = servers[1]?.facts.isCommitted === true;
  return `${isThere ? 'committed' : 'aborted'}, told ${answer ?? 'nothing'}`;
}
