/**
 * What may happen next in a small world, if nothing goes wrong. What is left out, and why nothing is lost by it:
 *  - A process that waits for no request that is still under way is moved on at once (`moverOf`): nobody else can tell
 *    when it reads what has come, nor can anything that others do change what it will read.
 *  - Time limits run out when nothing is under way, or when what is under way is late, which counts as lost. The clock
 *    of each process is its own.
 *  - That the heartbeats of the coordinator have been missing for too long shows in two statements of the log alone:
 *    each of them may be the first to find it so.
 */
import type { Choice } from './choice.ts';
import type { ChoiceLink } from './choice-link.ts';
import type { Member, Setting } from './setting.ts';

/** Later than this only the next heartbeat is due. */
export const FAR_MS = 300_000;

export function nextSteps(setting: Setting): Choice[] {
  const mover = moverOf(setting);
  if (mover !== undefined) return ownChoices(setting, mover);
  return [
    ...setting.network.links.flatMap((link, index) => arrivals(setting, link, index)),
    ...setting.members.flatMap((member) => ownChoices(setting, member)),
  ];
}

/** Somebody who is not waiting for anything that has not arrived yet. */
function moverOf(setting: Setting): Member | undefined {
  return setting.members.find((member) => {
    const own = setting.linksOf(member).filter((link) => link.isAwaited);
    if (own.some(({ late, toServer }) => late || toServer.length > 0)) return false;
    return ownChoices(setting, member).length > 0;
  });
}

function ownChoices(setting: Setting, member: Member): Choice[] {
  if (!member.process.alive) return [];
  const reads = setting.network.links.flatMap((link, index): Choice[] =>
    link.owner === member.process && link.toClient.length > 0 ? [{ do: 'read', link: index }] : [],
  );
  const waits = setting.linksOf(member).some((link) => link.isAwaited && !link.late);
  const { next } = member.process.scheduler;
  if (waits || next === undefined || next.at > FAR_MS) return reads;
  return [...reads, { do: 'time', actor: setting.members.indexOf(member) }];
}

function arrivals(
  setting: Setting,
  { head, broken, late, deaf }: ChoiceLink,
  link: number,
): Choice[] {
  if (head === undefined) return [];
  if (broken !== 'no') {
    if (broken === 'in-transaction' || late || deaf) return [{ do: 'break-off', link }];
    return [
      { do: 'break-off', link },
      { do: 'anew', link },
    ];
  }
  const showsHeartbeat = head === 'epochs' || head === 'retire';
  if (!showsHeartbeat || setting.log.clockMs > 0) return [{ do: 'arrive', link }];
  return [
    { do: 'arrive', link },
    { do: 'arrive-without-heartbeat', link },
  ];
}

/** It may still do something by itself. */
export function isAtWork(setting: Setting, member: Member): boolean {
  if (!member.process.alive) return false;
  if (!member.isThrough()) return true;
  return (
    setting.linksOf(member).some((link) => link.isAwaited) || ownChoices(setting, member).length > 0
  );
}

export function isAnybodyAtWork(setting: Setting): boolean {
  return setting.members.some((member) => isAtWork(setting, member));
}
