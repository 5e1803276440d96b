/**
 * npm run bench:daemon -- [backlog] [idle] [memory] [release]: what the recovery daemon costs and how fast it is,
 * on servers that it starts itself. Without a name, all four; "idle" takes five minutes.
 */
import { backlog } from './daemon/backlog.ts';
import { idle } from './daemon/idle.ts';
import { memory } from './daemon/memory.ts';
import { release } from './daemon/release.ts';

process.env['PGXA_TEST_PROVIDER'] = 'embedded';

const MEASUREMENTS = { backlog, idle, memory, release };

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !Object.hasOwn(MEASUREMENTS, name));
if (unknown.length > 0) {
  console.error(`unknown: ${unknown.join(', ')}; expected ${Object.keys(MEASUREMENTS).join(', ')}`);
  process.exit(2);
}
for (const [name, measure] of Object.entries(MEASUREMENTS)) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  console.log(`\n== ${name}`);
  console.log(JSON.stringify(await measure(), null, 2));
}
