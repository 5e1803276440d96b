import { runSchedule } from './schedule.ts';
const from = Number(process.argv[2] ?? 1),
  count = Number(process.argv[3] ?? 1),
  keep = process.argv[4] === 't';
setImmediate(() => {
  const kinds = new Map<string, number[]>();
  const seen = new Map<string, number>();
  let events = 0;
  const t0 = performance.now(),
    c0 = process.cpuUsage();
  for (let s = from; s < from + count; s += 1) {
    const r = runSchedule(s, { keepTrace: keep });
    events += r.events;
    for (const [k, n] of r.seen) seen.set(k, (seen.get(k) ?? 0) + n);
    for (const v of r.violations.slice(0, 1)) {
      const k = kinds.get(v.kind) ?? [];
      k.push(s);
      kinds.set(v.kind, k);
      if (count < 5) console.log(s, v.message);
    }
    if (keep) {
      console.log(r.trace.join('\n'));
      console.log(r.faults, r.settledAfterMs);
    }
  }
  const c = process.cpuUsage(c0);
  console.log(
    count,
    'schedules',
    ((performance.now() - t0) / count).toFixed(3),
    'ms wall',
    ((c.user + c.system) / 1000 / count).toFixed(3),
    'ms cpu',
    (events / count).toFixed(0),
    'events',
  );
  for (const [k, l] of kinds) console.log(k, l.length, l.slice(0, 8).join(' '));
  if (count > 50)
    console.log(
      [...seen]
        .sort()
        .map(([k, n]) => `${k}=${n}`)
        .join(' '),
    );
});
