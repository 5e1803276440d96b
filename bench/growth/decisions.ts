/** pgxa with an empty log beside pgxa with a log that is full, in turn. */
import { randomBytes } from 'node:crypto';

import { migrateDecisionLog } from '../../src/index.ts';
import { withBench } from '../speed/bench.ts';
import { checkedRun, openWorker } from '../speed/measure.ts';
import type { Setting } from '../speed/setting.ts';
import { ratiosOf, spreadOf } from '../speed/statistics.ts';
import type { GrowthOptions } from './growth.ts';

const ROWS = 10_000_000;
const ROWS_AT_A_TIME = 500_000;

export async function decisions(options: GrowthOptions): Promise<object> {
  const { rows = ROWS, rounds = 7, seconds = 8 } = options;
  const one = { workload: 'one-row', participants: 2, concurrency: 32 } as const;
  return withBench([one], undefined, async (bench) => {
    const { setting, tell } = bench;
    const full = await filledLog(setting, rows, tell);
    const rates: Record<'empty' | 'full', number[]> = { empty: [], full: [] };
    const given = { ...setting, concurrency: one.concurrency };
    const workers = {
      empty: await openWorker(bench, one, given, 'pgxa'),
      full: await openWorker(
        bench,
        one,
        { ...given, log: { name: 'full', connectionString: full } },
        'pgxa',
      ),
    };
    try {
      for (let round = 0; round <= rounds; round += 1) {
        const order = round % 2 === 0 ? (['empty', 'full'] as const) : (['full', 'empty'] as const);
        for (const which of order) {
          const request = { seconds, latencies: false };
          const result = await checkedRun(setting, one, 'pgxa', workers[which], request);
          if (round === 0) continue;
          rates[which].push(result.transactions / result.seconds);
          tell(`round ${round}: ${which} ${rates[which].at(-1)?.toFixed(0) ?? ''}/s`);
        }
      }
    } finally {
      await Promise.all(Object.values(workers).map((worker) => worker.close()));
    }
    return {
      rows,
      empty: spreadOf(rates.empty),
      full: spreadOf(rates.full),
      fullVsEmpty: ratiosOf(rates.full, rates.empty),
    };
  });
}

/** Decisions of the day so far, as a busy log has them; new ones come behind them in the index. */
async function filledLog(
  { log }: Setting,
  rows: number,
  tell: (line: string) => void,
): Promise<string> {
  const { server } = log;
  const database = await server.createDatabase('full');
  const connectionString = server.connectionString(database);
  await migrateDecisionLog({ connectionString });
  const epoch = randomBytes(8).toString('hex');
  for (let from = 0; from < rows; from += ROWS_AT_A_TIME) {
    const count = Math.min(ROWS_AT_A_TIME, rows - from);
    await server.query(database, FILL_SQL, [from, count, rows, epoch]);
    tell(`${from + count} decisions`);
  }
  await server.query(database, 'vacuum analyze pgxa.decision');
  await server.query(database, 'checkpoint');
  return connectionString;
}

/** UUIDv7s of today (by UTC), from midnight until now, each with what two branches leave as evidence. */
const FILL_SQL = `
  insert into pgxa.decision (transaction_id, epoch, outcome, decided_by, branches)
  select (lpad(to_hex(ms), 12, '0') || '7' || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid,
         $4, 'commit', 'coordinator',
         jsonb_build_array(
           jsonb_build_object('participant', 'p1', 'branch', 1, 'xid', n::text,
                              'system', '7550000000000000001', 'timeline', '00000001'),
           jsonb_build_object('participant', 'p2', 'branch', 2, 'xid', n::text,
                              'system', '7550000000000000002', 'timeline', '00000001'))
    from (select n, (midnight + (now_ms - midnight - 1) * n::float8 / $3::float8)::bigint as ms
            from generate_series($1::bigint, $1::bigint + $2::bigint - 1) n,
                 (select extract(epoch from date_trunc('day', now(), 'UTC'))::float8 * 1000 as midnight,
                         extract(epoch from now())::float8 * 1000 as now_ms) day) each`;
