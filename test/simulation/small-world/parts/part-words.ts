/** What happens between the parts, in the words of `SmallWorld` without numbers. */
import type { Choice } from '../choice.ts';
import { WORDS } from '../small-world.ts';
import type { PartLink } from './part-link.ts';
import type { PartWorld } from './part-world.ts';
import { HOSTS } from './parts.ts';
import { kindAt } from './words.ts';

const NAMES = ['coordinator', 'recoverer', 'recoverer'];

export function describe(world: PartWorld, choice: Choice): string {
  switch (choice.do) {
    case 'arrive':
    case 'arrive-without-heartbeat':
    case 'anew':
    case 'break-off':
      return `${request(world.link(choice.link))} ${WORDS[choice.do]}`;
    case 'read': {
      const { owner, server } = world.link(choice.link);
      return `${NAMES[owner] ?? ''} reads from ${HOSTS[server] ?? ''}`;
    }
    case 'time':
      return `${NAMES[choice.actor] ?? ''}: a time limit runs out`;
    case 'nothing':
      return '';
    default:
      return describeFate(world, choice);
  }
}

function describeFate(world: PartWorld, choice: Choice): string {
  const [fate] = world.fates.all;
  switch (fate?.of) {
    case 'process':
      return `FAULT ${NAMES[fate.member] ?? ''} is killed`;
    case 'server':
      return `FAULT ${HOSTS[fate.server] ?? ''} crashes and restarts`;
    case 'message': {
      const how = 'how' in choice ? choice.how : '';
      return `FAULT ${request(world.link(fate.link))} is lost: ${how}`;
    }
    case undefined:
      return '';
  }
}

function request({ owner, server, head }: PartLink): string {
  const kind = head === undefined ? '' : kindAt(head);
  return `${NAMES[owner] ?? ''}: ${kind} on ${HOSTS[server] ?? ''}`;
}
