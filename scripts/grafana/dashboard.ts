import { gatewayRow, identityRow, isolateRow, quotaRow } from './box-rows.ts';
import { busRow } from './bus-row.ts';
import { spoolRow, throughputRow, uplinkRow } from './delivery-rows.ts';
import { overviewRow } from './overview-row.ts';
import { datasource, type Panel } from './panel.ts';

const columns = 24;

const rows = [
  overviewRow,
  throughputRow,
  spoolRow,
  uplinkRow,
  quotaRow,
  busRow,
  isolateRow,
  identityRow,
  gatewayRow,
];

/** The dashboard as Grafana 10 and later import and provision it. */
export function grafanaDashboard(): Record<string, unknown> {
  return {
    // Asked for at an import; where the file is provisioned, the variable takes the first data source there is.
    __inputs: [
      {
        name: 'DS_PROMETHEUS',
        label: 'Prometheus',
        description: 'Where the metrics of the gateways are',
        type: 'datasource',
        pluginId: 'prometheus',
        pluginName: 'Prometheus',
      },
    ],
    __elements: {},
    __requires: [
      { type: 'grafana', id: 'grafana', name: 'Grafana', version: '10.0.0' },
      { type: 'datasource', id: 'prometheus', name: 'Prometheus', version: '1.0.0' },
      ...['bargauge', 'stat', 'state-timeline', 'table', 'timeseries'].map((id) => ({
        type: 'panel',
        id,
        name: id,
        version: '',
      })),
    ],
    id: null,
    uid: 'merestone',
    title: 'Merestone',
    description: 'Edge gateways by tenant: is anything wrong, where, and since when.',
    tags: ['merestone', 'iot', 'modbus', 'mqtt'],
    schemaVersion: 38,
    version: 1,
    editable: true,
    graphTooltip: 1,
    fiscalYearStartMonth: 0,
    liveNow: false,
    refresh: '1m',
    time: { from: 'now-24h', to: 'now' },
    timepicker: {},
    timezone: 'browser',
    weekStart: '',
    links: [],
    annotations: { list: [dashboardAnnotations, restarts] },
    templating: { list: variables },
    panels: place(rows),
  };
}

const dashboardAnnotations = {
  builtIn: 1,
  datasource: { type: 'grafana', uid: '-- Grafana --' },
  enable: true,
  hide: true,
  iconColor: 'rgba(0, 211, 255, 1)',
  name: 'Annotations & Alerts',
  type: 'dashboard',
};

const restarts = {
  datasource,
  enable: true,
  expr: 'changes(process_start_time_seconds{job="merestone", instance=~"$instance"}[$__interval]) > 0',
  iconColor: 'orange',
  name: 'Restarts of the daemon',
  step: '1m',
  titleFormat: 'Restart of {{instance}}',
};

const all = { selected: true, text: ['All'], value: ['$__all'] };

/** `.*` where a series can be without the label, as a silo without a certificate is, or where a list would be long. */
function variable(name: string, label: string, metric: string, allValue?: string): object {
  const definition = `label_values(${metric}, ${name})`;
  return {
    type: 'query',
    name,
    label,
    datasource,
    definition,
    query: { qryType: 1, query: definition, refId: 'PrometheusVariableQueryEditor-VariableQuery' },
    refresh: 2,
    sort: 5,
    multi: true,
    includeAll: true,
    ...(allValue !== undefined && { allValue }),
    current: all,
    hide: 0,
    regex: '',
    options: [],
    skipUrlSync: false,
  };
}

const variables = [
  {
    type: 'datasource',
    name: 'datasource',
    label: 'Data source',
    query: 'prometheus',
    current: { selected: true, text: '${DS_PROMETHEUS}', value: '${DS_PROMETHEUS}' },
    hide: 0,
    includeAll: false,
    multi: false,
    options: [],
    refresh: 1,
    regex: '',
    skipUrlSync: false,
  },
  variable('tenant', 'Tenant', 'merestone_silo_running', '.*'),
  variable('instance', 'Gateway', 'merestone_silo_running{tenant=~"$tenant"}', '.*'),
  variable('silo', 'Silo', 'merestone_silo_running{tenant=~"$tenant", instance=~"$instance"}', '.*'),
  // The buses of the devices that are left, and no others: what a bus does is no other tenant's business.
  variable('bus', 'Bus', 'merestone_device_up{tenant=~"$tenant", instance=~"$instance", silo=~"$silo"}'),
];

/** Panels from left to right and from top to bottom, each row under a heading. */
function place(all: { title: string; panels: Panel[] }[]): object[] {
  const placed: object[] = [];
  let y = 0;
  for (const { title, panels } of all) {
    const id = placed.length + 1;
    placed.push({
      id,
      type: 'row',
      title,
      collapsed: false,
      gridPos: { x: 0, y, w: columns, h: 1 },
      panels: [],
    });
    y += 1;
    let x = 0;
    let lineHeight = 0;
    for (const { w, h, type, json } of panels) {
      if (x + w > columns) {
        x = 0;
        y += lineHeight;
        lineHeight = 0;
      }
      placed.push({ id: placed.length + 1, type, gridPos: { x, y, w, h }, ...json });
      x += w;
      lineHeight = Math.max(lineHeight, h);
    }
    y += lineHeight;
  }
  return placed;
}
