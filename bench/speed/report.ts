/** What was measured, as tables for people and as JSON for programs. */
import { cpus, totalmem } from 'node:os';

import Table from 'cli-table3';

import { CONTENDERS } from './contenders/contenders.ts';
import type { Case, CaseResult, ContenderResult, RoundResult } from './measure.ts';
import type { Figure, Figures } from './ratios.ts';
import type { Setting } from './setting.ts';
import { rounded, spreadOf } from './statistics.ts';

export function titleOf(one: Case): string {
  const links = [
    ...(one.latencyMs > 0 ? [`${one.latencyMs} ms to participants`] : []),
    ...(one.logLatencyMs > 0 ? [`${one.logLatencyMs} ms to the log`] : []),
  ];
  const far = links.length === 0 ? '' : `, ${links.join(', ')}`;
  return `${one.workload}, ${one.participants} participants, concurrency ${one.concurrency}${far}`;
}

const median = (rounds: readonly RoundResult[], of: keyof RoundResult): number =>
  spreadOf(rounds.map((round) => round[of])).median;

export function tableOf({ case: one, warmUp, results }: CaseResult): string {
  const table = new Table({
    head: [
      'contender',
      'per second (spread)',
      'p50 ms',
      'p95',
      'p99',
      'p99.9',
      'client CPU ms/tx',
      'server CPU ms/tx',
      'WAL flushes/tx: log, participants',
      'retried',
      'warm-up tx',
    ],
    style: { head: [], border: [], compact: true },
  });
  for (const [name, result] of results) {
    const { rounds } = result;
    const rate = spreadOf(rounds.map(({ transactionsPerSecond }) => transactionsPerSecond));
    const p = (of: keyof RoundResult): string => String(rounded(median(rounds, of)));
    table.push([
      CONTENDERS[name].title,
      `${rate.median.toFixed(0)} (${rate.min.toFixed(0)}–${rate.max.toFixed(0)})`,
      p('p50Ms'),
      p('p95Ms'),
      p('p99Ms'),
      p('p999Ms'),
      p('clientCpuMsPerTransaction'),
      serverCpuOf(result),
      flushesOf(result),
      String(rounds.reduce((sum, { retried }) => sum + retried, 0)),
      String(result.warmUpTransactions),
    ]);
  }
  const before = `behind ${warmUp.seconds} s of warm-up at concurrency ${warmUp.concurrency}`;
  return `\n${titleOf(one)}; ${before}\n${table.toString()}`;
}

function flushesOf({ servers }: ContenderResult): string {
  if (servers === undefined) return '-';
  return servers
    .map(({ walFlushesPerTransaction }) => walFlushesPerTransaction.toFixed(3))
    .join(', ');
}

function serverCpuOf({ servers }: ContenderResult): string {
  const each = servers?.map(({ cpuMsPerTransaction }) => cpuMsPerTransaction);
  if (each === undefined || each.includes(undefined)) return '-';
  return String(rounded(each.reduce<number>((sum, value) => sum + (value ?? 0), 0)));
}

export function figuresTable({ ratios, others }: Figures): string {
  const table = new Table({
    head: ['figure', 'median', 'spread', 'target'],
    style: { head: [], border: [], compact: true },
  });
  for (const [name, { median: value, min, max, target }] of Object.entries({
    ...ratios,
    ...others,
  })) {
    table.push([name, value.toFixed(3), `${min.toFixed(3)}–${max.toFixed(3)}`, target]);
  }
  return table.toString();
}

/** `ratios.*` and `log_flushes_per_transaction_c32` are read by others. */
export function jsonOf(
  setting: Setting,
  cases: readonly CaseResult[],
  { ratios, others }: Figures,
): object {
  const medians = (figures: Readonly<Record<string, Figure>>): Record<string, number> =>
    Object.fromEntries(
      Object.entries(figures).map(([name, { median: value }]) => [name, rounded(value)]),
    );
  return {
    at: new Date().toISOString(),
    machine: {
      cpu: cpus()[0]?.model ?? 'unknown',
      cores: cpus().length,
      memoryGb: rounded(totalmem() / 2 ** 30),
      flushMs: rounded(setting.flushMs),
      node: process.version,
      postgres: setting.postgres,
      settings: setting.settings,
    },
    ratios: medians(ratios),
    ...medians(others),
    spreads: { ...ratios, ...others },
    cases: cases.map(({ case: one, warmUp, results }) => ({
      ...one,
      warmUp,
      results: Object.fromEntries(results),
    })),
  };
}
