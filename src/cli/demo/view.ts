import { formatDuration } from '../../base/quantity.ts';
import type { Row } from '../../backend/row.ts';
import { bold, fit, ink, span, spread, widthOf, type Line, type Span } from './ink.ts';
import { panel } from './panel.ts';
import { ratePerSecond, type Scene, type TenantScene } from './scene.ts';
import { showValue } from './value.ts';

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

/** How a bus is called where there is little room. */
const busKinds: Record<string, string> = { 'modbus-tcp': 'TCP', 'modbus-rtu': 'RTU', serial: 'NMEA' };

/** From the wires through the box to the backend, as three lines: what a reading walks. */
function walk(scene: Scene, width: number, frame: number): Line[] {
  const total = scene.samplesPerSecond;
  const rate = total.toFixed(1).padStart(4);
  const start = [arrow(total > 0, frame), span(` ${rate}/s `, ink.text), arrow(total > 0, frame - 1)];
  const end = destination(scene, frame);
  const lanes = scene.tenants.map((tenant) => lane(tenant, scene, frame));
  const bareWidth = busWidth + 3 + widthOf(start) + Math.max(...lanes.map(widthOf)) + widthOf(end);
  // A wide screen lengthens all four stretches alike.
  const stretch = Math.max(1, Math.floor((width - bareWidth) / 4));
  const rule = span('─'.repeat(stretch), ink.faint);
  const laneWidth = Math.max(...lanes.map(widthOf)) + stretch;
  const lines = [lanes[0]!, wallLine(scene, laneWidth), lanes[1]!];
  return lines.map((line, row) => [
    ...busLine(scene, row),
    span('╮┼╯'[row]!, ink.faint),
    ...(row === 1 ? [rule, ...start, rule] : [span(' '.repeat(widthOf(start) + 2 * stretch))]),
    span('╭┤╰'[row]!, ink.faint),
    ...ruled(line, laneWidth),
    span('╮├╯'[row]!, ink.faint),
    ...(row === 1 ? [rule, ...end] : []),
  ]);
}

const busWidth = 12;

function busLine(scene: Scene, row: number): Line {
  const bus = scene.gateway?.buses[row];
  const lamp = span('●', bus === undefined ? ink.faint : bus.state === 'open' ? ink.good : ink.bad);
  const name = (bus?.name ?? '').padEnd(6);
  const kind = (busKinds[bus?.kind ?? ''] ?? '').padEnd(5);
  return [span(name, ink.text), span(kind, ink.quiet), lamp];
}

/** Filled with a rule instead of blanks. */
function ruled(line: Line, width: number): Line {
  return [...line, span('─'.repeat(width - widthOf(line)), ink.faint)];
}

function lane(tenant: TenantScene, scene: Scene, frame: number): Line {
  const flowing = ratePerSecond(tenant.samplesBySecond) > 0;
  const online = tenant.status?.uplink?.state === 'online' && scene.brokerUp;
  return [
    span(' '),
    bold(tenant.tenant.padEnd(9), tenant.colour),
    arrow(flowing, frame - 2),
    span(' tag ', ink.text),
    arrow(flowing, frame - 3),
    span(' spool ', ink.text),
    arrow(flowing && online, frame - 4),
    span(' mTLS ', online ? ink.text : ink.faint),
  ];
}

function wallLine(scene: Scene, width: number): Line {
  const words = scene.refused > 0 ? ` the wall holds: ${scene.refused} refused ` : ' the wall ';
  const side = '┄'.repeat(Math.max(1, (width - words.length) >> 1));
  return fit(
    [
      span(side, ink.faint),
      span(words, scene.refused > 0 ? ink.good : ink.quiet),
      span(`${side}┄`, ink.faint),
    ],
    width,
  );
}

function destination(scene: Scene, frame: number): Line {
  const flowing = scene.rowsPerSecond > 0;
  return [
    span(' ● broker ', scene.brokerUp ? ink.good : ink.bad),
    arrow(flowing, frame - 5),
    span(' backend', flowing ? ink.text : ink.faint),
  ];
}

/** An arrowhead, lit in every sixth picture; each next one on the walk has its turn one picture later. */
function arrow(flowing: boolean, turn: number): Span {
  return span('▸', flowing && turn % 6 === 0 ? ink.light : flowing ? ink.quiet : ink.faint);
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
  const clean = scene.gaps === 0;
  const some = width < 90 ? '' : ', a few of them';
  const left = [bold('What the backend sees'), span(some, ink.faint)];
  return spread(left, [span(figures, ink.text), span(faults, clean ? ink.quiet : ink.bad)], width);
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
      : span(showValue(row.value, row.unit).padStart(valueWidth)),
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
