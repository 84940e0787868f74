import { formatDuration } from '../base/quantity.ts';
import { bold, fit, ansi, span, spread, type Line, type Span } from './ansi.ts';
import { ratePerSecond, stateOf, type Reading, type TenantModel } from './model.ts';
import { showValue } from './value-text.ts';

/** One tenant's panel: `width` columns, `rows` lines with its frame. */
export function panel(tenant: TenantModel, width: number, rows: number): Line[] {
  const inner = width - 4;
  const content = [
    brokerConnection(tenant, inner),
    flow(tenant, inner),
    batches(tenant, inner),
    spool(tenant, inner),
    [span('┈'.repeat(inner), ansi.faint)],
    ...values(tenant, inner, rows - 7),
  ];
  const side = span('│', tenant.colour);
  return [
    top(tenant, width),
    ...content.map((line) => [side, span(' '), ...fit(line, inner), span(' '), side]),
    [span(`╰${'─'.repeat(width - 2)}╯`, tenant.colour)],
  ];
}

function top(tenant: TenantModel, width: number): Line {
  const rule = '─'.repeat(Math.max(1, width - tenant.tenant.length - tenant.gateway.length - 7));
  return [
    span('╭─ ', tenant.colour),
    bold(tenant.tenant, tenant.colour),
    span(` ${rule} `, tenant.colour),
    span(tenant.gateway, ansi.quiet),
    span(' ╮', tenant.colour),
  ];
}

function brokerConnection(tenant: TenantModel, width: number): Line {
  const uplink = tenant.status?.uplink;
  const online = uplink?.state === 'online';
  const left = [span('● ', online ? ansi.good : ansi.warn), span(stateOf(tenant))];
  if (!online) return [...left, span(`  ${uplink?.reason ?? tenant.status?.reason ?? ''}`, ansi.quiet)];
  const roundTrip = uplink.roundTripMs === null ? '' : `round trip ${uplink.roundTripMs.toFixed(1)} ms`;
  return spread(left, [span(roundTrip, ansi.quiet)], width);
}

/** What comes in from the buses, and what arrives at the backend. */
function flow(tenant: TenantModel, width: number): Line {
  const samples = `${ratePerSecond(tenant.samplesBySecond).toFixed(1)} samples/s`;
  const rows = `${ratePerSecond(tenant.rowsBySecond).toFixed(0).padStart(4)} rows/s `;
  const graph = sparkline(tenant.rowsBySecond.slice(0, -1), width - samples.length - rows.length - 1);
  return spread([span(samples), span(rows, ansi.quiet)], [span(graph, tenant.colour)], width);
}

function batches(tenant: TenantModel, width: number): Line {
  const counted = tenant.status?.uplink?.batches;
  const figure = (name: string, count: number | undefined): Span[] => [
    span(`${name} `, ansi.quiet),
    span(String(count ?? 0), ansi.text),
  ];
  return spread(figure('published', counted?.published), figure('acknowledged', counted?.accepted), width);
}

/** The bar is full at the most that ever waited, or at this many where it was less. */
const fullBarMin = 20;
const barColumns = 14;

function spool(tenant: TenantModel, width: number): Line {
  const { batches: waiting = 0, oldestAgeMs = null } = tenant.status?.spool ?? {};
  const share = waiting / Math.max(fullBarMin, tenant.peakBatches);
  const filled = Math.min(barColumns, Math.ceil(share * barColumns));
  const left = [
    span('spool ', ansi.quiet),
    span('█'.repeat(filled), tenant.colour),
    span('░'.repeat(barColumns - filled), ansi.faint),
    span(` ${waiting} waiting`, waiting > 1 ? ansi.warn : ansi.text),
  ];
  const age =
    oldestAgeMs === null || waiting === 0
      ? ''
      : `for ${formatDuration(Math.round(oldestAgeMs / 1000) * 1000)}`;
  return spread(left, [span(age, ansi.quiet)], width);
}

/** Every device's first points, then their second ones, and so on while there is room; then by device. */
function values(tenant: TenantModel, width: number, room: number): Line[] {
  const shown = share(
    tenant.devices.map((device) => device.points.length),
    Math.max(room, 0),
  );
  const lines = tenant.devices.flatMap((device, index) =>
    device.points.slice(0, shown[index]).map((point, row) => {
      const reading = tenant.latest.get(device.name)?.get(point.name);
      const state = tenant.deviceStatus.get(device.name)?.state;
      const ill = state === 'failing' || state === 'offline';
      const name = [
        span(row === 0 ? `${device.name.padEnd(11)} ` : ' '.repeat(12), ill ? ansi.bad : ansi.text),
        span(point.name, ansi.quiet),
      ];
      const right = showReading(reading, point.unit);
      return [...fit(name, width - right.text.length - 1), span(' '), right];
    }),
  );
  return [...lines, ...Array.from({ length: Math.max(room, 0) - lines.length }, () => [])];
}

function showReading(reading: Reading | undefined, unit: string | undefined): Span {
  if (reading === undefined) return span('…', ansi.faint);
  return 'quality' in reading ? span(reading.quality, ansi.bad) : span(showValue(reading.value, unit));
}

/** Shares `room` lines out among `wanted`, one each in turn. */
function share(wanted: readonly number[], room: number): number[] {
  const given = wanted.map(() => 0);
  let left = Math.min(
    room,
    wanted.reduce((sum, count) => sum + count, 0),
  );
  for (let index = 0; left > 0; index = (index + 1) % wanted.length) {
    if (given[index]! >= wanted[index]!) continue;
    given[index]! += 1;
    left -= 1;
  }
  return given;
}

const bars = '▁▂▃▄▅▆▇█';

/** The last `width` figures as bars, by their logarithm: the burst of a backlog must not flatten all the rest. */
function sparkline(figures: readonly number[], width: number): string {
  const heights = figures.slice(-width).map((figure) => Math.log1p(figure));
  const most = Math.max(...heights, 1);
  return heights.map((height) => (height === 0 ? ' ' : bars[Math.ceil((height / most) * 8) - 1])).join('');
}
