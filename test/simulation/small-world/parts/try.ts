import { installHost } from '../../host.ts';
import { inTurn } from '../in-turn.ts';
import { SmallWorld } from '../small-world.ts';
import { Parts } from './parts.ts';
import { PartWorld } from './part-world.ts';
import { Random } from '../../random.ts';

const restore = installHost('light');
const bounds = { crashes: 2, losses: 2, recoverers: 2 };
const parts = new Parts();
import { History } from '../history.ts';
History.exact = process.argv[3] === 'exact';
const runs = Number(process.argv[2] ?? 100);
let steps = 0;
for (let seed = Number(process.argv[4] ?? 1); seed <= runs; seed += 1) {
  await inTurn(() => {
    const random = new Random(seed);
    const whole = new SmallWorld(bounds);
    const world = new PartWorld(parts, bounds);
    const path: number[] = []; const told: string[] = [];
    for (;;) {
      const a = whole.choices(), b = world.choices();
      if (JSON.stringify(a.map((x) => x.do)) !== JSON.stringify(b.map((x) => x.do))) {
        console.log('DIFF', seed, path.length, a.map((x) => `${x.do} ${whole.describe(x)}`), b.map((x) => x.do), told.filter((x) => x !== '').join('\n'), world.links.map((l) => JSON.stringify({ ...l, isShared: undefined })));
        process.exit(1);
      }
      if (a.length === 0 || whole.oracle.violations.length > 0) break;
      const at = random.chance(0.4) ? 0 : random.int(a.length);
      path.push(at); told.push(whole.describe(a[at]!));
      whole.apply(a[at]!);
      world.apply(b[at]!);
      world.choices(); world.tidy(); world.save();
      steps += 1;
    }
    whole.end(); world.end();
    const va = whole.oracle.violations.map((v) => v.kind).join(), vb = world.broken.map((v) => v.kind).join();
    if (whole.outcome !== world.outcome || va !== vb) { console.log(told.filter((x) => x !== '').join('\n'), whole.servers.map((x)=>x.state).join('\n'), world.servers.map((x) => JSON.stringify(x.path.slice(-8))+JSON.stringify(x.facts)), 'END', seed, whole.outcome, world.outcome, va, vb); process.exit(1); }
  });
}
console.log(steps, parts.learned, parts.verdicts.size);
restore();
