import type { Bounds } from './choice.ts';
import type { Exploration } from './exploration.ts';

/** What a complete exploration must have come upon: one that never met it has explored less than it says. */
export function missingFrom({ outcomes, faults }: Exploration, bounds: Bounds): string[] {
  const seen = new Set([...outcomes, ...faults].map(([what]) => what));
  return expectedOf(bounds).filter((what) => !seen.has(what));
}

function expectedOf({ crashes, losses, recoverers }: Bounds): string[] {
  const expected = ['committed, told committed'];
  if (crashes + losses + recoverers > 0) expected.push('aborted, told rolled-back');
  if (crashes > 0) {
    expected.push('committed, told nothing', 'aborted, told nothing');
    expected.push('kill coordinator', 'crash log', 'crash participant');
    if (recoverers > 0) expected.push('kill recoverer');
  }
  if (losses > 0) expected.push('lose reset', 'lose unheard', 'lose late');
  if (losses > 0 && crashes + recoverers > 0) expected.push('aborted, told unknown');
  if (losses > 1) expected.push('committed, told unknown');
  return expected;
}
