/** A PromQL query of a panel; `legend` is a Grafana legend format. */
export interface Query {
  expr: string;
  legend?: string;
}

/** A panel before it has its place: width of 24 columns, height of 30 pixels each. */
export interface Panel {
  w: number;
  h: number;
  type: string;
  json: Record<string, unknown>;
}

export interface Threshold {
  color: string;
  value: number | null;
}

interface Frame {
  title: string;
  description: string;
  w: number;
  h?: number;
}

/** What a value is called, and its colour. */
export type Mapping = Record<string, { text: string; color: string }>;

export const datasource = { type: 'prometheus', uid: '${datasource}' };
/** How a silo is called in legends: in a fleet many silos have one name. */
export const siloLegend = '{{tenant}} · {{silo}} · {{instance}}';

export const fine: Threshold = { color: 'green', value: null };
export const plain: Threshold[] = [{ color: 'text', value: null }];
/** One is one too many. */
export const none: Threshold[] = [fine, { color: 'red', value: 1 }];

/** One number, coloured by its thresholds. */
export function stat(
  frame: Frame & { unit?: string; thresholds?: Threshold[]; decimals?: number },
  expr: string,
): Panel {
  const { unit = 'short', thresholds = none, decimals } = frame;
  return panel('stat', { h: 4, ...frame }, [{ expr }], {
    defaults: { unit, ...(decimals !== undefined && { decimals }), ...coloured(thresholds) },
    options: {
      reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
      colorMode: 'background',
      graphMode: 'none',
      justifyMode: 'auto',
      orientation: 'auto',
      textMode: 'value',
      showPercentChange: false,
      wideLayout: true,
    },
  });
}

export interface GraphFrame extends Frame {
  unit: string;
  max?: number;
  /** Lines where it becomes too much. */
  thresholds?: Threshold[];
  /** Steps, for counts that stand still most of the time. */
  steps?: boolean;
  /** Series by legend that are limits: red and dashed. */
  limits?: string;
}

/** Lines over time. */
export function graph(frame: GraphFrame, ...queries: Query[]): Panel {
  const { unit, max, thresholds, steps = false, limits } = frame;
  const lines = {
    drawStyle: 'line',
    lineInterpolation: steps ? 'stepAfter' : 'linear',
    lineWidth: 1,
    fillOpacity: 8,
    gradientMode: 'none',
    showPoints: 'never',
    spanNulls: false,
    axisPlacement: 'auto',
    stacking: { mode: 'none', group: 'A' },
    thresholdsStyle: { mode: thresholds ? 'dashed' : 'off' },
  };
  const dashed = [
    { id: 'color', value: { mode: 'fixed', fixedColor: 'red' } },
    { id: 'custom.lineStyle', value: { fill: 'dash', dash: [8, 8] } },
    { id: 'custom.fillOpacity', value: 0 },
  ];
  return panel('timeseries', { h: 8, ...frame }, queries, {
    defaults: {
      unit,
      min: 0,
      ...(max !== undefined && { max }),
      color: { mode: 'palette-classic' },
      custom: lines,
      ...(thresholds && { thresholds: { mode: 'absolute', steps: thresholds } }),
    },
    overrides: limits ? [{ matcher: { id: 'byRegexp', options: limits }, properties: dashed }] : [],
    options: {
      legend: { displayMode: 'table', placement: 'bottom', showLegend: true, calcs: ['lastNotNull', 'max'] },
      tooltip: { mode: 'multi', sort: 'desc' },
    },
  });
}

/** States over time, a bar for each series. */
export function states(frame: Frame, mapping: Mapping, query: Query): Panel {
  return panel('state-timeline', { h: 6, ...frame }, [query], {
    defaults: {
      ...coloured(plain),
      custom: { lineWidth: 0, fillOpacity: 80 },
      mappings: [mapped(mapping)],
    },
    options: {
      mergeValues: true,
      showValue: 'never',
      alignValue: 'left',
      rowHeight: 0.8,
      legend: { displayMode: 'list', placement: 'bottom', showLegend: true },
      tooltip: { mode: 'single', sort: 'none' },
    },
  });
}

/** A bar for each series, with its value of now. */
export function bars(
  frame: Frame & { unit: string; max?: number; thresholds: Threshold[] },
  query: Query,
): Panel {
  const { unit, max, thresholds } = frame;
  return panel('bargauge', { h: 8, ...frame }, [query], {
    instant: true,
    defaults: { unit, min: 0, ...(max !== undefined && { max }), ...coloured(thresholds) },
    options: {
      reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
      displayMode: 'basic',
      orientation: 'horizontal',
      valueMode: 'color',
      namePlacement: 'auto',
      sizing: 'auto',
      showUnfilled: true,
      minVizWidth: 8,
      minVizHeight: 16,
      maxVizHeight: 40,
    },
  });
}

/** A column of a table: its heading, and what its values are. */
export interface Column {
  title: string;
  expr: string;
  unit?: string;
  decimals?: number;
  mapping?: Mapping;
  thresholds?: Threshold[];
}

/** A row for each set of `labels`, which every column's query must give; headings of labels by label. */
export function table(frame: Frame, labels: Record<string, string>, columns: Column[]): Panel {
  const refIds = columns.map((_, index) => refIdOf(index));
  const valueOf = (refId: string): string => (columns.length === 1 ? 'Value' : `Value #${refId}`);
  const order = [...Object.keys(labels), ...refIds.map(valueOf)];
  const names = { ...labels, ...Object.fromEntries(refIds.map((id, n) => [valueOf(id), columns[n]!.title])) };
  const organize = {
    excludeByName: { Time: true },
    indexByName: Object.fromEntries(order.map((name, index) => [name, index])),
    renameByName: names,
  };
  return panel(
    'table',
    { h: 8, ...frame },
    columns.map(({ expr }) => ({ expr })),
    {
      instant: true,
      defaults: {
        custom: { align: 'auto', cellOptions: { type: 'auto' }, inspect: false, filterable: true },
      },
      overrides: columns.map(formatColumn),
      options: {
        showHeader: true,
        cellHeight: 'sm',
        frameIndex: 0,
        footer: { show: false, reducer: ['sum'] },
      },
      transformations: [
        { id: 'merge', options: {} },
        { id: 'organize', options: organize },
      ],
    },
  );
}

function formatColumn({ title, unit = 'short', decimals, mapping, thresholds }: Column): object {
  const properties: { id: string; value: unknown }[] = [{ id: 'unit', value: unit }];
  if (decimals !== undefined) properties.push({ id: 'decimals', value: decimals });
  if (mapping) properties.push({ id: 'mappings', value: [mapped(mapping)] });
  if (thresholds) properties.push({ id: 'thresholds', value: { mode: 'absolute', steps: thresholds } });
  if (thresholds || mapping) {
    properties.push({ id: 'custom.cellOptions', value: { type: 'color-background', mode: 'basic' } });
  }
  return { matcher: { id: 'byName', options: title }, properties };
}

interface Body {
  defaults: Record<string, unknown>;
  options: Record<string, unknown>;
  overrides?: object[];
  transformations?: object[];
  instant?: boolean;
}

function panel(type: string, frame: Required<Pick<Frame, 'h'>> & Frame, queries: Query[], body: Body): Panel {
  const { title, description, w, h } = frame;
  const { defaults, overrides = [], options, transformations, instant = false } = body;
  const targets = queries.map(({ expr, legend = '__auto' }, index) => ({
    datasource,
    editorMode: 'code',
    expr,
    format: type === 'table' ? 'table' : 'time_series',
    instant,
    legendFormat: legend,
    range: !instant,
    refId: refIdOf(index),
  }));
  const fieldConfig = { defaults, overrides };
  const json = { title, description, datasource, fieldConfig, options, targets };
  return { w, h, type, json: transformations ? { ...json, transformations } : json };
}

function coloured(thresholds: Threshold[]): object {
  return { color: { mode: 'thresholds' }, thresholds: { mode: 'absolute', steps: thresholds } };
}

function mapped(mapping: Mapping): object {
  const options = Object.entries(mapping).map(([value, shown], index) => [value, { ...shown, index }]);
  return { type: 'value', options: Object.fromEntries(options) };
}

function refIdOf(index: number): string {
  return String.fromCodePoint(65 + index);
}
