import { bold, fit, ansi, span, widthOf, type Line, type Span } from './ansi.ts';
import { ratePerSecond, type DemoModel, type TenantModel } from './model.ts';

/** Short names of the buses. */
const busKinds: Record<string, string> = { 'modbus-tcp': 'TCP', 'modbus-rtu': 'RTU', serial: 'NMEA' };

/** The path of a reading, from the buses through the box to the backend, as three lines. */
export function walk(model: DemoModel, width: number, frame: number): Line[] {
  const total = model.samplesPerSecond;
  const rate = total.toFixed(1).padStart(4);
  const start = [arrow(total > 0, frame), span(` ${rate}/s `, ansi.text), arrow(total > 0, frame - 1)];
  const end = destination(model, frame);
  const columns = model.tenants.map((tenant) => column(tenant, model, frame));
  const bareWidth = busWidth + 3 + widthOf(start) + Math.max(...columns.map(widthOf)) + widthOf(end);
  // A wide screen lengthens all four connections alike.
  const stretch = Math.max(1, Math.floor((width - bareWidth) / 4));
  const rule = span('─'.repeat(stretch), ansi.faint);
  const columnWidth = Math.max(...columns.map(widthOf)) + stretch;
  const lines = [columns[0]!, isolationLine(model, columnWidth), columns[1]!];
  return lines.map((line, row) => [
    ...busLine(model, row),
    span('╮┼╯'[row]!, ansi.faint),
    ...(row === 1 ? [rule, ...start, rule] : [span(' '.repeat(widthOf(start) + 2 * stretch))]),
    span('╭┤╰'[row]!, ansi.faint),
    ...ruled(line, columnWidth),
    span('╮├╯'[row]!, ansi.faint),
    ...(row === 1 ? [rule, ...end] : []),
  ]);
}

const busWidth = 12;

function busLine(model: DemoModel, row: number): Line {
  const bus = model.gateway?.buses[row];
  const lamp = span('●', bus === undefined ? ansi.faint : bus.state === 'open' ? ansi.good : ansi.bad);
  const name = (bus?.name ?? '').padEnd(6);
  const kind = (busKinds[bus?.kind ?? ''] ?? '').padEnd(5);
  return [span(name, ansi.text), span(kind, ansi.quiet), lamp];
}

/** Filled with a rule instead of blanks. */
function ruled(line: Line, width: number): Line {
  return [...line, span('─'.repeat(width - widthOf(line)), ansi.faint)];
}

function column(tenant: TenantModel, model: DemoModel, frame: number): Line {
  const flowing = ratePerSecond(tenant.samplesBySecond) > 0;
  const online = tenant.status?.uplink?.state === 'online' && model.brokerUp;
  return [
    span(' '),
    bold(tenant.tenant.padEnd(9), tenant.colour),
    arrow(flowing, frame - 2),
    span(' tag ', ansi.text),
    arrow(flowing, frame - 3),
    span(' spool ', ansi.text),
    arrow(flowing && online, frame - 4),
    span(' mTLS ', online ? ansi.text : ansi.faint),
  ];
}

function isolationLine(model: DemoModel, width: number): Line {
  const [words, colour] =
    model.strays > 0
      ? [' isolation is broken ', ansi.bad]
      : model.refused > 0
        ? [` isolation holds: ${model.refused} refused `, ansi.good]
        : [' isolation ', ansi.quiet];
  const side = '┄'.repeat(Math.max(1, (width - words.length) >> 1));
  return fit([span(side, ansi.faint), span(words, colour), span(`${side}┄`, ansi.faint)], width);
}

function destination(model: DemoModel, frame: number): Line {
  const flowing = model.rowsPerSecond > 0;
  return [
    span(' ● broker ', model.brokerUp ? ansi.good : ansi.bad),
    arrow(flowing, frame - 5),
    span(' backend', flowing ? ansi.text : ansi.faint),
  ];
}

/** An arrowhead, lit in every sixth picture; each next one on the path is lit one picture later. */
function arrow(flowing: boolean, turn: number): Span {
  return span('▸', flowing && turn % 6 === 0 ? ansi.light : flowing ? ansi.quiet : ansi.faint);
}
