/** When two states of a small world are the same. */
import { Digest } from './digest.ts';
import { isAtWork } from './next-steps.ts';
import type { Member, Setting } from './setting.ts';

/** The same value, the same future: see `digest.ts` for how sure that is. */
export function keyOf(setting: Setting): number {
  const parts = setting.members.map((member) => stateOf(setting, member));
  const [coordinator = '', ...recoverers] = parts;
  // Who of two that are alike is the first makes no difference.
  const all = [coordinator, ...recoverers.sort(), ...setting.servers.map(({ state }) => state)];
  const [told] = setting.oracle.told;
  const digest = new Digest();
  for (const part of all) digest.add(setting.anonymous(part));
  return digest.add(`${told?.answer ?? ''} ${setting.oracle.violations.length}`).value;
}

function stateOf(setting: Setting, member: Member): string {
  const links = setting.linksOf(member);
  if (!isAtWork(setting, member)) {
    const open = links.filter(({ isEmpty, holdsTransaction }) => !isEmpty || holdsTransaction);
    return `through ${open.map(({ state }) => state).join(';')}`;
  }
  const open = links.filter(({ deaf, isEmpty }) => !deaf || !isEmpty);
  return `${member.history.value} ${open.map(({ state }) => state).join(';')}`;
}

/** Where else the same state was reached, its recoverers may have changed places. */
export function ranksOf(setting: Setting): readonly number[] {
  const [, ...recoverers] = setting.members.map((member, index) => ({
    index,
    state: setting.anonymous(stateOf(setting, member)),
  }));
  recoverers.sort((a, b) => (a.state < b.state ? -1 : a.state > b.state ? 1 : a.index - b.index));
  return [0, ...recoverers.map(({ index }) => index)];
}
