import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { stringify } from 'yaml';
import { metricsContentType, metricsOf } from '../../src/admin/metrics.ts';
import type { GatewayStatus } from '../../src/status/status.ts';
import { promtool, rulesFile } from '../support/alert-rehearsal.ts';
import { buildingStatus } from '../support/given-metrics.ts';
import { dashboardFile, type GrafanaPanel, queriesOf, readDashboard } from '../support/grafana.ts';
import { Prometheus } from '../support/prometheus.ts';
import { troubledStatus } from '../support/status.ts';
import { until } from '../support/until.ts';

const dashboard = readDashboard();
const rows = dashboard.panels.filter(({ type }) => type === 'row');
const panels = dashboard.panels.filter(({ type }) => type !== 'row');

describe('config/grafana-dashboard.json', () => {
  it('is indented by two spaces, as Grafana exports it, so that diffs are small', () => {
    assert.equal(readFileSync(dashboardFile, 'utf8'), `${JSON.stringify(dashboard, null, 2)}\n`);
  });

  it('can be imported: it asks for its data source and has its own uid', () => {
    const { __inputs: inputs, uid, id, version, schemaVersion } = dashboard;
    assert.deepEqual(
      inputs.map(({ name, type, pluginId }) => [name, type, pluginId]),
      [['DS_PROMETHEUS', 'datasource', 'prometheus']],
    );
    assert.deepEqual([uid, id], ['merestone', null]);
    assert.ok(version >= 1);
    assert.ok(schemaVersion >= 38, 'Grafana 10');
  });

  it('has variables for data source, tenant, gateway, silo and bus', () => {
    const [source, ...others] = dashboard.templating.list;
    assert.deepEqual(
      [source!.type, source!.query, source!.current.value],
      ['datasource', 'prometheus', '${DS_PROMETHEUS}'],
    );
    assert.deepEqual(
      others.map(({ name, type, multi, includeAll }) => [name, type, multi, includeAll]),
      ['tenant', 'instance', 'silo', 'bus'].map((name) => [name, 'query', true, true]),
    );
    for (const { title, datasource, targets } of panels) {
      for (const { uid } of [datasource!, ...targets!.map((target) => target.datasource)])
        assert.equal(uid, '${datasource}', title);
    }
  });

  it('asks under the letters A, B, C… in each panel', () => {
    for (const { title, targets } of panels) {
      const letters = targets!.map((_, index) => String.fromCodePoint(65 + index));
      assert.deepEqual(
        targets!.map(({ refId }) => refId),
        letters,
        title,
      );
    }
  });

  it('asks for the present moment where it shows a table, and gives each column a heading', () => {
    for (const panel of panels.filter(({ type }) => type === 'table')) {
      for (const { instant, format } of panel.targets!)
        assert.deepEqual([instant, format], [true, 'table'], panel.title);
      assert.ok(
        columnsOf(panel).every((heading) => heading !== undefined && heading.length > 0),
        panel.title,
      );
      assert.equal(new Set(columnsOf(panel)).size, panel.targets!.length, panel.title);
    }
  });

  it('has a row for each question', () => {
    assert.deepEqual(
      rows.map(({ title }) => title),
      [
        'Is anything wrong?',
        'Throughput',
        'Spool',
        'Uplink',
        'Quotas',
        'Buses and devices',
        'Isolates',
        'Identity and clock',
        'Gateways',
      ],
    );
  });

  it('has panels of kinds that Grafana keeps, each with a title, a description and a unit', () => {
    const kinds = new Set(['stat', 'timeseries', 'table', 'bargauge', 'state-timeline']);
    for (const panel of panels) {
      assert.ok(kinds.has(panel.type), `${panel.title}: ${panel.type}`);
      assert.ok(panel.title.length > 0 && panel.title.length < 45, panel.title);
      assert.match(panel.description!, /^[A-Z].*\.$/, panel.title);
      if (panel.type !== 'state-timeline') assert.ok(hasUnits(panel), `${panel.title}: a unit`);
    }
  });

  it('has legends that name the owner of each line', () => {
    for (const { type, title, targets } of panels) {
      if (!['timeseries', 'bargauge', 'state-timeline'].includes(type)) continue;
      for (const { legendFormat, expr } of targets!) {
        assert.notEqual(legendFormat, '__auto', title);
        const labels = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label!);
        const grouped = /\bby \(([^)]*)\)/.exec(expr)?.[1]?.split(', ');
        if (grouped)
          assert.deepEqual(new Set(labels), new Set(grouped.filter((each) => labels.includes(each))), title);
        if (labels.length === 0) assert.match(expr, /^sum\(/, `${title}: several lines of one name`);
      }
    }
  });

  it('fits 24 columns without overlapping panels', () => {
    const ids = new Set(dashboard.panels.map(({ id }) => id));
    assert.equal(ids.size, dashboard.panels.length);
    const taken = new Map<string, string>();
    for (const { title, gridPos } of dashboard.panels) {
      const { x, y, w, h } = gridPos;
      assert.ok(x >= 0 && w > 0 && h > 0 && x + w <= 24, title);
      for (let column = x; column < x + w; column += 1) {
        for (let line = y; line < y + h; line += 1) {
          const place = `${column} ${line}`;
          assert.equal(taken.get(place), undefined, `${title} lies on another`);
          taken.set(place, title);
        }
      }
    }
    const lines = Math.max(...dashboard.panels.map(({ gridPos }) => gridPos.y + gridPos.h));
    assert.equal(taken.size, lines * 24, 'no hole');
  });

  it('has only valid PromQL', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'merestone-dashboard-'));
    try {
      const file = join(folder, 'queries.yaml');
      const rules = queriesOf(dashboard).map(({ expr }, index) => ({
        record: `dashboard:query:${index}`,
        expr,
      }));
      writeFileSync(file, stringify({ groups: [{ name: 'dashboard', rules }] }));
      const { exitCode, output } = await promtool('check', 'rules', file);
      assert.equal(exitCode, 0, output);
      assert.match(output, new RegExp(`${rules.length} rules found`));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe('a real Prometheus', () => {
  const servers: Server[] = [];
  let prometheus: Prometheus;

  before(async () => {
    const good = await serve((seconds) => grown(buildingStatus(), seconds));
    const bad = await serve(() => troubledStatus());
    prometheus = await Prometheus.start({ 'gw-1': good, 'gw-2': bad }, rulesFile);
    await until(
      async () => (await prometheus.query('count_over_time(up{job="merestone"}[1m]) > 3')).length === 2,
      'both gateways were scraped some times',
    );
  });
  after(async () => {
    for (const server of servers) {
      server.close();
      server.closeAllConnections();
    }
    await prometheus.close();
  });

  /** Serves the metrics of a status, given the seconds since the start; resolves with host and port. */
  async function serve(status: (seconds: number) => GatewayStatus): Promise<string> {
    const startedAt = performance.now();
    const server = createServer((_, response) => {
      void metricsOf(status((performance.now() - startedAt) / 1000), Date.now()).then((text) =>
        response.setHeader('content-type', metricsContentType).end(text),
      );
    });
    servers.push(server.listen(0, '127.0.0.1'));
    await once(server, 'listening');
    return `127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  it('scrapes the metrics', async () => {
    const up = await prometheus.query('up{job="merestone"}');
    assert.deepEqual(
      up.map(({ metric, value }) => [metric['instance'], value[1]]),
      [
        ['gw-1', '1'],
        ['gw-2', '1'],
      ],
    );
  });

  it('answers every question of the dashboard', async () => {
    // Nothing restarts here.
    const empty = new Set(['annotation']);
    const silent: string[] = [];
    for (const { place, expr } of queriesOf(dashboard)) {
      const answered = async (): Promise<boolean> => (await prometheus.query(expr)).length > 0;
      await answered();
      if (empty.has(place)) continue;
      await until(answered, place, 10_000).catch(() => silent.push(`${place}: ${expr}`));
    }
    assert.deepEqual(silent, []);
  });

  it('gives each line of a table the same labels in every column', async () => {
    for (const { title, targets } of panels.filter(({ type }) => type === 'table')) {
      const asked = queriesOf({ ...dashboard, panels: panels.filter((panel) => panel.title === title) });
      const lines = new Set<string>();
      for (const { expr } of asked.slice(0, targets!.length)) {
        for (const { metric } of await prometheus.query(expr))
          lines.add(JSON.stringify(Object.keys(metric).sort()));
      }
      // A silo without a certificate has no tenant.
      const labels = [...lines].filter((each) => each.includes('tenant') || title === 'Versions');
      assert.equal(labels.length, 1, `${title}: ${[...lines].join(' ')}`);
    }
  });

  it('evaluates the rules and fills in their texts', async () => {
    interface Group {
      rules: { name: string; health: string; lastError?: string }[];
    }
    const rules = async (): Promise<Group['rules']> =>
      ((await prometheus.get('rules')) as { groups: Group[] }).groups.flatMap((group) => group.rules);
    await until(async () => (await rules()).every(({ health }) => health !== 'unknown'), 'all are evaluated');
    for (const { name, health, lastError } of await rules())
      assert.equal(health, 'ok', `${name}: ${lastError}`);

    interface Alert {
      labels: Record<string, string>;
      annotations: Record<string, string>;
    }
    const { alerts } = (await prometheus.get('alerts')) as { alerts: Alert[] };
    const names = new Set(alerts.map(({ labels }) => labels['alertname']));
    for (const name of [
      'MerestoneUplinkOffline',
      'MerestoneSiloDown',
      'MerestoneBusLost',
      'MerestoneClockNotGood',
    ])
      assert.ok(names.has(name), name);
    for (const { labels, annotations } of alerts) {
      const text = Object.values(annotations).join('\n');
      assert.doesNotMatch(text, /\{\{|<no value>|<error|%!|: {2}|\( *\)/, labels['alertname']);
      if (labels['silo'] === 'north') assert.match(text, /acme/, labels['alertname']);
    }
  });
});

/** A table has a unit for each of its columns, another panel one for all. */
function hasUnits(panel: GrafanaPanel): boolean {
  const { defaults, overrides } = panel.fieldConfig!;
  if (panel.type !== 'table') return defaults.unit !== undefined;
  const withUnit = overrides.filter(({ properties }) => properties.some(({ id }) => id === 'unit'));
  const columns = new Set(withUnit.map(({ matcher }) => matcher.options));
  return columnsOf(panel).every((heading) => columns.has(heading!));
}

/** The headings of a table's queries, in their order. */
function columnsOf({ targets, transformations }: GrafanaPanel): (string | undefined)[] {
  const organize = transformations!.find(({ id }) => id === 'organize')!;
  return targets!.map(({ refId }) => {
    const value = targets!.length === 1 ? 'Value' : `Value #${refId}`;
    return organize.options.renameByName![value];
  });
}

/** The same gateway some seconds later: it reads, stores and sends, and its spool grows. */
function grown(status: GatewayStatus, seconds: number): GatewayStatus {
  const more = Math.round(seconds * 10);
  for (const silo of status.silos) {
    silo.samples.received += more;
    silo.samples.stored += more;
    silo.samples.published += more;
    silo.uplink!.batches.published += more;
    silo.uplink!.batches.accepted += more;
    silo.uplink!.bytesSent += more * 1000;
    silo.spool!.bytes += more * 1000;
    silo.spool!.bytesInUse += more * 1000;
    silo.spool!.bytesWritten += more * 1000;
  }
  for (const { devices } of status.buses) {
    for (const device of devices) {
      device.samples += more;
      device.requests += more;
    }
  }
  return { ...status, uptimeMs: status.uptimeMs + Math.round(seconds * 1000) };
}
