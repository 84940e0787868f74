import { meaningOfKeyPlace } from '../base/key-place.ts';
import { plainDocument } from '../base/plain-text.ts';
import { formatBytes, formatDuration } from '../base/quantity.ts';
import {
  type BusStatus,
  type DeviceStatus,
  type GatewayStatus,
  type PointsStatus,
  type SiloStatus,
  withDefaults,
} from '../status/status.ts';
import { percent } from '../status/verdict/quota-words.ts';
import { judge } from '../status/verdict/verdict.ts';
import type { Style } from './output.ts';
import { describeBusShare, describeQuotas } from './quota-report.ts';
import { type Cell, layOut } from './table.ts';
import { printVerdict } from './verdict-report.ts';

type Paint = (style: Style, text: string) => string;

/** Certificates are renewed weeks before they end; closer than this, a person should check. */
const daysLeftWarning = 30;
const dayMs = 86_400_000;
/** An isolate this full is near its end. */
const memoryShareWarning = 0.9;

const styles: Record<string, Style> = {
  running: 'green',
  online: 'green',
  open: 'green',
  good: 'green',
  starting: 'yellow',
  opening: 'yellow',
  connecting: 'yellow',
  proving: 'yellow',
  waiting: 'yellow',
  partial: 'yellow',
  restarting: 'yellow',
  offline: 'red',
  held: 'red',
  failing: 'red',
  lost: 'red',
  refused: 'red',
  quarantined: 'red',
};

/** The status at a terminal: silos first, because they are what the customer sees. */
export function reportStatus(told: GatewayStatus, nowMs: number, paint: Paint): string {
  const status = plainDocument(withDefaults(told));
  const up = formatDuration(status.uptimeMs);
  const head = `${paint('bold', `merestone ${status.version}`)}  up ${up}  ${paint('dim', status.configFile)}`;
  const silos = status.silos.flatMap((silo) => ['', ...reportSilo(silo, nowMs, paint)]);
  const buses = status.buses.flatMap((bus) => ['', ...reportBus(bus, paint)]);
  const verdict = printVerdict(judge(status), paint);
  return [head, '', ...verdict, ...silos, ...buses].join('\n');
}

function reportSilo(silo: SiloStatus, nowMs: number, paint: Paint): string[] {
  const { uplink, spool, samples, identity } = silo;
  const isolation = silo.isolation === 'process' ? `  ${paint('dim', 'process of its own')}` : '';
  const lines = [`${paint('bold', `silo ${silo.name}`)}  ${state(silo.state, paint)}${isolation}`];
  const say = (what: string, text: string): void => {
    lines.push(`  ${paint('dim', what.padEnd(11))}  ${text}`);
  };
  if (silo.reason !== null) say('reason', paint('red', silo.reason));
  if (silo.tenant !== null) say('tenant', `${silo.tenant}, gateway ${silo.gateway ?? '?'}`);
  if (identity !== null) {
    const days = Math.floor((identity.notAfter - nowMs) / dayMs);
    const text = days < 0 ? 'out of time' : `${count(days)} days left`;
    say('certificate', days < daysLeftWarning ? paint('yellow', text) : text);
    for (const warning of identity.warnings) say('', paint('yellow', warning));
  }
  if (uplink !== null) {
    const since = formatDuration(uplink.forMs);
    const trip = uplink.roundTripMs === null ? '' : `, ${formatDuration(uplink.roundTripMs)} round trip`;
    say(
      'uplink',
      `${state(uplink.state, paint)} for ${since}, ${uplink.broker} by MQTT ${uplink.protocol}${trip}`,
    );
    if (uplink.reason !== null) say('', paint('yellow', uplink.reason));
    const { accepted, refused, noSubscribers } = uplink.batches;
    const troubles = [
      refused > 0 && `${count(refused)} refused`,
      noSubscribers > 0 && `${count(noSubscribers)} that nobody subscribes to`,
    ].filter((text) => text !== false);
    say(
      'batches',
      [`${count(accepted)} accepted`, `${count(uplink.inflight)} in flight`, ...troubles].join(', '),
    );
  }
  if (spool !== null) {
    const isWaiting = spool.batches > 0 && spool.oldestAgeMs !== null;
    const age = isWaiting ? `, the oldest from ${formatDuration(spool.oldestAgeMs ?? 0)} ago` : '';
    const size = `${formatBytes(spool.bytesInUse)} of ${formatBytes(spool.bytesMax)}`;
    say('spool', `${count(spool.batches)} batches waiting (${count(spool.samples)} samples)${age}; ${size}`);
    const { disk } = spool;
    const disks = disk.isShort ? 'batches are given up for want of room' : 'takes nothing';
    if (disk.state === 'failing')
      say('disk', paint('red', `${disks}: ${disk.reason ?? 'it does not say why'}`));
    const key = spool.key && meaningOfKeyPlace(spool.key);
    if (key !== undefined) say('', paint('dim', key));
    if (spool.rejected > 0) say('', paint('yellow', `${count(spool.rejected)} batches quarantined`));
  }
  say(
    'samples',
    `${count(samples.received)} received, ${count(samples.stored)} stored, ${count(samples.published)} published`,
  );
  for (const [reason, dropped] of Object.entries(samples.dropped)) {
    if (dropped > 0) say('', paint('yellow', `${count(dropped)} dropped: ${reason}`));
  }
  for (const text of describeQuotas(silo, nowMs)) say('quota', paint('yellow', text));
  const { usage } = silo;
  if (usage !== null && usage.memoryBytes >= memoryShareWarning * usage.memoryBytesMax) {
    const memory = `${formatBytes(usage.memoryBytes)} of ${formatBytes(usage.memoryBytesMax)}`;
    say('memory', paint('yellow', `${memory}; past it, this silo alone restarts`));
  }
  if (silo.clock === 'unknown' && silo.state === 'running')
    say('clock', paint('yellow', 'not known to be right yet; samples wait for their time'));
  if (silo.restarts > 0) say('restarts', paint('yellow', count(silo.restarts)));
  return lines;
}

function reportBus(bus: BusStatus, paint: Paint): string[] {
  const load =
    bus.load > 1
      ? paint('red', `overloaded: ${percent(bus.load)} of it is asked for`)
      : `${percent(bus.load)} busy`;
  const lines = [`${paint('bold', `bus ${bus.name}`)}  ${bus.kind}  ${state(bus.state, paint)}  ${load}`];
  if (bus.reason !== null) lines.push(`  ${paint('red', bus.reason)}`);
  for (const silo of bus.silos) {
    const text = describeBusShare(silo);
    if (text !== undefined) lines.push(`  ${paint('yellow', text)}`);
  }
  if (bus.devices.length === 0) return lines;
  const titles = ['device', 'silo', 'state', 'last', 'answer', 'late', 'samples', 'failures'];
  const dim = (text: string): string => paint('dim', text);
  const rows: Cell[][] = [titles.map((text) => ({ text, paint: dim }))];
  for (const device of bus.devices) rows.push(deviceRow(device, paint));
  const [title, ...others] = layOut(rows, numericColumns, '  ');
  lines.push(title!);
  for (const [index, line] of others.entries()) {
    lines.push(line);
    const { reason, points } = bus.devices[index]!;
    for (const text of [reason, describePoints(points)]) {
      if (text !== null) lines.push(`    ${paint('yellow', text)}`);
    }
  }
  return lines;
}

/** `2 of 14 points: flow exception:2, energy timeout`; null where none fails. */
function describePoints({ total, good, failing }: PointsStatus): string | null {
  if (good === total) return null;
  const names = failing.slice(0, pointsOnALine).map(({ name, quality }) => `${name} ${quality}`);
  const more = total - good > names.length ? ` and ${total - good - names.length} more` : '';
  return `${total - good} of ${total} points: ${names.join(', ')}${more}`;
}

const pointsOnALine = 6;
const numericColumns = new Set([3, 4, 5, 6]);

function deviceRow(device: DeviceStatus, paint: Paint): Cell[] {
  const { lastSampleAt, silentMs, answerMs, latenessMs } = device;
  const failures = Object.entries(device.failures)
    .filter(([, times]) => times > 0)
    .map(([kind, times]) => `${kind} ${count(times)}`);
  const style = styles[device.state];
  return [
    { text: device.name },
    { text: device.silo },
    { text: device.state, ...(style && { paint: (text: string) => paint(style, text) }) },
    { text: lastSampleAt === null ? 'never' : `${formatDuration(silentMs)} ago` },
    { text: answerMs === null ? '–' : formatDuration(answerMs) },
    { text: formatDuration(latenessMs) },
    { text: count(device.samples) },
    { text: failures.length === 0 ? 'none' : failures.join(', ') },
  ];
}

function state(word: string, paint: Paint): string {
  const style = Object.hasOwn(styles, word) ? styles[word] : undefined;
  return style === undefined ? word : paint(style, word);
}

function count(value: number): string {
  return value.toLocaleString('en');
}
