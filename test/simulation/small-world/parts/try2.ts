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
const parts = await inTurn(() => new Parts(tests));
for (const name of (process.argv[2] ?? '').split(',')) {
  const [crashes = 0, losses = 0, recoverers = 0] = name.split('/').map(Number);
  const survey = await inTurn(() => new Survey({ crashes, losses, recoverers }, { ms: Number(process.argv[3] ?? 60) * 1000, onProgress: (l) => console.log(new Date().toISOString().slice(11, 19), name, l) }, parts));
  while (!(await inTurn(() => survey.runSlice())));
  const { faults, outcomes, ...r } = survey.result;
  console.log(name, process.argv[4], JSON.stringify(r), survey.parts.learned, survey.ends, JSON.stringify(outcomes));
}
restore();
process.exit(0);
