import { formatDuration } from '../../base/quantity.ts';
import type { DeviceStatus, PointsStatus } from '../status.ts';
import { because, inParts, limitMs, type Remark, someOf } from './finding.ts';

/** What is wrong with a device whose bus, of this kind, is open. */
export function deviceRemarks(device: DeviceStatus, busKind: string): Remark[] {
  const whole = wholeDevice(device, busKind);
  const values = whole === undefined ? [...pointRemarks(device), ...lateRemarks(device)] : [whole];
  return [...values, ...identityRemarks(device)];
}

/** One sentence if all of the device's values are concerned; undefined if it gives some. */
function wholeDevice(device: DeviceStatus, busKind: string): Remark | undefined {
  const { state, silentMs, everyMs, lastSampleAt } = device;
  const { why, remedy } = textFor(device, busKind);
  if (isSilent(device)) {
    const ever = lastSampleAt === null ? 'has never given a value' : 'has given no value';
    const what = because(`${ever} for ${formatDuration(silentMs)}`, why);
    return { verdict: 'failing', kind: 'device-silent', what, remedy };
  }
  if (lastSampleAt === null) {
    const what = because('has given no value yet', why);
    const wait = `wait until ${formatDuration(limitMs(everyMs))} have passed; then: ${remedy}`;
    return { verdict: 'degraded', kind: 'device-starting', what, remedy: wait };
  }
  if (state !== 'failing' && state !== 'offline') return undefined;
  const what = because(`gives no value now, the last one ${formatDuration(silentMs)} ago`, why);
  return { verdict: 'degraded', kind: 'device-failing', what, remedy };
}

/**
 * No value for too long. A device that answers, and whose slow points are good while all fast ones are refused, is
 * not silent.
 */
function isSilent({ state, silentMs, everyMs, points }: DeviceStatus): boolean {
  if (silentMs <= limitMs(everyMs)) return false;
  return points.valued === 0 || state !== 'partial';
}

/** No remark on points if the device is another model: that explains implausible values and has its own remark. */
function pointRemarks({ points, reason, identity }: DeviceStatus): Remark[] {
  const bad = points.total - points.good;
  const isDoubted = identity.state === 'contradicted' && points.byQuality['implausible'] === bad;
  if (bad <= 0 || isDoubted) return [];
  const names = describePoints(points) ?? 'no names';
  const what = because(`has ${bad} of ${points.total} points that fail or are implausible: ${names}`, reason);
  const [quality = ''] = worstQuality(points);
  return [{ verdict: 'degraded', kind: 'points', what, remedy: qualityRemedy(quality) }];
}

/** By the mean lateness: a single late poll, as on a busy box, is no finding. */
function lateRemarks({ usualLatenessMs, everyMs, answerMs }: DeviceStatus): Remark[] {
  if (everyMs <= 0 || usualLatenessMs <= everyMs) return [];
  const what = `is read ${formatDuration(usualLatenessMs)} late, and its interval is ${formatDuration(everyMs)}`;
  const remedy =
    answerMs !== null && answerMs > everyMs
      ? `it takes ${formatDuration(answerMs)} to answer: read it less often ('every')`
      : "read it less often ('every'), or take load off its bus: slow or dead devices on it cost time";
  return [{ verdict: 'degraded', kind: 'late', what, remedy }];
}

function identityRemarks({ identity }: DeviceStatus): Remark[] {
  if (identity.state !== 'contradicted') return [];
  const what = because('says that it is not what its profile is for', identity.reason);
  const remedy =
    "compare its unitId and wiring, and name the profile that fits it; 'identify: off' where this one fits all the same";
  return [{ verdict: 'degraded', kind: 'identity', what, remedy }];
}

/** `flow (exception:2), energy (timeout)`; null if no point fails. */
function describePoints({ failing }: PointsStatus): string | null {
  return failing.length === 0 ? null : someOf(failing.map(({ name, quality }) => `${name} (${quality})`));
}

/** The most frequent quality other than good. */
function worstQuality({ byQuality }: PointsStatus): string[] {
  return Object.entries(byQuality)
    .sort(([, a], [, b]) => b - a)
    .map(([quality]) => quality);
}

/**
 * Why it gives no value, and what to do: by the quality of its points, by the reason itself, or by the most frequent
 * failure. Also says what exceptions and implausible values mean for a whole device.
 */
function textFor(device: DeviceStatus, busKind: string): { why: string | null; remedy: string } {
  const { points, reason } = device;
  const [quality = 'offline'] = worstQuality(points);
  const own = inParts(reason);
  if (own.remedy !== null && !/^(?:exception|implausible)/.test(quality))
    return { why: own.why, remedy: own.remedy };
  const why = reason ?? describePoints(points);
  if (!silentQualities.has(quality)) return { why, remedy: qualityRemedy(quality) };
  const kind = whatCame(device, quality);
  return { why, remedy: kind === 'timeout' && isTcp(busKind) ? tcpSilence : qualityRemedy(kind) };
}

/** Whether nothing is known except that no answer comes. */
export function isMute({ points, reason }: DeviceStatus): boolean {
  const [quality = 'offline'] = worstQuality(points);
  return silentQualities.has(quality) && inParts(reason).remedy === null;
}

/** Whether the bus is a TCP connection, with or without a gateway to a serial line behind it. */
export function isTcp(busKind: string): boolean {
  return busKind === 'modbus-tcp' || busKind === 'modbus-rtu-over-tcp';
}

function whatCame({ failures }: DeviceStatus, quality: string): string {
  const [kind = quality] = Object.entries(failures)
    .filter(([name, times]) => times > 0 && tellingFailures.has(name))
    .sort(([, a], [, b]) => b - a)
    .map(([name]) => name);
  return Object.hasOwn(remedies, kind) ? kind : 'timeout';
}

const silentQualities: ReadonlySet<string> = new Set(['offline', 'timeout', 'stale']);
/** Qualities and failures that have a remedy of their own. */
const tellingFailures: ReadonlySet<string> = new Set(['timeout', 'crc', 'exception', 'noise', 'unknown']);

/** What to check first, by the most frequent quality of its points. */
function qualityRemedy(quality: string): string {
  if (Object.hasOwn(remedies, quality)) return remedies[quality]!;
  return quality.startsWith('exception') ? remedies['exception']! : remedies['timeout']!;
}

const tcpSilence =
  'check its power and its unitId, that no other client holds its only connection, and behind a gateway its wiring (A and B swapped) and the baud rate';

/** Exceptions by Modbus V1.1b3 §7. */
const remedies: Readonly<Record<string, string>> = {
  timeout: "check its power, its wiring (A and B swapped), its unitId and the line's baud rate",
  crc: "check the line's parity and termination, and that no two devices have one unitId",
  noise:
    "bytes come that make no frame: check the line's baud rate, parity and stop bits, then its termination",
  unknown: 'frames come that its profile does not know: name the profile that fits the device',
  invalid: 'the device itself marks them as no value: see its display, and that their type is right',
  stale: 'the sensor has not sent them in time: check its power and wiring, and that it sends these messages',
  implausible:
    'wrong profile, wordOrder, byteOrder or scale: compare with its display; where the value is true, widen min and max',
  exception:
    "compare table and address of these points with the device's own list: zero-based, and for this interface",
  'exception:1': "read the other table (input in place of holding, or back), as the device's own list has it",
  'exception:3': "lower 'registersMax' of the device: it refuses so many registers in one request",
  'exception:4': 'the device reports a fault of its own: see its display and its manual',
  'exception:6': "the device is busy: read it less often ('every')",
  'exception:10': 'the gateway in between has no way to the device: check its own settings',
  'exception:11':
    'the gateway in between gets no answer: check power, wiring and unitId of the device behind it',
};
