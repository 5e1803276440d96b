/** What may happen next between the parts, if nothing goes wrong: as in `next-steps.ts`. */
import type { Choice } from '../choice.ts';
import type { PartLink } from './part-link.ts';
import type { PartWorld } from './part-world.ts';
import { kindAt } from './words.ts';

export function nextSteps(world: PartWorld): Choice[] {
  const mover = moverOf(world);
  if (mover !== undefined) return ownChoices(world, mover);
  const all: Choice[] = [];
  for (let at = 0; at < world.links.length; at += 1) addArrivals(all, world, world.link(at), at);
  for (let member = 0; member < world.members.length; member += 1) {
    all.push(...ownChoices(world, member));
  }
  return all;
}

/** Somebody who is not waiting for anything that has not arrived yet. */
function moverOf(world: PartWorld): number | undefined {
  for (let member = 0; member < world.members.length; member += 1) {
    const waits = world.links.some(
      (link) =>
        link.owner === member && link.isAwaited && (link.isLate || link.toServer.length > 0),
    );
    if (!waits && ownChoices(world, member).length > 0) return member;
  }
  return undefined;
}

function ownChoices(world: PartWorld, member: number): Choice[] {
  const node = world.node(member);
  if (node === undefined) return [];
  const choices: Choice[] = [];
  let waits = false;
  for (const [at, link] of world.links.entries()) {
    if (link.owner !== member) continue;
    if (link.toClient.length > 0) choices.push({ do: 'read', link: at });
    waits ||= link.isAwaited && !link.isLate;
  }
  if (!waits && node.isTimed) choices.push({ do: 'time', actor: member });
  return choices;
}

function addArrivals(
  choices: Choice[],
  world: PartWorld,
  { head, broken, isLate, isDeaf }: PartLink,
  link: number,
): void {
  if (head === undefined) return;
  if (broken !== 'no') {
    choices.push({ do: 'break-off', link });
    if (broken === 'idle' && !isLate && !isDeaf) choices.push({ do: 'anew', link });
    return;
  }
  choices.push({ do: 'arrive', link });
  const kind = kindAt(head);
  const showsHeartbeat = kind === 'epochs' || kind === 'retire';
  if (showsHeartbeat && world.servers[0]?.clockMs === 0) {
    choices.push({ do: 'arrive-without-heartbeat', link });
  }
}

export function isAtWork(world: PartWorld, member: number): boolean {
  const node = world.node(member);
  if (node === undefined) return false;
  if (!node.isThrough) return true;
  const waits = world.links.some((link) => link.owner === member && link.isAwaited);
  return waits || ownChoices(world, member).length > 0;
}

export function isAnybodyAtWork(world: PartWorld): boolean {
  return world.members.some((_, member) => isAtWork(world, member));
}
