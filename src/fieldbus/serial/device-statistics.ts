import type { Clock } from '../../base/clock.ts';
import { blankDevice, type DeviceStatus } from '../../status/status.ts';
import { describeOutliers } from '../../reading/range.ts';
import type { Sample } from '../../reading/sample.ts';
import type { SerialDeviceOptions } from '../options.ts';
import { SampleRecord } from '../sample-record.ts';
import type { Telegram } from './message-reader.ts';

/** How many points a reason names, so that it stays on one line. */
export function someOf(names: readonly string[]): string {
  return names.length > 4 ? `${names.slice(0, 3).join(', ')} and ${names.length - 3} more` : names.join(', ');
}

/** Why a serial sensor gave no value. `unknown`: a valid frame that matches no declared message. */
export type SerialFailure =
  | 'crc'
  | 'timeout'
  | 'unknown'
  | 'invalid'
  | 'implausible'
  | 'stale'
  | 'offline'
  | 'noise';

/** What a reader did and received, for the status. */
export interface DeviceStatistics {
  status: DeviceStatus;
  failed(kind: SerialFailure, reason: string): void;
  /** Counts an event that does not affect the device's values. */
  met(kind: SerialFailure): void;
  /** Counts a valid answer or frame, with its faulty points. */
  took(telegram: Telegram): void;
  gave(sample: Omit<Sample, 'device'>): void;
  snapshot(): DeviceStatus;
}

export function createDeviceStatistics(
  { name, silo, everyMs, protocol }: SerialDeviceOptions,
  clock: Clock,
): DeviceStatistics {
  const intervals = protocol.messages.map((message) => Math.max(everyMs, message.everyMs ?? 0));
  const status = blankDevice(name, silo, Math.min(...intervals));
  const record = new SampleRecord(clock.monotonicMs());
  const met = (kind: SerialFailure, count = 1): void => {
    status.failures[kind] = (status.failures[kind] ?? 0) + count;
  };
  const failed = (kind: SerialFailure, reason: string, count = 1): void => {
    met(kind, count);
    status.state = kind === 'offline' ? 'offline' : isOfPoints(kind) ? 'partial' : 'failing';
    status.reason = reason;
  };
  const settle = (): void => {
    status.state = record.state;
    if (status.state === 'good') status.reason = null;
  };
  return {
    status,
    failed,
    met,
    took: ({ values, quality, outliers: [outlier, ...others] = [], inconsistency, contradiction }) => {
      const missing = Object.keys(quality).filter((name) => !Object.hasOwn(values, name));
      record.note({ values, quality });
      settle();
      const old = missing.filter((name) => quality[name] === 'stale');
      if (missing.length > 0) failed('invalid', `no value: ${someOf(missing)}`);
      if (old.length > 0)
        status.reason = `${someOf(old)}: the last reading is old; the meter that sent it may be gone`;
      if (inconsistency !== undefined) status.reason = inconsistency;
      if (outlier !== undefined)
        failed('implausible', describeOutliers([outlier, ...others]), 1 + others.length);
      if (contradiction !== undefined) failed('implausible', contradiction, Object.keys(values).length);
    },
    gave: (sample) => {
      record.take(sample);
      // If it has no value at all, the reason of the failure says more.
      if (status.state !== 'offline' && record.state !== 'failing') settle();
    },
    snapshot: () => ({
      ...status,
      ...record.status(clock.monotonicMs()),
      failures: { ...status.failures },
    }),
  };
}

/** Faults of single points, while the sensor sends valid frames. */
function isOfPoints(kind: SerialFailure): boolean {
  return kind === 'invalid' || kind === 'implausible';
}
