import { runSchedule } from './schedule.ts';
setImmediate(() => {
  const kinds = new Map<string, number>();
  for (let s = 1; s <= 200; s += 1) {
    for (const line of runSchedule(s, { keepTrace: true }).trace) {
      const [, who, does, what] = line.trim().split(/\s+/);
      if (does === 'sends')
        kinds.set(
          `${what} ${who!.replace(/\d.*/, '')}`,
          (kinds.get(`${what} ${who!.replace(/\d.*/, '')}`) ?? 0) + 1,
        );
    }
  }
  let sum = 0;
  for (const n of kinds.values()) sum += n;
  console.log(sum / 200);
  console.log(
    [...kinds]
      .sort((a, b) => b[1] - a[1])
      .map(([k, n]) => `${k} ${n / 200}`)
      .join('\n'),
  );
});
