import { formatDuration } from '../base/quantity.ts';
import type { Row } from '../backend/row.ts';
import { bold, fit, ansi, span, spread, type Line } from './ansi.ts';
import { panel } from './tenant-panel.ts';
import type { DemoModel, TenantModel } from './model.ts';
import { showValue } from './value-text.ts';
import { walk } from './walk-panel.ts';

export interface Size {
  columns: number;
  rows: number;
}

const smallest: Size = { columns: 80, rows: 24 };
const margin = ' ';
/** Lines of a panel that are not values: frame, four of figures, a rule. */
const panelFixedRows = 7;
/** Header, blank, walk, blank, panels, blank, title, rows, blank, footer: all but panels and rows. */
const fixedRows = 1 + 1 + 3 + 1 + 1 + 1 + 1 + 1;

/** Values get what they need, the rows of the backend the rest, but at least this many. */
const rowsMin = 4;

/** The whole screen, exactly `size`. `frame` counts pictures, for what moves. */
export function view(model: DemoModel, size: Size, elapsedMs: number, frame: number): Line[] {
  if (size.columns < smallest.columns || size.rows < smallest.rows) return tooSmall(size);
  const width = size.columns - 2 * margin.length;
  const left = size.rows - fixedRows;
  const valueLines = Math.max(...model.tenants.map((tenant) => lineCount(tenant)));
  const panelRows = Math.min(panelFixedRows + valueLines, left - rowsMin);
  const rowLines = left - panelRows;
  const lines = [
    header(model, elapsedMs, width),
    [],
    ...walk(model, width, frame),
    [],
    ...panels(model.tenants, width, panelRows),
    [],
    rowsTitle(model, width),
    ...rows(model, width, rowLines),
    [],
    footer(model, width),
  ];
  return lines.map((line) => fit([span(margin), ...line], size.columns));
}

function tooSmall(size: Size): Line[] {
  const words = `Please make this window ${smallest.columns} × ${smallest.rows} or larger  (q quits)`;
  return Array.from({ length: size.rows }, (_, row) =>
    fit(row === size.rows >> 1 ? [span(words)] : [], size.columns),
  );
}

function header(model: DemoModel, elapsedMs: number, width: number): Line {
  const left = [bold('▙ Merestone'), span('   one box, two tenants, isolated', ansi.quiet)];
  const state = model.leaving ? 'leaving…' : model.gateway === undefined ? 'starting…' : 'live';
  return spread(
    left,
    [
      span(state, state === 'live' ? ansi.good : ansi.warn),
      span(`  ${formatDuration(Math.floor(elapsedMs / 1000) * 1000)}`, ansi.quiet),
    ],
    width,
  );
}

function panels(tenants: readonly TenantModel[], width: number, rows: number): Line[] {
  const gap = '  ';
  const panelWidth = (width - gap.length) >> 1;
  const sides = tenants.map((tenant) => panel(tenant, panelWidth, rows));
  return sides[0]!.map((line, row) => [...line, span(gap), ...sides[1]![row]!]);
}

function lineCount(tenant: TenantModel): number {
  return tenant.devices.reduce((sum, device) => sum + device.points.length, 0);
}

function rowsTitle(model: DemoModel, width: number): Line {
  const figures = `${model.rowsPerSecond.toFixed(0)} rows/s   ${model.rowCount} rows   `;
  const faults = `${model.gaps} gaps   ${model.duplicates} duplicates`;
  const some = width < 90 ? '' : ', a few of them';
  const left = [bold('What the backend sees'), span(some, ansi.faint)];
  return spread(
    left,
    [span(figures, ansi.text), span(faults, model.gaps === 0 ? ansi.quiet : ansi.bad)],
    width,
  );
}

function rows(model: DemoModel, width: number, count: number): Line[] {
  const shown = model.shownRows.slice(-count).map((row) => rowLine(row, model, width));
  return [...shown, ...Array.from({ length: count - shown.length }, () => [])];
}

/** The longest counter with its unit. */
const valueWidth = 14;

function rowLine(row: Row, model: DemoModel, width: number): Line {
  const colour = model.tenants.find((tenant) => tenant.tenant === row.tenant)?.colour ?? ansi.bad;
  const time = new Date(row.ts).toISOString().slice(11, 23);
  return [
    span(`${time}  `, ansi.faint),
    bold('▌', colour),
    span(row.tenant.padEnd(10), colour),
    ...(width < 100 ? [] : [span(row.gateway.padEnd(18), ansi.quiet)]),
    span(row.device.padEnd(14), ansi.text),
    span(row.point.padEnd(24), ansi.quiet),
    row.value === null
      ? span(row.quality.padStart(valueWidth), ansi.bad)
      : span(
          showValue(row.value, row.unit).padStart(valueWidth),
          row.quality === 'good' ? ansi.text : ansi.bad,
        ),
  ];
}

function footer(model: DemoModel, width: number): Line {
  const key = (name: string, does: string): Line => [
    bold(` ${name} `, ansi.light),
    span(`${does}  `, ansi.quiet),
  ];
  const keys = [
    ...key('q', 'quit'),
    ...key('b', model.brokerUp ? 'stop the broker' : 'start the broker'),
    ...key('d', model.unplugged ? 'plug the cold room in' : 'unplug the cold room'),
    ...key('x', 'attack'),
  ];
  return spread(keys, [span(model.brokerUp ? 'try to break it' : 'nothing is lost', ansi.faint)], width);
}
