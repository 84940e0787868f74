import { formatDuration } from '../base/quantity.ts';
import type { Row } from '../backend/row.ts';
import { bold, fit, ink, span, spread, type Line } from './ansi.ts';
import { panel } from './tenant-panel.ts';
import type { Scene, TenantScene } from './model.ts';
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

/** Values get what they need, the rows of the backend the rest, but so many at least. */
const rowsMin = 4;

/** The whole screen, exactly `size`. `frame` counts pictures, for what moves. */
export function view(scene: Scene, size: Size, elapsedMs: number, frame: number): Line[] {
  if (size.columns < smallest.columns || size.rows < smallest.rows) return tooSmall(size);
  const width = size.columns - 2 * margin.length;
  const left = size.rows - fixedRows;
  const valueLines = Math.max(...scene.tenants.map((tenant) => lineCount(tenant)));
  const panelRows = Math.min(panelFixedRows + valueLines, left - rowsMin);
  const rowLines = left - panelRows;
  const lines = [
    header(scene, elapsedMs, width),
    [],
    ...walk(scene, width, frame),
    [],
    ...panels(scene.tenants, width, panelRows),
    [],
    rowsTitle(scene, width),
    ...rows(scene, width, rowLines),
    [],
    footer(scene, width),
  ];
  return lines.map((line) => fit([span(margin), ...line], size.columns));
}

function tooSmall(size: Size): Line[] {
  const words = `Please make this window ${smallest.columns} × ${smallest.rows} or larger  (q quits)`;
  return Array.from({ length: size.rows }, (_, row) =>
    fit(row === size.rows >> 1 ? [span(words)] : [], size.columns),
  );
}

function header(scene: Scene, elapsedMs: number, width: number): Line {
  const left = [bold('▙ Merestone'), span('   one box, two tenants, a wall between', ink.quiet)];
  const state = scene.leaving ? 'leaving…' : scene.gateway === undefined ? 'starting…' : 'live';
  return spread(
    left,
    [
      span(state, state === 'live' ? ink.good : ink.warn),
      span(`  ${formatDuration(Math.floor(elapsedMs / 1000) * 1000)}`, ink.quiet),
    ],
    width,
  );
}

function panels(tenants: readonly TenantScene[], width: number, rows: number): Line[] {
  const gap = '  ';
  const panelWidth = (width - gap.length) >> 1;
  const sides = tenants.map((tenant) => panel(tenant, panelWidth, rows));
  return sides[0]!.map((line, row) => [...line, span(gap), ...sides[1]![row]!]);
}

function lineCount(tenant: TenantScene): number {
  return tenant.devices.reduce((sum, device) => sum + device.points.length, 0);
}

function rowsTitle(scene: Scene, width: number): Line {
  const figures = `${scene.rowsPerSecond.toFixed(0)} rows/s   ${scene.rowCount} rows   `;
  const faults = `${scene.gaps} gaps   ${scene.duplicates} duplicates`;
  const some = width < 90 ? '' : ', a few of them';
  const left = [bold('What the backend sees'), span(some, ink.faint)];
  return spread(left, [span(figures, ink.text), span(faults, scene.gaps === 0 ? ink.quiet : ink.bad)], width);
}

function rows(scene: Scene, width: number, count: number): Line[] {
  const shown = scene.shownRows.slice(-count).map((row) => rowLine(row, scene, width));
  return [...shown, ...Array.from({ length: count - shown.length }, () => [])];
}

/** The longest counter with its unit. */
const valueWidth = 14;

function rowLine(row: Row, scene: Scene, width: number): Line {
  const colour = scene.tenants.find((tenant) => tenant.tenant === row.tenant)?.colour ?? ink.bad;
  const time = new Date(row.ts).toISOString().slice(11, 23);
  return [
    span(`${time}  `, ink.faint),
    bold('▌', colour),
    span(row.tenant.padEnd(10), colour),
    ...(width < 100 ? [] : [span(row.gateway.padEnd(18), ink.quiet)]),
    span(row.device.padEnd(14), ink.text),
    span(row.point.padEnd(24), ink.quiet),
    row.value === null
      ? span(row.quality.padStart(valueWidth), ink.bad)
      : span(
          showValue(row.value, row.unit).padStart(valueWidth),
          row.quality === 'good' ? ink.text : ink.bad,
        ),
  ];
}

function footer(scene: Scene, width: number): Line {
  const key = (name: string, does: string): Line => [
    bold(` ${name} `, ink.light),
    span(`${does}  `, ink.quiet),
  ];
  const keys = [
    ...key('q', 'quit'),
    ...key('b', scene.brokerUp ? 'stop the broker' : 'start the broker'),
    ...key('d', scene.unplugged ? 'plug the cold room in' : 'unplug the cold room'),
    ...key('x', 'try the wall'),
  ];
  return spread(keys, [span(scene.brokerUp ? 'try to break it' : 'nothing is lost', ink.faint)], width);
}
