import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface GrafanaPanel {
  id: number;
  type: string;
  title: string;
  description?: string;
  gridPos: { x: number; y: number; w: number; h: number };
  datasource?: { type: string; uid: string };
  fieldConfig?: {
    defaults: { unit?: string };
    overrides: { matcher: { options: string }; properties: { id: string; value: unknown }[] }[];
  };
  targets?: GrafanaTarget[];
  transformations?: { id: string; options: { renameByName?: Record<string, string> } }[];
  collapsed?: boolean;
}

interface GrafanaTarget {
  expr: string;
  refId: string;
  legendFormat: string;
  format: string;
  instant: boolean;
  datasource: { uid: string };
}

export interface GrafanaVariable {
  name: string;
  type: string;
  definition?: string;
  multi: boolean;
  includeAll: boolean;
  allValue?: string;
  query: unknown;
  current: { value: string | string[] };
}

export interface GrafanaDashboard {
  __inputs: { name: string; type: string; pluginId: string }[];
  id: null;
  uid: string;
  title: string;
  version: number;
  schemaVersion: number;
  panels: GrafanaPanel[];
  templating: { list: GrafanaVariable[] };
  annotations: { list: { expr?: string }[] };
}

export const dashboardFile = join(import.meta.dirname, '../../config/grafana-dashboard.json');

export function readDashboard(): GrafanaDashboard {
  return JSON.parse(readFileSync(dashboardFile, 'utf8')) as GrafanaDashboard;
}

/** A PromQL query of the dashboard, and where it stands. */
export interface DashboardQuery {
  place: string;
  expr: string;
}

/** All of them, with everything selected and the variables put in. `range` is the time that is shown. */
export function queriesOf(dashboard: GrafanaDashboard, range = '1h'): DashboardQuery[] {
  const panels = dashboard.panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr, refId }) => ({ place: `${title} ${refId}`, expr })),
  );
  const variables = dashboard.templating.list.flatMap(({ name, definition }) => {
    const metric = /^label_values\((.*), \w+\)$/.exec(definition ?? '')?.[1];
    return metric === undefined ? [] : [{ place: `variable ${name}`, expr: metric }];
  });
  const annotations = dashboard.annotations.list.flatMap(({ expr }) =>
    expr === undefined ? [] : [{ place: 'annotation', expr }],
  );
  return [...panels, ...variables, ...annotations].map(({ place, expr }) => ({
    place,
    expr: substitute(expr, range),
  }));
}

function substitute(expr: string, range: string): string {
  const text = expr
    .replaceAll('$__rate_interval', '1m')
    .replaceAll('$__interval', '1m')
    .replaceAll('$__range', range)
    .replaceAll(/"\$(tenant|silo|bus|instance)"/g, '".*"');
  if (text.includes('$')) throw new Error(`an unknown variable in ${text}`);
  return text;
}
