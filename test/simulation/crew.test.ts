import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { runCrew } from './crew.ts';
import type { Finding } from './worker.ts';

/** A worker that dies of seed 7, hangs in seed 400, and finds something in seeds 21 and 22 and in 300. */
const WORKER = `
  process.on('message', ({ from, count }) => {
    const has = (seed) => from <= seed && seed < from + count;
    if (has(7)) process.exit(3);
    if (has(400)) for (;;);
    const findings = [21, 22, 300].filter(has).map((seed) => ({ seed, kind: 'twice', message: 'found' }));
    process.send({ schedules: count, events: count, findings, seen: [['told', count]], settledMaxMs: 1,
      cpuMs: 1, rssMb: 100, traceHash: '', trace: [], faults: [] });
  });`;

/** 401 schedules, of which one kills its worker and one hangs: the others are run, and all that is wrong is told. */
describe('a crew that loses workers', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pgxa-crew-'));
    await writeFile(join(folder, 'worker.mjs'), WORKER);
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('carries on, names the schedules, and tells findings as they come', async () => {
    const told: Finding[] = [];
    const total = await runCrew({
      script: join(folder, 'worker.mjs'),
      workers: 2,
      from: 0,
      count: 401,
      stopAtFirst: false,
      silenceMs: 5_000,
      onFinding: (finding) => told.push(finding),
    });
    expect(total.schedules).toBe(401);
    expect(total.seen.get('told')).toBe(399);
    expect(told).toEqual(total.findings);
    expect(told.map(({ seed, kind }) => `${seed} ${kind}`).sort()).toEqual([
      '21 twice',
      '22 twice',
      '300 twice',
      '400 worker-lost',
      '7 worker-lost',
    ]);
  }, 60_000);
});
