import { installHost } from '../../host.ts';
import { inTurn } from '../in-turn.ts';
import { History } from '../history.ts';
import { replies } from './conformance.ts';
import { Parts } from './parts.ts';
import { Survey } from './survey.ts';
import { ProcessRun } from './process-run.ts';
const restore = installHost('light');
process.on('unhandledRejection', (r) => ProcessRun.current?.violate('unhandled-rejection', String(r)));
ProcessRun.exact = process.argv[4] === 'order';
const tests = Number(process.argv[6] ?? 0);
if (tests > 0) {
  ProcessRun.exact = true;
  for (const b of [[1, 0, 0], [0, 1, 0], [0, 0, 1]] as const) {
    const first = await inTurn(() => new Survey({ crashes: b[0], losses: b[1], recoverers: b[2] }, {}));
    while (!(await inTurn(() => first.runSlice())));
  }
  replies.freeze();
  console.log('frozen', process.cpuUsage().user / 1e6);
}
const [crashes = 0, losses = 0, recoverers = 0] = (process.argv[2] ?? '').split('/').map(Number);
const survey = await inTurn(() => new Survey({ crashes, losses, recoverers }, { ms: Number(process.argv[3] ?? 60) * 1000, onProgress: (l) => console.log(l) }, new Parts(tests)));
while (!(await inTurn(() => survey.runSlice())));
const { faults, outcomes, ...r } = survey.result;
console.log(process.argv[2], process.argv[4], JSON.stringify(r), survey.parts.learned, survey.ends, JSON.stringify(outcomes));
if (process.argv[5] === 'min') {
  for (const part of [survey.parts.coordinator, survey.parts.recoverer]) {
    for (const strict of [true, false]) {
    const seen = new Map<string, number>();
    const cls = new Map<number, number>();
    const of = (n: any): number => {
      const known = cls.get(n.id);
      if (known !== undefined) return known;
      const text = `${n.isTimed} ${n.isThrough} ` + [...n.steps].map(([k, s]: any) => `${k} ${JSON.stringify(s.effects)} ${of(s.to)}`).sort().join('|');
      let c = seen.get(text);
      if (c === undefined) { c = seen.size; seen.set(text, c); }
      cls.set(n.id, c);
      return c;
    };
    for (const n of part.nodes) of(n);
    console.log(part.role, part.nodes.length, '->', seen.size);
    }
  }
}
restore();
process.exit(0);
