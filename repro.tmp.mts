import pg from 'pg';
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EmbeddedServer } from './test/support/embedded-server.ts';
import { giveSmallDisk } from './test/soak/small-disk.ts';
process.env['PGXA_TEST_PROVIDER']='embedded';
const kill = process.argv[2] === 'kill';
const server = await EmbeddedServer.start({ settings: { max_connections: '60', max_prepared_transactions: '2000', max_wal_size: '64MB', min_wal_size: '32MB', checkpoint_timeout: '30s' } });
const wal = (await giveSmallDisk(server))!;
await server.query('postgres', 'create table t (id text)');
let n = 0;
for (let round = 0; round < 10; round++) {
  let stop = false; const acked = new Set<string>();
  const worker = async () => {
    const c = new pg.Client({ connectionString: server.connectionString(), connectionTimeoutMillis: 2000 }); c.on('error', () => undefined);
    try { await c.connect();
      while (!stop) { const gid = `g${++n}`; await c.query('begin'); await c.query('insert into t values ($1)', [gid]);
        const r = await c.query(`prepare transaction '${gid}'`); if (r.command !== 'PREPARE') throw new Error('x'); acked.add(gid); await sleep(10); }
    } catch { /* gone */ } finally { await c.end().catch(() => undefined); }
  };
  const ws = Array.from({ length: 12 }, worker);
  await sleep(700);
  const { size } = await stat(wal.serverLog); const filler = join(wal.directory, 'filler');
  await writeFile(filler, Buffer.alloc(wal.bytes)).catch(() => undefined);
  let felt = false; const until = performance.now() + 5000;
  while (!felt && performance.now() < until) { await server.query('postgres', 'select pg_switch_wal()').catch(() => undefined); felt = /No space left/.test((await readFile(wal.serverLog)).subarray(size).toString('latin1')); await sleep(50); }
  await sleep(Math.random() * 1000); await rm(filler); stop = true;
  if (felt && kill) { await server.kill9().catch(() => undefined); await server.start(); }
  else { for (let i = 0; i < 200; i++) { try { await server.query('postgres', 'select 1'); break; } catch { await sleep(100); if (i % 20 === 19) await server.start().catch(() => undefined); } } }
  await Promise.all(ws);
  const have = new Set((await server.query<{ g: string }>('postgres', 'select gid as g from pg_prepared_xacts')).map((r) => r.g));
  const gone = [...acked].filter((g) => !have.has(g));
  const log = (await readFile(wal.serverLog)).subarray(size).toString('latin1').split('\n').filter((l) => /PANIC|redo|reinit|interrupted|No space|checkpoint/.test(l)).map((l) => l.slice(11, 160));
  console.log(JSON.stringify({ kill, round, felt, acked: acked.size, gone: gone.length, ex: gone.slice(0, 5) }), gone.length > 0 ? log : '');
  await server.rollbackAllPrepared();
}
await server.destroy(); await wal.remove(); process.exit(0);
