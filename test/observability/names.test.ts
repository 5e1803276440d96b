/**
 * Rules, dashboard and documentation against the registry of a daemon that works on real servers: a metric that
 * is renamed must not leave an alert behind that can never fire.
 */
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';

import { createMetrics, PARTICIPANT_STATES, type Metrics } from '../../cli/daemon/metrics.ts';
import { createRecoveryDaemon, type RecoveryDaemon } from '../../src/index.ts';
import { createBank, type Bank } from '../support/bank.ts';

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string };
}
interface Panel {
  readonly title: string;
  readonly targets: readonly { readonly expr: string }[];
}

const read = (path: string): Promise<string> =>
  readFile(new URL(`../../${path}`, import.meta.url), 'utf8');

describe('the metrics of a daemon', () => {
  let bank: Bank;
  let daemon: RecoveryDaemon;
  let metrics: Metrics;
  let rules: readonly Rule[];
  let expressions: readonly { readonly name: string; readonly expr: string }[];
  let dashboard: { readonly panels: readonly Panel[]; readonly templating: unknown };

  beforeAll(async () => {
    bank = await createBank();
    metrics = createMetrics(() => daemon.status());
    daemon = await createRecoveryDaemon({
      name: 'measured',
      decisionLog: { connectionString: bank.log.connectionString },
      participants: Object.fromEntries(
        bank.participants.map(({ name, connectionString }) => [name, { connectionString }]),
      ),
    });
    await daemon.whenReady;
    const groups = (
      parse(await read('observability/pgxa.rules.yml')) as { groups: [{ rules: Rule[] }] }
    ).groups;
    rules = groups[0].rules;
    dashboard = JSON.parse(await read('observability/pgxa.dashboard.json')) as typeof dashboard;
    expressions = [
      ...rules.map(({ alert, expr }) => ({ name: alert, expr })),
      ...dashboard.panels.flatMap(({ title, targets }) =>
        targets.map(({ expr }) => ({ name: title, expr })),
      ),
    ];
  });
  afterAll(async () => {
    await daemon.stop();
    metrics.close();
    await bank.close();
  });

  const known = (): Set<string> =>
    new Set(metrics.registry.getMetricsAsArray().map(({ name }) => name));

  it('are all known that a rule or a panel names, with the labels that it names', async () => {
    const names = known();
    const labels = new Map<string, Set<string>>();
    for (const { name, values } of await metrics.registry.getMetricsAsJSON()) {
      const seen = values.flatMap(({ labels: one }) => Object.keys(one as object));
      labels.set(name, new Set([...seen, ...declaredLabels(metrics, name), 'instance']));
    }
    let looked = 0;
    for (const { name, expr } of expressions) {
      for (const [, metric, selector] of expr.matchAll(
        /\b((?:pgxa|process)_\w+)(?:\{([^}]*)\})?/g,
      )) {
        looked += 1;
        expect(names, `${name}: ${expr}`).toContain(metric);
        for (const [, label] of (selector ?? '').matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)) {
          expect(labels.get(String(metric)), `${name}: ${expr}`).toContain(label);
        }
      }
    }
    expect(looked).toBeGreaterThan(40);
  });

  it('are named by a rule or a panel, or else nobody looks at them', () => {
    const own = [...known()].filter((name) => name.startsWith('pgxa_'));
    const all = expressions.map(({ expr }) => expr).join('\n');
    const unseen = own.filter((name) => !new RegExp(`\\b${name}\\b`).test(all));
    expect(unseen.sort()).toEqual([
      'pgxa_config_reloads_total',
      'pgxa_decisions_kept_since_timestamp_seconds',
      'pgxa_failures_in_a_row',
      'pgxa_housekeeping_last_run_timestamp_seconds',
    ]);
  });

  it('and the alerts are all explained in docs/monitoring.md', async () => {
    const text = await read('docs/monitoring.md');
    for (const name of known()) if (name.startsWith('pgxa_')) expect(text).toContain(`\`${name}`);
    for (const { alert } of rules) expect(text).toContain(`\`${alert}\``);
    const named = [...text.matchAll(/`(pgxa_\w+)/g)].map(([, name]) => name);
    for (const name of named) expect(known()).toContain(name);
  });

  it('follow the naming rules of Prometheus', async () => {
    for (const { name, type } of await metrics.registry.getMetricsAsJSON()) {
      if (!name.startsWith('pgxa_')) continue;
      // The type of prom-client says string, its value is an enum of numbers nowhere.
      expect(name.endsWith('_total'), name).toBe(String(type) === 'counter');
    }
    expect(await metrics.registry.metrics()).not.toMatch(/gid|transaction_id/);
  });

  it('tell what a daemon sees: its participants, their slots, the log', async () => {
    const text = await metrics.registry.metrics();
    expect(text).toContain('pgxa_decision_log_up 1');
    expect(text).toContain('pgxa_ready 1');
    for (const participant of ['orders', 'billing']) {
      const labels = `{participant="${participant}"}`;
      expect(text).toContain(`pgxa_participant_up${labels} 1`);
      expect(text).toContain(`pgxa_lease_held${labels} 1`);
      expect(text).toContain(`pgxa_prepared_slots_max${labels} 200`);
      expect(text).toContain(`pgxa_heuristic_total{participant="${participant}",kind="hazard"} 0`);
    }
    expect(PARTICIPANT_STATES).toContain('other-server');
  });

  it('and the rules say how bad it is, and what it is', () => {
    expect(rules.length).toBeGreaterThan(20);
    for (const { labels, annotations } of rules) {
      expect(['critical', 'warning', 'info']).toContain(labels.severity);
      expect(annotations.summary).not.toBe('');
    }
    expect(JSON.stringify(dashboard.templating)).toMatch(/"datasource"[^]*"instance"/);
  });
});

function declaredLabels({ registry }: Metrics, name: string): string[] {
  return (registry.getSingleMetric(name) as unknown as { labelNames: string[] }).labelNames;
}
