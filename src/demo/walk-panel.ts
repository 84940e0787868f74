import { bold, fit, ink, span, widthOf, type Line, type Span } from './ansi.ts';
import { ratePerSecond, type Scene, type TenantScene } from './model.ts';

/** How a bus is called where there is little room. */
const busKinds: Record<string, string> = { 'modbus-tcp': 'TCP', 'modbus-rtu': 'RTU', serial: 'NMEA' };

/** From the wires through the box to the backend, as three lines: what a reading walks. */
export function walk(scene: Scene, width: number, frame: number): Line[] {
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
  const [words, colour] =
    scene.strays > 0
      ? [' the wall is broken ', ink.bad]
      : scene.refused > 0
        ? [` the wall holds: ${scene.refused} refused `, ink.good]
        : [' the wall ', ink.quiet];
  const side = '┄'.repeat(Math.max(1, (width - words.length) >> 1));
  return fit([span(side, ink.faint), span(words, colour), span(`${side}┄`, ink.faint)], width);
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
